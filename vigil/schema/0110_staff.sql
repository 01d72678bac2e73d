-- Who works here and when, as people change it: versions (ETags) for what may be changed, codes
-- that prove a contact, leave, overrides and handovers, and the answers to writes that come twice.

ALTER TABLE account ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE shift   ADD COLUMN version int NOT NULL DEFAULT 1;
ALTER TABLE policy  ADD COLUMN retired boolean NOT NULL DEFAULT false;

-- A code is sent through the contact; whoever can say it can be reached by it.  It is short and
-- lives ten minutes; after a few wrong ones it is void.
ALTER TABLE contact
    ADD COLUMN version    int NOT NULL DEFAULT 1,
    ADD COLUMN code       bytea,
    ADD COLUMN code_sent_at timestamptz,
    ADD COLUMN code_tries smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN contact.code IS 'SHA-256 of the code that was sent last; null: none is good';

CREATE TABLE leave (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    reason      text NOT NULL DEFAULT '',
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    version     int NOT NULL DEFAULT 1,
    CHECK (starts_at < ends_at)
);
CREATE INDEX leave_time ON leave (ends_at);

-- Somebody stands in for a part of a shift: by a supervisor's order (override), or because both
-- have agreed (handover: one offers, the other accepts; until then nothing has changed).
CREATE TABLE cover (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shift       bigint NOT NULL REFERENCES shift ON DELETE CASCADE,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('override', 'handover')),
    state       text NOT NULL CHECK (state IN ('offered', 'accepted', 'declined', 'withdrawn')),
    note        text NOT NULL DEFAULT '',
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    answered_at timestamptz,
    version     int NOT NULL DEFAULT 1,
    CHECK (starts_at < ends_at)
);
CREATE INDEX cover_shift ON cover (shift);
CREATE INDEX cover_time ON cover (ends_at);
COMMENT ON COLUMN cover.account IS 'who stands in';

-- The answer to a write, kept in the write's own transaction: a repeat gets it again.
CREATE TABLE answered (
    actor       text NOT NULL,
    key         text NOT NULL,
    request     bytea NOT NULL,
    status      smallint NOT NULL,
    headers     jsonb NOT NULL,
    body        text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX answered_at ON answered (at);
COMMENT ON COLUMN answered.request IS 'SHA-256 of method, path and body';

-- What helpers at the door need is changed by people, who name the version they saw.
ALTER TABLE resident ADD COLUMN version int NOT NULL DEFAULT 1;
