-- Only where the extension is there: hypertables.  It may come to a database that has been
-- in use without it, so what is there moves along.
CREATE EXTENSION IF NOT EXISTS timescaledb;
SELECT create_hypertable('event', 'time', chunk_time_interval => interval '1 day', migrate_data => true);
SELECT create_hypertable('telemetry', 'time', chunk_time_interval => interval '1 day', migrate_data => true);
SELECT create_hypertable('health', 'time', chunk_time_interval => interval '1 day', migrate_data => true);
