-- Erasing what is known of a resident: asked for by one person, carried out by another; and the proof of
-- what was deleted in time.  A certificate names nobody but by id.

CREATE TABLE erasure (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resident    text NOT NULL REFERENCES resident,
    request     text NOT NULL,
    asked_by    text NOT NULL,
    asked_at    timestamptz NOT NULL,
    withdrawn_by text,
    withdrawn_at timestamptz,
    done_by     text CHECK (done_by <> asked_by),
    done_at     timestamptz,
    certificate text,
    signature   text,
    key         text,
    CHECK ((done_at IS NULL) = (certificate IS NULL)),
    CHECK (done_at IS NULL OR withdrawn_at IS NULL)
);
COMMENT ON COLUMN erasure.request IS 'where the resident''s own request is kept: number of the letter, never its words';
COMMENT ON COLUMN erasure.signature IS 'Ed25519 over the certificate, base64; null where the platform has no key';
CREATE UNIQUE INDEX erasure_open ON erasure (resident) WHERE withdrawn_at IS NULL;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON erasure
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'resident request done_at withdrawn_at');

-- What retention has deleted, by day; a day that is over is closed, and goes into the audit log.
CREATE TABLE deletion (
    day         date NOT NULL,
    what        text NOT NULL,
    class       text NOT NULL,
    count       bigint NOT NULL,
    until       timestamptz NOT NULL,
    closed_at   timestamptz,
    PRIMARY KEY (day, what)
);
COMMENT ON COLUMN deletion.count IS 'rows; of a TimescaleDB hypertable chunks';
COMMENT ON COLUMN deletion.until IS 'nothing older than this was left of it';
CREATE TRIGGER audited AFTER UPDATE OF closed_at ON deletion
    FOR EACH ROW EXECUTE FUNCTION audited('day what', 'class count until');
CREATE TRIGGER audited_taken AFTER DELETE ON deletion
    FOR EACH ROW EXECUTE FUNCTION audited('day what', 'class count until');

-- What is written once can be taken back in one way: when somebody's data were asked to be erased, and by
-- another person than who asked.  Returns rows.
CREATE FUNCTION erase_written(whose text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changes bigint;
    reports bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM resident_key WHERE resident = whose AND wrapped IS NULL) THEN
        RAISE EXCEPTION 'the key of % is not destroyed', whose;
    END IF;
    UPDATE register_change SET before = CASE WHEN before IS NOT NULL THEN '{}'::jsonb END,
                               after = CASE WHEN after IS NOT NULL THEN '{}'::jsonb END
        WHERE thing IN ('resident', 'helpers', 'profile') AND thing_id = whose;
    GET DIAGNOSTICS changes = ROW_COUNT;
    UPDATE task_report SET note = '' WHERE task IN (
        SELECT t.id FROM task t JOIN alert a ON a.id = t.alert WHERE a.resident = whose
        UNION SELECT n.task FROM neighbourhood_report n WHERE n.resident = whose);
    GET DIAGNOSTICS reports = ROW_COUNT;
    RETURN changes + reports;
END $$;
REVOKE EXECUTE ON FUNCTION erase_written FROM PUBLIC;
