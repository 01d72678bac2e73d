-- How a box comes by its certificate: a code that is good once, and what was issued for it.

CREATE TABLE claim (
    code        bytea PRIMARY KEY,
    node        text NOT NULL REFERENCES node,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    key         bytea,
    CHECK ((used_at IS NULL) = (key IS NULL))
);
CREATE INDEX claim_node ON claim (node);
COMMENT ON COLUMN claim.code IS 'SHA-256 of the code';
COMMENT ON COLUMN claim.key IS 'SHA-256 of the public key that it was used for: a lost answer is given again to that key alone';

CREATE TABLE certificate (
    serial      text PRIMARY KEY,
    node        text NOT NULL REFERENCES node,
    key         bytea NOT NULL UNIQUE,
    pem         text NOT NULL,
    issued_at   timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    issued_for  text NOT NULL CHECK (issued_for IN ('claim', 'renewal')),
    revoked_at  timestamptz,
    revoked_by  text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE INDEX certificate_node ON certificate (node, not_after);
COMMENT ON COLUMN certificate.key IS 'SHA-256 of the public key';

-- Who has tried a code lately, so that nobody tries many.
CREATE TABLE claim_attempt (
    source      text NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX claim_attempt_source ON claim_attempt (source, at);
