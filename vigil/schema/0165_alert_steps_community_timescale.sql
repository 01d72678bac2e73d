-- The same name as in 0163, kept as a continuous aggregate; what has not been taken into it yet is added
-- when it is read.  An alert may be resolved days after it was raised: the whole is refreshed, of which
-- only hours that have changed are worked out anew.
CREATE MATERIALIZED VIEW alert_steps_rollup
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', time) AS hour, estate, priority, what, count(*) AS alerts,
       count(*) FILTER (WHERE seconds <= 60) AS within_60s, count(*) FILTER (WHERE seconds <= 180) AS within_180s,
       count(*) FILTER (WHERE seconds <= 600) AS within_600s,
       sum(seconds) AS seconds_sum, max(seconds) AS seconds_max
FROM alert_step
WHERE synthetic IS NULL
GROUP BY 1, 2, 3, 4
WITH NO DATA;

SELECT add_continuous_aggregate_policy('alert_steps_rollup', NULL, interval '1 hour', interval '10 minutes');

CREATE OR REPLACE VIEW alert_steps_hourly AS
SELECT hour, estate, priority, what, alerts, within_60s, within_180s, within_600s, seconds_sum, seconds_max
FROM alert_steps_rollup;
