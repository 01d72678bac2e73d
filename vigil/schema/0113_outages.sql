-- Whom an alert of a whole estate concerns: one alert with its residents, not one for each.
CREATE TABLE alert_resident (
    alert       uuid NOT NULL REFERENCES alert,
    resident    text NOT NULL REFERENCES resident,
    since       timestamptz NOT NULL,
    until       timestamptz,
    PRIMARY KEY (alert, resident)
);
COMMENT ON COLUMN alert_resident.until IS 'when a device of theirs was heard again; null: not yet';
