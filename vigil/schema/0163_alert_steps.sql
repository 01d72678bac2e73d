-- How far alerts came, and how long after they were raised: one row for the first time of each, written
-- with the transition itself, so that burden and effect need not be worked out of every transition
-- again.  Canaries are left out.  On TimescaleDB it is a hypertable with a continuous aggregate (0164, 0165).
CREATE TABLE alert_step (
    time        timestamptz NOT NULL,
    alert       uuid NOT NULL,
    what        text NOT NULL CHECK (what IN ('raised', 'delivered', 'acknowledged', 'attended', 'resolved',
                                              'unanswered', 'reopened')),
    nth         int NOT NULL DEFAULT 1,
    seconds     float8 NOT NULL,
    estate      text NOT NULL,
    priority    text NOT NULL,
    kind        text NOT NULL,
    synthetic   text,
    PRIMARY KEY (time, alert, what, nth)
);
COMMENT ON COLUMN alert_step.time IS 'when the alert was raised';
COMMENT ON COLUMN alert_step.nth IS 'the first time counts; each opening anew counts';

-- Which steps a transition is: taking an alert by going there acknowledges it too.
CREATE FUNCTION steps_of(action text, to_state text) RETURNS text[] LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN action IN ('raise', 'join') THEN CASE WHEN action = 'raise' THEN ARRAY['raised'] ELSE '{}' END
    WHEN action = 'reopen' THEN ARRAY['reopened']
    WHEN to_state = 'attending' THEN ARRAY['acknowledged', 'attended']
    WHEN to_state IN ('delivered', 'acknowledged', 'resolved', 'unanswered') THEN ARRAY[to_state]
    ELSE '{}' END;

-- Definer: whoever moves an alert need not have the right to write here.
CREATE FUNCTION alert_steps_on() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO alert_step (time, alert, what, nth, seconds, estate, priority, kind, synthetic)
    SELECT a.raised_at, a.id, s.what, CASE WHEN s.what = 'reopened' THEN t.version ELSE 1 END,
           greatest(extract(epoch FROM t.at - a.raised_at), 0), a.estate, a.priority, a.kind, a.synthetic
    FROM added t JOIN alert a ON a.id = t.alert CROSS JOIN unnest(steps_of(t.action, t.to_state)) AS s (what)
    WHERE a.synthetic IS DISTINCT FROM 'canary'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

INSERT INTO alert_step (time, alert, what, nth, seconds, estate, priority, kind, synthetic)
SELECT a.raised_at, a.id, s.what, CASE WHEN s.what = 'reopened' THEN t.version ELSE 1 END,
       greatest(extract(epoch FROM t.at - a.raised_at), 0), a.estate, a.priority, a.kind, a.synthetic
FROM alert_transition t JOIN alert a ON a.id = t.alert
CROSS JOIN unnest(steps_of(t.action, t.to_state)) AS s (what)
WHERE a.synthetic IS DISTINCT FROM 'canary'
ORDER BY t.alert, t.version
ON CONFLICT DO NOTHING;

CREATE TRIGGER alert_steps_on AFTER INSERT ON alert_transition
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION alert_steps_on();

-- By the hour (UTC's) in which alerts were raised, how many came how far, and how soon.
CREATE VIEW alert_steps_hourly AS
SELECT date_bin('1 hour', time, '2000-01-01Z') AS hour, estate, priority, what, count(*) AS alerts,
       count(*) FILTER (WHERE seconds <= 60) AS within_60s, count(*) FILTER (WHERE seconds <= 180) AS within_180s,
       count(*) FILTER (WHERE seconds <= 600) AS within_600s,
       sum(seconds) AS seconds_sum, max(seconds) AS seconds_max
FROM alert_step
WHERE synthetic IS NULL
GROUP BY 1, 2, 3, 4;
