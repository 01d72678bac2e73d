-- The audit log.  A trigger notes each act of a person in the transaction that does it, so that no path
-- can forget to; one writer chains the notes (`vigil.audit`).  A note says who did what to which thing,
-- and which columns changed; of people's data it holds no values, so that erasing them stays possible.

CREATE TABLE audit_waiting (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    note        jsonb NOT NULL
);

CREATE TABLE audit_log (
    seq         bigint PRIMARY KEY CHECK (seq > 0),
    entry       text NOT NULL,
    hash        bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON COLUMN audit_log.entry IS 'canonical JSON: at, actor, act, thing, key, changed, kept, digest';

CREATE TABLE audit_checkpoint (
    seq         bigint NOT NULL REFERENCES audit_log,
    hash        bytea NOT NULL,
    at          timestamptz NOT NULL,
    signature   bytea NOT NULL,
    PRIMARY KEY (seq, at)
);

CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is in the audit log stays as it is';
END $$;
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_stays();
CREATE TRIGGER audit_stays_whole BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION audit_stays();

-- What a row was when it was written; jsonb has one order of keys, and the function one time zone.
CREATE FUNCTION audit_digest(content jsonb) RETURNS text LANGUAGE sql IMMUTABLE
RETURN encode(sha256(convert_to(content::text, 'UTF8')), 'hex');

-- Arguments: the key's columns; the columns whose values are kept; 'written once' where the row never
-- changes, so that its digest shows whether it did.
CREATE FUNCTION audited() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    before  jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after   jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    content jsonb := coalesce(after, before);
    changed text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(key ORDER BY key) INTO changed
        FROM jsonb_each(after) WHERE value IS DISTINCT FROM before->key;
        IF changed IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO audit_waiting (note) VALUES (jsonb_strip_nulls(jsonb_build_object(
        'at', to_char(clock_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', coalesce(nullif(current_setting('vigil.actor', true), ''), content->>'actor',
                          content->>'made_by', 'database:' || session_user),
        'act', lower(TG_OP),
        'thing', TG_TABLE_NAME,
        'key', (SELECT jsonb_object_agg(c, content->>c) FROM unnest(string_to_array(TG_ARGV[0], ' ')) c),
        'kept', (SELECT jsonb_object_agg(c, content->>c) FROM unnest(string_to_array(TG_ARGV[1], ' ')) c
                 WHERE content->>c IS NOT NULL),
        'changed', to_jsonb(changed),
        'digest', CASE WHEN TG_ARGV[2] = 'written once' THEN audit_digest(content) END)));
    RETURN NULL;
END $$;

-- Who looked, and what people did about alerts.
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON access_log
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'resident', 'written once');
CREATE TRIGGER audited AFTER INSERT ON alert_transition
    FOR EACH ROW WHEN (NEW.actor LIKE 'person:%' OR NEW.actor LIKE 'resident:%')
    EXECUTE FUNCTION audited('alert version', 'action from_state to_state', 'written once');
CREATE TRIGGER audited_change AFTER UPDATE OR DELETE ON alert_transition
    FOR EACH ROW WHEN (OLD.actor LIKE 'person:%' OR OLD.actor LIKE 'resident:%')
    EXECUTE FUNCTION audited('alert version', 'action', 'written once');

-- Whom the platform watches, by which consent, with what.
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON consent
    FOR EACH ROW EXECUTE FUNCTION audited('resident purpose since', 'granted text_version until');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON resident
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'estate flagged risk');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON assignment
    FOR EACH ROW EXECUTE FUNCTION audited('device resident since', 'until');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF node, zone, kind, retired_at ON device
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'node zone kind retired_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF estate, synthetic, zone, retired_at ON node
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'estate synthetic zone retired_at');

-- Who may come in, and as what.
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF role, estates, password, disabled_at ON account
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'role estates disabled_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF role, estates, expires_at, revoked_at ON api_token
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'role estates expires_at revoked_at');
CREATE TRIGGER audited AFTER INSERT ON session
    FOR EACH ROW EXECUTE FUNCTION audited('account', 'expires_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE ON certificate
    FOR EACH ROW EXECUTE FUNCTION audited('node', '');

-- The rules that people work by.
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON policy
    FOR EACH ROW EXECUTE FUNCTION audited('name version', 'priority estate kind', 'written once');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON retention
    FOR EACH ROW EXECUTE FUNCTION audited('class', 'keep');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON detector_mode
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'detector version community estate mode', 'written once');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON drill
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'estate kind starts_at ends_at ended_at');
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF url, secret, estates ON webhook
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'estates');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON leave
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'account starts_at ends_at');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON cover
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'shift account kind state');
