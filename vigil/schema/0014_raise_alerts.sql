-- Raise alerts, or join their detections to those that are open for the same subject and kind, as if one
-- after the other in the order of the arrays; returns the alert that carries each detection.
--
-- One round trip for a batch: whoever raises holds the lock of the changes until the commit, and every
-- answer awaited meanwhile is a wait for everybody else's alarm.  The lock is a statement of its own:
-- the one after it has a snapshot of its own, and so sees what the lock's holder before has committed.
CREATE FUNCTION raise_alerts(
    change_lock bigint, channel text, urgency text[], at timestamptz,
    ids uuid[], subjects text[], kinds text[], priorities text[], estates text[], zones text[],
    residents text[], event_times timestamptz[], summaries text[], synthetics text[], detections uuid[]
) RETURNS TABLE (detection uuid, alert uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(change_lock);
    RETURN QUERY
    WITH asked AS (
        SELECT * FROM unnest(ids, subjects, kinds, priorities, estates, zones, residents, event_times,
                             summaries, synthetics, detections)
            WITH ORDINALITY AS t (id, subject, kind, priority, estate, zone, resident, event_time,
                                  summary, synthetic, detection, place)),
    known AS (
        SELECT e.detection, e.alert FROM alert_evidence e WHERE e.detection = ANY (detections)),
    fresh AS (
        SELECT DISTINCT ON (detection) * FROM asked
        WHERE NOT EXISTS (SELECT FROM known WHERE known.detection = asked.detection)
        ORDER BY detection, place),
    grouped AS (
        SELECT *, row_number() OVER (PARTITION BY subject, kind ORDER BY place)::int AS nth,
               count(*) OVER together::int AS of,
               min(array_position(urgency, priority)) OVER together AS urgent,
               bool_and(synthetic IS NOT NULL) OVER together AS played
        FROM fresh WINDOW together AS (PARTITION BY subject, kind)),
    -- A row for each subject and kind: an alert has as many versions as pieces of evidence have joined
    -- it at once.  xmax is 0 only where the row was inserted.
    raised AS (
        INSERT INTO alert AS a (id, subject, kind, priority, state, version, estate, zone, resident,
                                event_time, raised_at, changed_at, summary, synthetic, evidence)
        SELECT id, subject, kind, urgency[urgent], 'raised', of, estate, zone, resident,
               event_time, at, at, summary::jsonb, CASE WHEN played THEN synthetic END, of
        FROM grouped WHERE nth = 1 ORDER BY subject, kind
        ON CONFLICT (subject, kind) WHERE state NOT IN ('resolved', 'reviewed')
        DO UPDATE SET evidence = a.evidence + excluded.evidence, version = a.version + excluded.version,
            changed_at = excluded.changed_at,
            synthetic = CASE WHEN excluded.synthetic IS NULL THEN NULL ELSE a.synthetic END,
            priority = CASE WHEN array_position(urgency, excluded.priority) < array_position(urgency, a.priority)
                            THEN excluded.priority ELSE a.priority END
        RETURNING a.id AS alert, a.subject, a.kind, a.version, a.state, a.xmax = 0 AS opened),
    done AS (
        SELECT place, detection, alert, state, version - of + nth AS version,
               opened AND version - of + nth = 1 AS first
        FROM grouped JOIN raised USING (subject, kind)),
    joined AS (
        INSERT INTO alert_evidence (alert, detection) SELECT alert, detection FROM done),
    appended AS (
        INSERT INTO alert_transition AS t (alert, version, from_state, to_state, action, actor, change, at)
        SELECT alert, version, CASE WHEN NOT first THEN state END, state,
               CASE WHEN first THEN 'raise' ELSE 'join' END, 'system:processors', nextval('alert_change'), at
        FROM (SELECT * FROM done ORDER BY place) one_by_one
        RETURNING t.alert, t.version, t.change),
    told AS (
        SELECT alert, version, pg_notify(channel, change::text) FROM appended ORDER BY change)
    SELECT detection, alert FROM known
    UNION ALL SELECT detection, alert FROM done JOIN told USING (alert, version);
END $$;
