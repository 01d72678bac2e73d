-- Something that happened and was not alerted of: the other half of a measured sensitivity.
CREATE TABLE missed (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    estate      text NOT NULL REFERENCES estate,
    resident    text,
    zone        text,
    happened_at timestamptz NOT NULL,
    found_at    timestamptz NOT NULL,
    how_found   text NOT NULL CHECK (how_found IN ('family', 'neighbour', 'visit', 'resident', 'ambulance', 'other')),
    note        text NOT NULL DEFAULT '',
    cause       text NOT NULL,
    score       real,
    detection   uuid,
    reported_by text NOT NULL,
    reported_at timestamptz NOT NULL,
    withdrawn_by text,
    withdrawn_why text,
    withdrawn_at timestamptz,
    CHECK (happened_at <= found_at),
    CHECK ((withdrawn_at IS NULL) = (withdrawn_by IS NULL)),
    CHECK ((withdrawn_at IS NULL) = (withdrawn_why IS NULL))
);
CREATE INDEX missed_when ON missed (estate, happened_at);
COMMENT ON COLUMN missed.cause IS 'what the platform knew: no_device, silent, withheld, nothing_seen, below, in_shadow';
