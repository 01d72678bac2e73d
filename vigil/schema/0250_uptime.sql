-- How reliable devices are, for who may see what alarms cost: hours in which each gave a sign of life.
-- Checked here, since signs of life have no row-level security (decision 0016).

-- By stretches between edges (the first edge begins stretch 1): devices that were heard, and their hours.
CREATE FUNCTION uptime_in(edges timestamptz[]) RETURNS TABLE (stretch int, devices bigint, hours bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT width_bucket(u.hour, edges), count(DISTINCT u.device), count(*)
    FROM device_uptime_hourly u JOIN node n ON n.id = u.node
    WHERE u.hour >= edges[1] AND u.hour < edges[array_upper(edges, 1)]
      AND may_see(n.estate) AND n.synthetic IS DISTINCT FROM 'canary'
    GROUP BY 1
$$;

-- The devices that were heard in the fewest hours, of those that were heard at all.
CREATE FUNCTION uptime_worst(since timestamptz, until timestamptz, most int)
RETURNS TABLE (device text, kind text, hours bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT u.device, min(d.kind), count(*)
    FROM device_uptime_hourly u JOIN node n ON n.id = u.node JOIN device d ON d.id = u.device
    WHERE u.hour >= since AND u.hour < until AND d.retired_at IS NULL
      AND may_see(n.estate) AND n.synthetic IS DISTINCT FROM 'canary'
    GROUP BY u.device ORDER BY count(*), u.device LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION uptime_in, uptime_worst FROM PUBLIC;
