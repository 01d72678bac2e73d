-- What reports ask for by the hour (UTC's).  Views everywhere; on TimescaleDB the two over events read
-- continuous aggregates instead (0006), and reach further back than the events themselves.

-- A home's sensors: how often each changed, and in which minutes of the hour (bit n of `minutes`).
CREATE VIEW device_activity_hourly AS
SELECT date_bin('1 hour', time, '2000-01-01Z') AS hour, device, data->>'sensor' AS sensor,
       count(*) AS changes,
       bit_or(1::bigint << extract(minute FROM time - date_bin('1 hour', time, '2000-01-01Z'))::int) AS minutes,
       min(time) AS first_at, max(time) AS last_at
FROM event
WHERE type = 'vigil.event.sensor_changed.v1' AND synthetic IS NULL
GROUP BY 1, 2, 3;

-- A device's signs of life, and in which minutes.
CREATE VIEW device_uptime_hourly AS
SELECT date_bin('1 hour', time, '2000-01-01Z') AS hour, device, node,
       count(*) AS reports,
       bit_or(1::bigint << extract(minute FROM time - date_bin('1 hour', time, '2000-01-01Z'))::int) AS minutes,
       min((data->>'battery_pct')::float8) AS battery_pct,
       min(time) AS first_at, max(time) AS last_at
FROM health
WHERE synthetic IS NULL
GROUP BY 1, 2, 3;

-- Whose activity it is, is joined when it is read: a change of the register counts at once, and no
-- aggregate holds a resident's id.  An hour is of whom the device was assigned to when it began.
CREATE VIEW resident_activity_hourly AS
SELECT h.hour, a.resident, sum(h.changes)::bigint AS changes,
       bit_count(bit_or(h.minutes)::bit(60))::int AS active_minutes,
       min(h.first_at) AS first_at, max(h.last_at) AS last_at
FROM device_activity_hourly h
JOIN assignment a ON a.device = h.device AND a.since <= h.hour AND h.hour < a.until
GROUP BY h.hour, a.resident;

-- What alarms cost people: real ones only, neither canaries nor drills.
CREATE VIEW alert_burden_hourly AS
SELECT date_bin('1 hour', a.raised_at, '2000-01-01Z') AS hour, a.estate, a.priority, a.kind,
       count(*) AS alerts, sum(a.evidence)::bigint AS detections, sum(a.reopened)::bigint AS reopened,
       count(*) FILTER (WHERE a.outcome = 'false') AS false_alarms,
       count(taken.at) AS answered,
       avg(extract(epoch FROM taken.at - a.raised_at))::float8 AS answer_s_mean,
       max(extract(epoch FROM taken.at - a.raised_at))::float8 AS answer_s_max
FROM alert a
LEFT JOIN LATERAL (
    SELECT min(t.at) AS at FROM alert_transition t
    WHERE t.alert = a.id AND t.action IN ('acknowledge', 'attend', 'resolve') AND t.actor LIKE 'person:%'
) taken ON true
WHERE a.synthetic IS NULL
GROUP BY 1, 2, 3, 4;
