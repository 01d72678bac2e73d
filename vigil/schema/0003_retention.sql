-- How long each class of data is kept.  Data, so that ops change it with an UPDATE; the floor
-- guards against a slip of the hand.  `vigil.store.retention` deletes by it, on plain
-- PostgreSQL and on TimescaleDB alike.

CREATE TABLE retention (
    class       text PRIMARY KEY,
    keep        interval NOT NULL,
    at_least    interval NOT NULL,
    compress_after interval,
    reason      text NOT NULL,
    CHECK (keep >= at_least),
    CHECK (compress_after >= interval '4 days')
);
COMMENT ON COLUMN retention.compress_after IS
    'TimescaleDB only.  Not below 4 days: a spool holds 72 h, and what is late goes into open chunks';

INSERT INTO retention (class, keep, at_least, compress_after, reason) VALUES
    ('canary', '1 hour', '10 minutes', NULL,
     'the watchdog looks at a canary for seconds, and ops at a failure for minutes; one every 8 s an estate'),
    ('event', '90 days', '30 days', '7 days',
     'evidence behind an alert while its case is open, and a late spool of 60 days'),
    ('telemetry', '30 days', '15 days', '7 days',
     'four weeks of routine; past that the hourly aggregates answer'),
    ('health', '30 days', '15 days', '7 days',
     'a month of a device''s life, for a repair; past that the hourly aggregates answer'),
    ('aggregate', '400 days', '30 days', NULL,
     'last year''s same month, for routine and for fleets; TimescaleDB only'),
    ('implausible', '30 days', '15 days', NULL, 'long enough to find a broken clock and mend it'),
    ('withheld', '30 days', '15 days', NULL, 'proves that nothing was lost; more would tell when somebody was at home'),
    ('dead_letter', '400 days', '30 days', NULL, 'may be repaired and replayed; a year and a month to notice'),
    ('detection', '90 days', '30 days', NULL, 'of those that no alert rests on; the others stay with their alert'),
    ('memory', '60 days', '1 day', NULL, 'what a detector remembers of a subject; events are at most 60 days late'),
    ('registry_change', '7 days', '1 day', NULL, 'a process that slept longer reads the registry whole'),
    ('heartbeat', '7 days', '1 day', NULL, 'every start of a process has a row of its own');

-- To find what is to be deleted without reading what stays.
CREATE INDEX event_canary ON event (time) WHERE synthetic = 'canary';
CREATE INDEX telemetry_canary ON telemetry (time) WHERE synthetic = 'canary';
CREATE INDEX health_canary ON health (time) WHERE synthetic = 'canary';
CREATE INDEX detection_canary ON detection (made_at) WHERE synthetic = 'canary';
CREATE INDEX alert_canary ON alert (changed_at) WHERE synthetic = 'canary';
CREATE INDEX implausible_received ON implausible USING brin (received_at);
CREATE INDEX withheld_day ON withheld USING brin (day);
CREATE INDEX dead_letter_at ON dead_letter USING brin (at);
CREATE INDEX detection_made ON detection USING brin (made_at);
-- Also for the hot path: whether a detection has an alert already.
CREATE INDEX alert_evidence_detection ON alert_evidence (detection);

ALTER TABLE registry_change ADD COLUMN at timestamptz NOT NULL DEFAULT now();

-- Delete the oldest events of a table; returns how many rows.  TimescaleDB replaces this by
-- dropping whole chunks.
CREATE FUNCTION forget_events(class text, before timestamptz, most int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    EXECUTE format('DELETE FROM %1$I e USING (SELECT time, id FROM %1$I WHERE time < $1 ORDER BY time LIMIT $2) old
                    WHERE (e.time, e.id) = (old.time, old.id)', class) USING before, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- Aggregates are views on plain PostgreSQL, so there is nothing to delete.
CREATE FUNCTION forget_aggregates(before timestamptz) RETURNS bigint
LANGUAGE sql RETURN 0::bigint;

-- From when on single rows may be deleted; in compressed chunks that would be dear.
CREATE FUNCTION open_since(class text) RETURNS timestamptz
LANGUAGE sql RETURN '-infinity'::timestamptz;
