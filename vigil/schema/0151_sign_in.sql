-- What signing in needs beyond a password: idle sessions, second factors, tokens of people, and
-- accounts that an identity provider vouches for.

ALTER TABLE session ADD COLUMN seen_at timestamptz;
COMMENT ON COLUMN session.seen_at IS 'last use, to the minute; null: not since it began';

-- A time-based code (RFC 6238).  The secret is sealed with the platform's key; `last_step` makes each
-- code good once.
CREATE TABLE second_factor (
    account     text PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    sealed      bytea NOT NULL,
    last_step   bigint NOT NULL DEFAULT 0,
    made_at     timestamptz NOT NULL,
    confirmed_at timestamptz
);
COMMENT ON COLUMN second_factor.confirmed_at IS 'null: not asked for until its owner has shown a code';

CREATE TABLE recovery_code (
    account     text NOT NULL REFERENCES second_factor ON DELETE CASCADE,
    hash        bytea NOT NULL,
    PRIMARY KEY (account, hash)
);

-- A person's own token: never more than its owner may at the moment of use.
CREATE TABLE personal_token (
    id          uuid PRIMARY KEY,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    name        text NOT NULL,
    hash        bytea NOT NULL UNIQUE,
    scopes      text[] NOT NULL CHECK (cardinality(scopes) > 0),
    estates     text[],
    made_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    revoked_at  timestamptz,
    CHECK (expires_at <= made_at + interval '91 days')
);
CREATE INDEX personal_token_account ON personal_token (account);
COMMENT ON COLUMN personal_token.estates IS 'null: all of its owner''s';
COMMENT ON COLUMN personal_token.used_at IS 'last use, to the minute';

CREATE TABLE account_identity (
    issuer      text NOT NULL,
    subject     text NOT NULL,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    linked_at   timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (issuer, account)
);
