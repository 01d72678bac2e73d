-- Which version of which detector may alert where: rows that people add, never change.
-- A version without a row is in shadow: it records what it finds and alerts nobody.

CREATE TABLE detector_mode (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    detector    text NOT NULL CHECK (detector <> ''),
    version     text NOT NULL CHECK (version <> ''),
    community   text REFERENCES community,
    estate      text REFERENCES estate,
    mode        text NOT NULL CHECK (mode IN ('shadow', 'alert')),
    actor       text NOT NULL CHECK (trim(actor) <> ''),
    reason      text NOT NULL CHECK (trim(reason) <> ''),
    at          timestamptz NOT NULL,
    review_by   timestamptz,
    CHECK (community IS NULL OR estate IS NULL),
    UNIQUE NULLS NOT DISTINCT (detector, version, community, estate, at)
);
COMMENT ON COLUMN detector_mode.review_by IS
    'when somebody has to look again; that it has passed is shown, and ends no protection';

CREATE FUNCTION detector_mode_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a word on a detector is not changed; add another one';
END $$;
CREATE TRIGGER detector_mode_stays BEFORE UPDATE OR DELETE ON detector_mode
    FOR EACH ROW EXECUTE FUNCTION detector_mode_stays();

-- The registry's caches read these words too.
CREATE FUNCTION detector_mode_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1380272713);
    PERFORM registry_row_changed('all', NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER detector_mode_added AFTER INSERT ON detector_mode
    FOR EACH STATEMENT EXECUTE FUNCTION detector_mode_added();

-- Where people were protected before there was this table, they still are.
INSERT INTO detector_mode (detector, version, mode, actor, reason, at)
SELECT d.detector, d.version, 'alert', 'system:migration', 'alerted before modes were recorded', now()
FROM (VALUES ('falls-waist', '39e0696f26cf'), ('falls-chest', '39e0696f26cf'),
             ('falls-wrist', 'e8ead3eaa191'), ('falls-pose', '726f7611cca9'), ('routines', '1')) d (detector, version)
WHERE EXISTS (SELECT FROM community);

ALTER TABLE detection ADD COLUMN shadow boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN detection.shadow IS 'by a version that may not alert there';
CREATE INDEX detection_shadow ON detection (made_at) WHERE shadow;
