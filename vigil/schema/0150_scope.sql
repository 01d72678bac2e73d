-- Whose estates a transaction may see, and the only ways to events for whoever works in a scope.
-- `vigil.store.rights` puts roles, grants and policies on the tables; they compare with these.

-- The estates of this transaction (SET LOCAL vigil.estates); NULL, which compares with nothing, where
-- none was set.  A setting that was local once is left empty, not unset.
CREATE FUNCTION scope_estates() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('vigil.estates', true), '')::text[];

CREATE FUNCTION scope_covers(estate text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(estate = ANY (scope_estates()) OR '*' = ANY (scope_estates()), false);

-- Hypertables have no row-level security once they are compressed.  So nobody who works in a scope
-- reads them; these functions do, with their owner's rights, after they have looked at the scope.
-- Processes of the platform, which have no scope, are let through by the name of their role.
CREATE FUNCTION may_see(estate text) RETURNS boolean LANGUAGE sql STABLE
RETURN current_setting('role') <> 'vigil_people' OR scope_covers(estate);

-- The event behind a detection, while it is kept.
CREATE FUNCTION event_of(detection uuid) RETURNS TABLE (type text, data jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT v.type, v.data FROM detection d JOIN event v ON v.id = d.event AND v.time = d.time
    WHERE d.id = event_of.detection AND may_see(d.estate)
$$;

-- When something was heard in a home, and by which kind of device.
CREATE FUNCTION heard_in(home text, since timestamptz, until timestamptz, most int)
RETURNS TABLE ("time" timestamptz, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT v.time, d.kind FROM zone z JOIN device d ON d.zone = z.id JOIN event v ON v.device = d.id
    WHERE z.id = heard_in.home AND may_see(z.estate) AND v.time BETWEEN since AND until
    ORDER BY v.time LIMIT most
$$;

-- Whether a node was heard of at all in a time.
CREATE FUNCTION heard_of(node text, since timestamptz, until timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT EXISTS (
        SELECT FROM node n WHERE n.id = heard_of.node AND may_see(n.estate)
          AND (EXISTS (SELECT FROM health h WHERE h.node = n.id AND h.time BETWEEN since AND until)
               OR EXISTS (SELECT FROM event e WHERE e.node = n.id AND e.time BETWEEN since AND until)))
$$;

-- Whether something of a node was withheld on a day: there was no consent.
CREATE FUNCTION withheld_of(node text, day date) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT FROM withheld w JOIN node n ON n.id = w.node
                   WHERE w.node = withheld_of.node AND w.day = withheld_of.day AND may_see(n.estate))
$$;
REVOKE EXECUTE ON FUNCTION event_of, heard_in, heard_of, withheld_of FROM PUBLIC;

-- What row-level security compares first, row by row.
CREATE INDEX resident_estate ON resident (estate, id);
CREATE INDEX zone_estate ON zone (estate);
CREATE INDEX detection_estate ON detection (estate, made_at);
