-- The register as people change it: a version for each row (ETags), buildings of their own, where a
-- device hung and when, and every change with who made it.

ALTER TABLE community ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE estate    ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE zone      ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE node      ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE device    ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE assignment
    ADD COLUMN version int NOT NULL DEFAULT 1,
    ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD CONSTRAINT assignment_period CHECK (since < until) NOT VALID;

-- A building is known by its name in its estate, as zones and beats name it.
CREATE TABLE building (
    id          text PRIMARY KEY,
    estate      text NOT NULL REFERENCES estate,
    name        text NOT NULL CHECK (name <> ''),
    access_note text NOT NULL DEFAULT '',
    version     int NOT NULL DEFAULT 1,
    UNIQUE (estate, name)
);
COMMENT ON COLUMN building.access_note IS 'how a helper comes in: door code, caretaker';

CREATE FUNCTION building_named(estate text, name text) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO building (id, estate, name)
    VALUES ('b-' || substr(md5(building_named.estate || '/' || building_named.name), 1, 16),
            building_named.estate, building_named.name)
    ON CONFLICT DO NOTHING;
END;
SELECT building_named(estate, building) FROM (SELECT DISTINCT estate, building FROM zone WHERE building <> '') z;

-- Whoever puts a zone in (an import too) need not think of its building.
CREATE FUNCTION zone_names_building() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM building_named(NEW.estate, NEW.building);
    RETURN NULL;
END $$;
CREATE TRIGGER zone_names_building AFTER INSERT OR UPDATE OF estate, building ON zone
    FOR EACH ROW WHEN (NEW.building <> '') EXECUTE FUNCTION zone_names_building();

-- A building that gets another name keeps its homes and who looks after it; one with homes stays.
CREATE FUNCTION building_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE zone SET building = NEW.name WHERE estate = OLD.estate AND building = OLD.name;
        UPDATE beat SET building = NEW.name WHERE estate = OLD.estate AND building = OLD.name;
    ELSIF EXISTS (SELECT FROM zone WHERE estate = OLD.estate AND building = OLD.name) THEN
        RAISE EXCEPTION 'zones stand in this building' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER building_renamed AFTER UPDATE OF name ON building
    FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION building_changes();
CREATE TRIGGER building_removed BEFORE DELETE ON building FOR EACH ROW EXECUTE FUNCTION building_changes();

-- Where a device hung, and when; the device's own row says where it hangs now.
CREATE TABLE device_place (
    device      text NOT NULL REFERENCES device ON DELETE CASCADE,
    zone        text NOT NULL REFERENCES zone,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (device, since),
    CHECK (since < until)
);
CREATE INDEX device_place_zone ON device_place (zone);
INSERT INTO device_place (device, zone, since) SELECT id, zone, '-infinity' FROM device WHERE zone IS NOT NULL;

CREATE FUNCTION device_hangs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM device_place WHERE device = NEW.id AND until = 'infinity' AND since >= now();
    UPDATE device_place SET until = now() WHERE device = NEW.id AND until = 'infinity';
    IF NEW.zone IS NOT NULL THEN
        INSERT INTO device_place (device, zone, since) VALUES (NEW.id, NEW.zone, now());
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_hangs AFTER INSERT ON device
    FOR EACH ROW WHEN (NEW.zone IS NOT NULL) EXECUTE FUNCTION device_hangs();
CREATE TRIGGER device_moves AFTER UPDATE OF zone ON device
    FOR EACH ROW WHEN (OLD.zone IS DISTINCT FROM NEW.zone) EXECUTE FUNCTION device_hangs();

-- Append-only: who changed what, how it was before and after.  An undo is a change of its own.
CREATE TABLE register_change (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thing       text NOT NULL,
    thing_id    text NOT NULL,
    estate      text,
    action      text NOT NULL CHECK (action IN ('added', 'changed', 'removed')),
    version     int NOT NULL,
    before      jsonb,
    after       jsonb,
    undoes      bigint REFERENCES register_change,
    actor       text NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX register_change_thing ON register_change (thing, thing_id, id);
CREATE INDEX register_change_estate ON register_change (estate, id);
COMMENT ON COLUMN register_change.version IS 'of the thing after the change; of what was removed, the last one';
COMMENT ON COLUMN register_change.estate IS 'whose people may see it; null: of a whole community';
COMMENT ON COLUMN register_change.before IS 'holds what the thing held, names and telephones too: goes with a resident';
