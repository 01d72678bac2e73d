-- What the platform has decided about each box: every version, byte for byte as it was published, what
-- the box says it goes by, and commands with an end.

CREATE TABLE node_config (
    node        text NOT NULL REFERENCES node,
    version     bigint NOT NULL CHECK (version BETWEEN 1 AND 9007199254740992),
    estate      text NOT NULL,
    document    text NOT NULL,
    digest      text NOT NULL,
    made_by     text NOT NULL,
    reason      text NOT NULL CHECK (reason <> ''),
    made_at     timestamptz NOT NULL,
    PRIMARY KEY (node, version)
);
COMMENT ON COLUMN node_config.document IS 'vigil.boxconfig.Document; holds no person, address, password or command';
COMMENT ON COLUMN node_config.made_by IS 'person:... who set it; platform: the register of consents, or the box, has changed';

CREATE FUNCTION node_config_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a config stays as it is';
END $$;
CREATE TRIGGER node_config_stays BEFORE UPDATE OR DELETE ON node_config
    FOR EACH ROW EXECUTE FUNCTION node_config_stays();
CREATE TRIGGER audited AFTER INSERT ON node_config
    FOR EACH ROW WHEN (NEW.made_by LIKE 'person:%')
    EXECUTE FUNCTION audited('node version', 'digest', 'written once');

CREATE TABLE node_config_state (
    node        text PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    version     bigint NOT NULL,
    digest      text NOT NULL,
    without     jsonb NOT NULL,
    off         text[] NOT NULL,
    answered    text NOT NULL,
    refused     text,
    answered_at timestamptz NOT NULL
);
COMMENT ON COLUMN node_config_state.version IS 'of the document the box goes by; 0: its own file alone';
COMMENT ON COLUMN node_config_state.answered IS 'what its last answer was about, such as config-7';
COMMENT ON COLUMN node_config_state.refused IS 'why its last answer was a no; null: it was a yes';

CREATE TABLE node_command (
    id          uuid PRIMARY KEY,
    node        text NOT NULL REFERENCES node ON DELETE CASCADE,
    command     text NOT NULL CHECK (command IN ('reload', 'identify')),
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL CHECK (expires_at > made_at),
    answered_at timestamptz,
    accepted    boolean,
    reason      text,
    CHECK ((answered_at IS NULL) = (accepted IS NULL))
);
CREATE INDEX node_command_node ON node_command (node, made_at);
CREATE INDEX node_command_open ON node_command (expires_at) WHERE answered_at IS NULL;
CREATE TRIGGER audited AFTER INSERT ON node_command
    FOR EACH ROW EXECUTE FUNCTION audited('id', 'node command');
