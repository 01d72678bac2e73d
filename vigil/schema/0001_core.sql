-- The core: registry, events, what became of every sequence number, detections, alerts.
-- Works on plain PostgreSQL >= 15; what only TimescaleDB can do is in *_timescale.sql files.

CREATE TABLE community (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    time_zone   text NOT NULL DEFAULT 'Asia/Shanghai'
);

CREATE TABLE estate (
    id          text PRIMARY KEY,
    community   text NOT NULL REFERENCES community,
    name        text NOT NULL
);

CREATE TABLE zone (
    id          text PRIMARY KEY,
    estate      text NOT NULL REFERENCES estate,
    name        text NOT NULL,
    building    text,
    floor       smallint,
    public      boolean NOT NULL DEFAULT false,
    legal_basis text,
    x_m         real,
    y_m         real
);

CREATE TABLE node (
    id          text PRIMARY KEY,
    estate      text NOT NULL REFERENCES estate,
    synthetic   text CHECK (synthetic IN ('canary', 'drill', 'demo')),
    zone        text REFERENCES zone,
    online      boolean,
    session     text,
    seen_at     timestamptz,
    retired_at  timestamptz
);

CREATE TABLE device (
    id          text PRIMARY KEY,
    node        text NOT NULL REFERENCES node,
    zone        text REFERENCES zone,
    kind        text NOT NULL,
    placement   text CHECK (placement IN ('waist', 'chest', 'wrist')),
    birth       jsonb,
    seen_at     timestamptz,
    retired_at  timestamptz
);

CREATE TABLE resident (
    id          text PRIMARY KEY,
    estate      text NOT NULL REFERENCES estate,
    home        text REFERENCES zone,
    name        text NOT NULL,
    phone       text,
    flagged     boolean NOT NULL DEFAULT false,
    risk        smallint NOT NULL DEFAULT 1 CHECK (risk BETWEEN 1 AND 3),
    lives_alone boolean NOT NULL DEFAULT true,
    profile     jsonb NOT NULL DEFAULT '{}'
);

-- Whose device it is: a wearable of one person, or a sensor of a home.
CREATE TABLE assignment (
    device      text NOT NULL REFERENCES device,
    resident    text NOT NULL REFERENCES resident,
    since       timestamptz NOT NULL DEFAULT '-infinity',
    until       timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (device, resident, since)
);

CREATE TABLE consent (
    resident    text NOT NULL REFERENCES resident,
    purpose     text NOT NULL,
    granted     boolean NOT NULL,
    text_version text NOT NULL,
    given_by    text NOT NULL,
    since       timestamptz NOT NULL DEFAULT '-infinity',
    until       timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (resident, purpose, since)
);

-- Which devices the registry has changed for, so that a cache re-reads those alone; a row that
-- names neither asks for everything.  The lock makes numbers visible in their order.
CREATE TABLE registry_change (
    version     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device      text,
    node        text
);

