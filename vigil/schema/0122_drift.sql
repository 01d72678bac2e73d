-- What models were shown, counted in the bins of their reference, by device and day; and, by device,
-- how far the last four weeks lie from it.  Windows themselves are not kept here.

CREATE TABLE drift_count (
    detector    text NOT NULL,
    version     text NOT NULL,
    device      text NOT NULL,
    day         date NOT NULL,
    counts      int[] NOT NULL,
    PRIMARY KEY (detector, version, device, day)
);
CREATE INDEX drift_count_day ON drift_count (day);
COMMENT ON COLUMN drift_count.counts IS 'the bins of every measure, one measure after the other';

CREATE TABLE device_drift (
    detector    text NOT NULL,
    version     text NOT NULL,
    device      text NOT NULL,
    windows     int NOT NULL,
    from_reference real,
    from_fleet  real,
    measure     text,
    measured_at timestamptz NOT NULL,
    PRIMARY KEY (detector, version, device)
);
COMMENT ON TABLE device_drift IS
    'population stability indices of the measure that lies farthest off; null while windows are too few';
COMMENT ON COLUMN device_drift.from_fleet IS
    'from the other devices of the same model: a device''s fault rather than the model''s';
