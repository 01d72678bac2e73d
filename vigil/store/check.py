"""Say whether a database is cared for: `python -m vigil.store check`, for ops and after an upgrade.

Neighbours: `vigil.store.migrations` brings the schema, `vigil.store.retention` and the extension's
jobs do the care that is looked after here.  Nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from psycopg.sql import SQL, Identifier

from vigil.errors import TooNew
from vigil.store.migrations import is_apache, missing

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

EVENTS: Final = ("event", "telemetry", "health")
GRACE: Final = timedelta(days=2)
"""A chunk of a day goes when its last event is too old, and somebody has to come by."""
CANARY_GRACE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in one line."""

    good: bool
    says: str


async def check(connection: Connection, now: datetime) -> list[Finding]:
    """Look at schema, extension, retention and jobs.

    Args:
        connection: Any that may read.
        now: Present time, by which it is judged what should be gone.
    """
    found = [await _schema(connection)]
    if not found[0].good:
        return found
    timescale = await _version(connection)
    apache = await is_apache(connection)
    found.append(_extension(timescale, apache=apache))
    found += [await _oldest(connection, table, now) for table in EVENTS]
    found.append(await _canaries(connection, now))
    if timescale and not apache:
        found += [await _compression(connection, table) for table in EVENTS]
        found.append(await _jobs(connection))
    return found


async def _schema(connection: Connection) -> Finding:
    try:
        apache = await is_apache(connection)
        to_come = [m.name for m in await missing(connection) if not (m.needs_community and apache)]
    except TooNew as error:
        return Finding(good=False, says=str(error))
    if to_come:
        return Finding(good=False, says=f"the schema lacks {', '.join(to_come)}: run migrate")
    return Finding(good=True, says="the schema is current")


async def _version(connection: Connection) -> str | None:
    cursor = await connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    row = await cursor.fetchone()
    return row[0] if row else None


def _extension(version: str | None, *, apache: bool) -> Finding:
    if version is None:
        return Finding(good=True, says="plain PostgreSQL: no compression, no continuous aggregates")
    lacks = ", Apache licence: no compression, no continuous aggregates" if apache else ""
    return Finding(good=True, says=f"TimescaleDB {version}{lacks}")


async def _oldest(connection: Connection, table: str, now: datetime) -> Finding:
    query = SQL("SELECT (SELECT min(time) FROM {}), keep, %s - keep FROM retention WHERE class = {}")
    cursor = await connection.execute(query.format(Identifier(table), table), [now - GRACE])
    row = await cursor.fetchone()
    if row is None:
        return Finding(good=True, says=f"{table} is kept for ever")
    oldest, keep, before = row
    if oldest is None:
        return Finding(good=True, says=f"{table} is empty")
    back = f"{table} goes back to {oldest:%Y-%m-%d}, kept for {keep.days} days"
    if oldest < before:
        return Finding(good=False, says=f"{back}: nobody trims (does api run, does its clock agree?)")
    return Finding(good=True, says=back)


async def _canaries(connection: Connection, now: datetime) -> Finding:
    query = """
        SELECT count(*) FROM alert WHERE synthetic = 'canary'
          AND changed_at < (SELECT %s - keep FROM retention WHERE class = 'canary')
    """
    cursor = await connection.execute(query, [now - CANARY_GRACE])
    ((left,),) = await cursor.fetchall()
    return Finding(good=left == 0, says=f"{left} canaries' alerts are overdue for deletion")


async def _compression(connection: Connection, table: str) -> Finding:
    query = """
        SELECT r.compress_after, (j.config->>'compress_after')::interval
        FROM retention r LEFT JOIN timescaledb_information.jobs j
          ON j.hypertable_name = r.class AND j.proc_name = 'policy_compression' WHERE r.class = %s
    """
    rows = await (await connection.execute(query, [table])).fetchall()
    wanted, set_ = rows[0] if rows else (None, None)
    if wanted == set_:
        return Finding(good=True, says=f"{table} is compressed {_after(wanted)}")
    return Finding(
        good=False, says=f"{table} should be compressed {_after(wanted)}, and its policy says {_after(set_)}"
    )


def _after(interval: timedelta | None) -> str:
    return "never" if interval is None else f"after {interval.days} days"


async def _jobs(connection: Connection) -> Finding:
    query = """
        SELECT string_agg(j.application_name, ', ') FROM timescaledb_information.job_stats s
        JOIN timescaledb_information.jobs j USING (job_id) WHERE s.last_run_status = 'Failed'
    """
    ((failed,),) = await (await connection.execute(query)).fetchall()
    if failed:
        return Finding(good=False, says=f"jobs failed: {failed} (see timescaledb_information.job_errors)")
    return Finding(good=True, says="no job of the extension has failed")
