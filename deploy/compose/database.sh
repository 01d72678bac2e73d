#!/bin/sh
# Runs once, when the database is made.  The owner is no superuser, so that row-level security binds it.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres --set owner="$(cat /run/secrets/owner_password)" \
    --set backup="$(cat /run/secrets/backup_password)" <<'SQL'
CREATE ROLE vigil LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE vigil_backup LOGIN REPLICATION PASSWORD :'backup';
CREATE DATABASE vigil OWNER vigil;
\connect vigil
CREATE EXTENSION IF NOT EXISTS timescaledb;
SQL
echo "host replication vigil_backup all scram-sha-256" >> "$PGDATA/pg_hba.conf"
