-- The same names as in 0004, kept as continuous aggregates; what has not been taken into them yet is
-- added when they are read.  They are refreshed for the last 14 days, which lies within the least time
-- that events are kept (`retention.at_least`): a refresh over dropped chunks would lose what was counted.
CREATE MATERIALIZED VIEW activity_rollup
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', time) AS hour, device, data->>'sensor' AS sensor,
       count(*) AS changes,
       bit_or(1::bigint << extract(minute FROM time - time_bucket('1 hour', time))::int) AS minutes,
       min(time) AS first_at, max(time) AS last_at
FROM event
WHERE type = 'vigil.event.sensor_changed.v1' AND synthetic IS NULL
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW uptime_rollup
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', time) AS hour, device, node,
       count(*) AS reports,
       bit_or(1::bigint << extract(minute FROM time - time_bucket('1 hour', time))::int) AS minutes,
       min((data->>'battery_pct')::float8) AS battery_pct,
       min(time) AS first_at, max(time) AS last_at
FROM health
WHERE synthetic IS NULL
GROUP BY 1, 2, 3
WITH NO DATA;

SELECT add_continuous_aggregate_policy('activity_rollup', interval '14 days', interval '1 hour', interval '30 minutes');
SELECT add_continuous_aggregate_policy('uptime_rollup', interval '14 days', interval '1 hour', interval '30 minutes');

CREATE OR REPLACE VIEW device_activity_hourly AS
SELECT hour, device, sensor, changes, minutes, first_at, last_at FROM activity_rollup;

CREATE OR REPLACE VIEW device_uptime_hourly AS
SELECT hour, device, node, reports, minutes, battery_pct, first_at, last_at FROM uptime_rollup;

CREATE OR REPLACE FUNCTION forget_aggregates(before timestamptz) RETURNS bigint
LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM drop_chunks('activity_rollup', older_than => before))
         + (SELECT count(*) FROM drop_chunks('uptime_rollup', older_than => before))
$$;