CREATE FUNCTION registry_row_changed(kind text, changed jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE kind
    WHEN 'node' THEN
        INSERT INTO registry_change (node) VALUES (changed->>'id');
        INSERT INTO registry_change (device) SELECT id FROM device WHERE node = changed->>'id';
    WHEN 'device' THEN
        INSERT INTO registry_change (device) VALUES (changed->>'id');
    WHEN 'assignment' THEN
        INSERT INTO registry_change (device) VALUES (changed->>'device');
    WHEN 'resident', 'consent' THEN
        INSERT INTO registry_change (device) SELECT DISTINCT device FROM assignment
            WHERE resident = coalesce(changed->>'resident', changed->>'id');
    WHEN 'zone' THEN
        INSERT INTO registry_change (device) SELECT id FROM device WHERE zone = changed->>'id';
    ELSE
        INSERT INTO registry_change DEFAULT VALUES;
    END CASE;
END $$;

CREATE FUNCTION registry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after  jsonb := to_jsonb(NEW);
BEGIN
    PERFORM pg_advisory_xact_lock(1380272713);
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM registry_row_changed('all', NULL);
        RETURN NULL;
    END IF;
    -- What is handed on has changed for the one who had it, too.
    IF (before->>'id', before->>'device', before->>'resident')
       IS DISTINCT FROM (after->>'id', after->>'device', after->>'resident') AND before IS NOT NULL THEN
        PERFORM registry_row_changed(TG_TABLE_NAME, before);
    END IF;
    IF after IS NOT NULL THEN
        PERFORM registry_row_changed(TG_TABLE_NAME, after);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE OF id, estate, synthetic, zone, retired_at
    ON node FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE OF id, node, zone, kind, placement, retired_at
    ON device FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE
    ON assignment FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE OF flagged, profile
    ON resident FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR UPDATE
    ON consent FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER UPDATE OF public, legal_basis
    ON zone FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER UPDATE OF community
    ON estate FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON node FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON device FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON assignment FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON consent FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();

-- A sign of life with progress from every process that reaches the database.
CREATE TABLE heartbeat (
    process     text PRIMARY KEY,
    at          timestamptz NOT NULL,
    progress    jsonb NOT NULL
);

CREATE TABLE account (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    role        text NOT NULL,
    password    text,
    estates     text[] NOT NULL DEFAULT '{}',
    disabled_at timestamptz
);

-- Events, by the time they happened.  (time, id) is fixed at the edge: it deduplicates.
CREATE TABLE event (
    time        timestamptz NOT NULL,
    id          uuid NOT NULL,
    node        text NOT NULL,
    device      text NOT NULL,
    type        text NOT NULL,
    boot        text NOT NULL,
    lane        text NOT NULL,
    seq         bigint NOT NULL,
    received_at timestamptz NOT NULL,
    clock       text NOT NULL,
    synthetic   text,
    data        jsonb NOT NULL,
    PRIMARY KEY (time, id)
);
CREATE TABLE telemetry (LIKE event INCLUDING ALL);
CREATE TABLE health (LIKE event INCLUDING ALL);

-- A time that cannot be (the device's clock is broken): kept by id, with what was claimed.
CREATE TABLE implausible (
    id          uuid PRIMARY KEY,
    claimed     timestamptz NOT NULL,
    node        text NOT NULL,
    device      text NOT NULL,
    type        text NOT NULL,
    boot        text NOT NULL,
    lane        text NOT NULL,
    seq         bigint NOT NULL,
    received_at timestamptz NOT NULL,
    clock       text NOT NULL,
    synthetic   text,
    data        jsonb NOT NULL
);

-- Every sequence number ends as stored (a row above), dead, withheld or shed.
CREATE TABLE dead_letter (
    id          uuid PRIMARY KEY,
    reason      text NOT NULL,
    detail      text NOT NULL,
    origin      text NOT NULL,
    payload     bytea NOT NULL,
    node        text,
    boot        text,
    lane        text,
    seq         bigint,
    at          timestamptz NOT NULL,
    replayed_at timestamptz
);
CREATE INDEX dead_letter_reason ON dead_letter (reason, at);

-- A known resident without consent: counted, content dropped, no time of day.
CREATE TABLE withheld (
    id          uuid PRIMARY KEY,
    node        text NOT NULL,
    boot        text NOT NULL,
    lane        text NOT NULL,
    seq         bigint NOT NULL,
    purpose     text NOT NULL,
    day         date NOT NULL
);

-- What edges have given up and the platform has never had.
CREATE TABLE shed (
    node        text NOT NULL,
    boot        text NOT NULL,
    lane        text NOT NULL,
    reason      text NOT NULL,
    seqs        int8multirange NOT NULL,
    PRIMARY KEY (node, boot, lane, reason)
);

-- What is accounted for, per node, boot and lane; always holds 0, so that the first range
-- ends at the watermark: every seq below upper(first range) is stored, dead, withheld or shed.
CREATE TABLE watermark (
    node        text NOT NULL,
    boot        text NOT NULL,
    lane        text NOT NULL,
    accounted   int8multirange NOT NULL DEFAULT '{[0,1)}',
    given       bigint NOT NULL DEFAULT 0,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (node, boot, lane)
);
COMMENT ON COLUMN watermark.given IS 'The last seq that the node says it has given out (births)';

CREATE FUNCTION stored(accounted int8multirange) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT upper(r) - 1 FROM unnest(accounted) AS r LIMIT 1);

-- Sequence numbers that are missing below one that has arrived, or that a birth has named.
CREATE VIEW gap AS
SELECT w.node, w.boot, w.lane, lower(hole) AS first, upper(hole) - 1 AS last, w.changed_at
FROM watermark w,
     unnest(int8multirange(int8range(0, greatest(upper(range_merge(w.accounted)), w.given + 1))) - w.accounted) AS hole;

-- How far each partition of the log has been taken in, in the same transaction as the results.
CREATE TABLE checkpoint (
    topic       text NOT NULL,
    partition   int NOT NULL,
    incarnation text NOT NULL,
    next_offset bigint NOT NULL,
    epoch       bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- What a detector remembers of a subject.
CREATE TABLE detector_state (
    detector    text NOT NULL,
    subject     text NOT NULL,
    state       jsonb NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (detector, subject)
);

-- Silence produces no event: whatever is to be looked at again has a row and a time.
CREATE TABLE deadline (
    detector    text NOT NULL,
    subject     text NOT NULL,
    due_at      timestamptz NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (detector, subject)
);
CREATE INDEX deadline_due ON deadline (due_at);

CREATE TABLE detection (
    id          uuid PRIMARY KEY,
    event       uuid NOT NULL,
    time        timestamptz NOT NULL,
    kind        text NOT NULL,
    subject     text NOT NULL,
    resident    text,
    zone        text,
    estate      text NOT NULL,
    device      text NOT NULL,
    score       real NOT NULL,
    model       text NOT NULL,
    model_version text NOT NULL,
    explanation jsonb NOT NULL,
    synthetic   text,
    made_at     timestamptz NOT NULL
);
CREATE INDEX detection_subject ON detection (subject, time);

CREATE TABLE alert (
    id          uuid PRIMARY KEY,
    subject     text NOT NULL,
    kind        text NOT NULL,
    priority    text NOT NULL,
    state       text NOT NULL,
    version     int NOT NULL,
    estate      text NOT NULL,
    zone        text,
    resident    text,
    holder      text,
    outcome     text,
    silenced_until timestamptz,
    event_time  timestamptz NOT NULL,
    raised_at   timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    reopened    int NOT NULL DEFAULT 0,
    evidence    int NOT NULL DEFAULT 1,
    summary     jsonb NOT NULL,
    synthetic   text
);
-- At most one open alert per subject and kind, whoever races.
CREATE UNIQUE INDEX alert_open ON alert (subject, kind) WHERE state NOT IN ('resolved', 'reviewed');
CREATE INDEX device_node ON device (node);
CREATE INDEX device_zone ON device (zone);
CREATE INDEX assignment_resident ON assignment (resident);
CREATE INDEX alert_board ON alert (estate, raised_at) WHERE state NOT IN ('resolved', 'reviewed');

-- Append-only; (alert, version) is the compare-and-swap.  `change` orders the live stream:
-- it is given out under an advisory lock held to the commit, so readers see no holes.
CREATE TABLE alert_transition (
    alert       uuid NOT NULL REFERENCES alert,
    version     int NOT NULL,
    change      bigint NOT NULL UNIQUE,
    from_state  text,
    to_state    text NOT NULL,
    action      text NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    PRIMARY KEY (alert, version)
);
CREATE SEQUENCE alert_change;

CREATE TABLE alert_evidence (
    alert       uuid NOT NULL REFERENCES alert,
    detection   uuid NOT NULL REFERENCES detection,
    PRIMARY KEY (alert, detection)
);
