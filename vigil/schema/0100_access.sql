-- Who may come in: people with sessions, robots with tokens.  Secrets are kept as hashes only.

ALTER TABLE account
    ADD COLUMN failures     int NOT NULL DEFAULT 0,
    ADD COLUMN locked_until timestamptz,
    ADD COLUMN phone        text,
    ADD CONSTRAINT account_role CHECK (role IN (
        'duty_officer', 'grid_worker', 'supervisor', 'community_manager', 'ops', 'auditor',
        'street_centre', 'resident', 'family'));
COMMENT ON COLUMN account.estates IS 'ids of estates, or * for every one; empty: none';

CREATE TABLE session (
    hash        bytea PRIMARY KEY,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    csrf        text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX session_account ON session (account);

CREATE TABLE api_token (
    id          text PRIMARY KEY,
    hash        bytea NOT NULL UNIQUE,
    role        text NOT NULL CHECK (role IN ('canary', 'watchdog', 'reader')),
    estates     text[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);

-- Who read what of a resident, and why; the resident may read it.
CREATE TABLE access_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resident    text NOT NULL REFERENCES resident,
    actor       text NOT NULL,
    purpose     text NOT NULL,
    what        text NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX access_log_resident ON access_log (resident, at);
