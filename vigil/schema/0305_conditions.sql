-- What each device and box said of itself last, one row each: lists of devices ask for it, and
-- `health` has a row every ten seconds.  Written with the batch that stored it (vigil.store.conditions).
CREATE TABLE device_condition (
    device      text PRIMARY KEY,
    node        text NOT NULL,
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    clock       text NOT NULL,
    data        jsonb NOT NULL
) WITH (fillfactor = 70);
COMMENT ON COLUMN device_condition.at IS 'when, by its own clock';
COMMENT ON COLUMN device_condition.data IS 'as in health; the charge and whether it is worn come in messages of their own, and stay';
