-- Who is told, by what, when, and what became of it.

-- Policies are versioned data; the most specific one that fits, in its newest version, applies.
CREATE TABLE policy (
    name        text NOT NULL,
    version     int NOT NULL,
    priority    text NOT NULL,
    estate      text,
    kind        text,
    from_hour   smallint CHECK (from_hour BETWEEN 0 AND 23),
    to_hour     smallint CHECK (to_hour BETWEEN 0 AND 23),
    body        jsonb NOT NULL,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);
COMMENT ON COLUMN policy.to_hour IS 'the last hour, local time; may lie past midnight';

-- How a person is reached: `url` is an Apprise address and holds a secret.
CREATE TABLE contact (
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    position    smallint NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('message', 'voice')),
    url         text NOT NULL,
    verified_at timestamptz,
    PRIMARY KEY (account, position)
);

CREATE TABLE shift (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    duty        text NOT NULL CHECK (duty IN ('officer', 'supervisor', 'grid_worker')),
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    CHECK (starts_at < ends_at)
);
CREATE INDEX shift_time ON shift (ends_at);

-- One row an open alert: how far its policy has gone, and when to look again.  The policy is
-- copied when a round begins, so that changing it changes no round that is under way.
CREATE TABLE escalation (
    alert       uuid PRIMARY KEY REFERENCES alert,
    round       int NOT NULL,
    policy      jsonb NOT NULL,
    started_at  timestamptz NOT NULL,
    next        int NOT NULL,
    due_at      timestamptz NOT NULL
);
CREATE INDEX escalation_due ON escalation (due_at);

-- Claimed (lease), sent, then recorded: a worker that dies between leaves a lease that ends,
-- and the next attempt is labelled as a repeat.
CREATE TABLE notice (
    id          uuid PRIMARY KEY,
    alert       uuid NOT NULL REFERENCES alert,
    round       int NOT NULL,
    entry       int NOT NULL,
    account     text REFERENCES account ON DELETE CASCADE,
    channel     text NOT NULL,
    repeat      boolean NOT NULL,
    contact     int NOT NULL DEFAULT 0,
    tries       int NOT NULL DEFAULT 0,
    made_at     timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    sent_at     timestamptz,
    ended_at    timestamptz,
    ended       text CHECK (ended IN ('taken', 'unreachable')),
    error       text
);
CREATE INDEX notice_due ON notice (due_at) WHERE sent_at IS NULL AND ended_at IS NULL;
CREATE INDEX notice_alert ON notice (alert);
COMMENT ON COLUMN notice.due_at IS 'not before; moved ahead by the lease while a worker has it';
