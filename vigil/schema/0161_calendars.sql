-- Addresses that a telephone's calendar may subscribe to: whoever has one reads duty without signing
-- in, so only its hash is kept, and it can be revoked.
CREATE TABLE calendar_feed (
    id          text PRIMARY KEY,
    hash        bytea NOT NULL UNIQUE,
    owner       text NOT NULL REFERENCES account ON DELETE CASCADE,
    whose       text REFERENCES account ON DELETE CASCADE,
    made_at     timestamptz NOT NULL,
    read_at     timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX calendar_feed_owner ON calendar_feed (owner);
COMMENT ON COLUMN calendar_feed.owner IS 'who made it: it shows no more than they may see, and ends with their account';
COMMENT ON COLUMN calendar_feed.whose IS 'of this account alone; null: everybody of the owner''s estates';
