-- What is deleted in time is deleted in the owner's rights, by these alone: `api`, which asks for it, owns
-- nothing and may not delete what is only ever added to.  Each names the tables it may be asked for.
CREATE FUNCTION trim_events(class text, before timestamptz, most int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF class NOT IN ('event', 'telemetry', 'health') THEN
        RAISE EXCEPTION 'no hypertable of events: %', class;
    END IF;
    RETURN forget_events(class, before, most);
END $$;

CREATE FUNCTION trim_canary_events(class text, before timestamptz, most int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    gone bigint;
BEGIN
    IF class NOT IN ('event', 'telemetry', 'health') THEN
        RAISE EXCEPTION 'no hypertable of events: %', class;
    END IF;
    EXECUTE format('DELETE FROM %1$I e USING (
                        SELECT time, id FROM %1$I
                        WHERE synthetic = ''canary'' AND time < $1 AND time >= open_since(%1$L)
                        ORDER BY time LIMIT $2) old
                    WHERE (e.time, e.id) = (old.time, old.id)', class) USING before, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

CREATE FUNCTION trim_canary_alerts(before timestamptz, most int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT forget_canary_alerts(before, most)
$$;

CREATE FUNCTION trim_aggregates(before timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT forget_aggregates(before)
$$;
REVOKE EXECUTE ON FUNCTION trim_events, trim_canary_events, trim_canary_alerts, trim_aggregates FROM PUBLIC;
