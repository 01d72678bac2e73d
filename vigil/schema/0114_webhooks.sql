-- Who else is told of alerts: programs of the community's own.  `position` is the last change
-- that was taken; what comes after it is sent in order, so nothing is missed and no outbox grows.
CREATE TABLE webhook (
    id          text PRIMARY KEY,
    url         text NOT NULL,
    secret      text NOT NULL,
    estates     text[] NOT NULL,
    position    bigint NOT NULL,
    due_at      timestamptz NOT NULL,
    failures    int NOT NULL DEFAULT 0,
    error       text,
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL,
    version     int NOT NULL DEFAULT 1
);
CREATE INDEX webhook_due ON webhook (due_at);
COMMENT ON COLUMN webhook.secret IS 'signs what is sent (HMAC), so it cannot be kept as a hash';
COMMENT ON COLUMN webhook.due_at IS 'not before; moved ahead by the lease while a worker has it, and by each failure';
