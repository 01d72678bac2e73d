-- Only where the extension is there: hypertables, compression and retention.
CREATE EXTENSION IF NOT EXISTS timescaledb;
SELECT create_hypertable('event', 'time', chunk_time_interval => interval '1 day');
SELECT create_hypertable('telemetry', 'time', chunk_time_interval => interval '1 day');
SELECT create_hypertable('health', 'time', chunk_time_interval => interval '1 day');
