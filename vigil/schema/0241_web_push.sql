-- The browsers of people on duty that take Web Push (RFC 8030), each with the keys that a message to it is
-- encrypted with (RFC 8291).  What the push service says is gone is deleted.
CREATE TABLE push_subscription (
    id          uuid PRIMARY KEY,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    endpoint    text NOT NULL,
    p256dh      bytea NOT NULL CHECK (octet_length(p256dh) = 65),
    auth        bytea NOT NULL CHECK (octet_length(auth) = 16),
    language    text NOT NULL,
    made_at     timestamptz NOT NULL,
    taken_at    timestamptz
);
CREATE INDEX push_subscription_account ON push_subscription (account);
COMMENT ON COLUMN push_subscription.id IS 'derived from the endpoint: a browser is subscribed once, for who signed in last';
COMMENT ON COLUMN push_subscription.endpoint IS 'whoever knows it can send to it, though nothing that the browser would show';
COMMENT ON COLUMN push_subscription.taken_at IS 'when the push service last took a message';
