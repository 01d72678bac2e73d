-- The same table in chunks; alerts are few, so a chunk is a month.
SELECT create_hypertable('alert_step', 'time', chunk_time_interval => interval '30 days', migrate_data => true);
