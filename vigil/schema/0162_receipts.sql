-- What a provider says of a notice after it has taken it: sent, delivered and acknowledged are three things.
ALTER TABLE notice
    ADD COLUMN delivered_at   timestamptz,
    ADD COLUMN undelivered    text;
COMMENT ON COLUMN notice.sent_at IS 'a route has taken it';
COMMENT ON COLUMN notice.delivered_at IS 'the provider says that it reached the device, or that the call was answered';
COMMENT ON COLUMN notice.undelivered IS 'why the provider could not deliver what it had taken; the next contact was tried then';
