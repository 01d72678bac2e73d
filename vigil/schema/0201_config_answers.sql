-- What a box answered to each version of its config; the last answer counts, since it is sent again.

CREATE TABLE node_config_answer (
    node        text NOT NULL,
    version     bigint NOT NULL,
    refused     text,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (node, version),
    FOREIGN KEY (node, version) REFERENCES node_config
);
COMMENT ON COLUMN node_config_answer.refused IS 'why it was a no; null: the box goes by it';
