-- An alert that somebody has is offered to a named colleague: until they accept, nothing has changed.
-- Notes, offers and their answers are transitions too, which leave the state as it is: so they stand in
-- the alert's history and go over the live stream.
CREATE TABLE alert_offer (
    id          uuid PRIMARY KEY,
    alert       uuid NOT NULL REFERENCES alert,
    holder      text NOT NULL,
    account     text NOT NULL REFERENCES account ON DELETE CASCADE,
    note        text NOT NULL DEFAULT '',
    made_at     timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('offered', 'accepted', 'returned', 'replaced')),
    answered_at timestamptz
);
CREATE UNIQUE INDEX alert_offer_open ON alert_offer (alert) WHERE state = 'offered';
COMMENT ON COLUMN alert_offer.holder IS 'the actor who has the alert, and goes on having it until the other accepts';
COMMENT ON COLUMN alert_offer.account IS 'to whom';
COMMENT ON COLUMN alert_offer.until IS 'without an answer by then it is void';

ALTER TABLE notice ADD COLUMN offer uuid REFERENCES alert_offer ON DELETE CASCADE;
COMMENT ON COLUMN notice.offer IS 'asks somebody to take an alert over';
