"""Delete in time what nobody needs any more, and nothing before its time.

Place in the flow: beside it.  `api` runs a `Trimmer`; the table `retention` says how long each
class of data is kept, on plain PostgreSQL and on TimescaleDB alike (there whole chunks are
dropped: see `0005_retention_community_timescale.sql`).

Rules
-----
1. A row goes when it is older than its class is kept, by the time that it happened; canaries by a
   class of their own, wherever they are.  A class without a row in `retention` is kept for ever.
2. Alerts, their transitions, the detections they rest on, what edges gave up, what is remembered of
   a resident, and the access log are in no class: they are kept.  Of canaries' alerts only the canary's own rows go.
   A boot's watermarks go when nothing new can come of it (a later boot has named its last numbers, and
   all are accounted for); that it was there is remembered in `closed_boot` for ever.
3. An event whose row is gone stays accounted for, and is no new one when it is sent again
   (`vigil.store.intake.given_up`); nor is one of a boot that was closed (`account`, 0210).
4. One process at a time deletes, a batch per transaction; whoever writes an alarm is never kept
   waiting, and where a lock is not to be had at once the batch is left for the next look.  What
   goes wrong with one class is logged and counted, and the others are done.
5. A clock that disagrees with the database's deletes nothing.
6. What was deleted is proven: class, count and until when, by day, in the deletion's own transaction (a
   canary is nobody).  A day that is over is closed, and goes into the signed audit log by that.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from vigil.errors import Unavailable
from vigil.store.board import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool

EVERY_S: Final = 60.0
"""Between two looks for canaries."""
WHOLE_EVERY: Final = timedelta(hours=1)
"""Between two looks for everything else: the oldest detections without an alert are found by reading
past those that have one, which takes a second after two years."""
PAUSE_S: Final = 0.05
"""Between two batches, for those who wait to write."""
MOST: Final = 1000
"""Rows a batch: about 10 ms on plain PostgreSQL."""
CLOCKS_AGREE: Final = timedelta(minutes=10)
CANARY: Final = "canary"
_LOCK: Final = 0x5452494D
_deleted = Counter(
    "vigil_retention_deleted_total", "Rows (of hypertables: chunks) deleted in time.", ["what"]
)
_failed = Counter("vigil_retention_failed_total", "Deletions that the database refused.", ["what"])
_passed = Gauge("vigil_retention_passed_timestamp_seconds", "When everything due was last found deleted.")
_log = structlog.get_logger(__name__)

_BY_KEY: Final = """
    WITH gone AS (
        DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {where} LIMIT %(most)s)
        RETURNING 1)
    SELECT count(*) FROM gone
"""
# A canary is a subject of its own, so nobody decides on it again.
_CANARY_MEMORY: Final = """
    WITH gone AS (
        DELETE FROM detector_state s USING (
            SELECT detector, subject FROM detector_state
            WHERE changed_at < %(before)s AND subject LIKE 'canary:%%'
              AND NOT EXISTS (SELECT FROM deadline d WHERE d.detector = detector_state.detector
                                                       AND d.subject = detector_state.subject)
            LIMIT %(most)s FOR UPDATE SKIP LOCKED) old
        WHERE (s.detector, s.subject) = (old.detector, old.subject) RETURNING 1)
    SELECT count(*) FROM gone
"""
_UNUSED: Final = "NOT EXISTS (SELECT FROM alert_evidence x WHERE x.detection = detection.id)"

# What is deleted, the class that says when, and the statement: the referring rows first.
_STATEMENTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("canary alerts", CANARY, "SELECT trim_canary_alerts(%(before)s, %(most)s)"),
    (
        "canary detections",
        CANARY,
        _BY_KEY.format(
            table="detection",
            key="id",
            where=f"synthetic = 'canary' AND made_at < %(before)s AND {_UNUSED}",
        ),
    ),
    *(
        (f"canary {table}", CANARY, f"SELECT trim_canary_events('{table}', %(before)s, %(most)s)")
        for table in ("event", "telemetry", "health")
    ),
    ("canary memory", CANARY, _CANARY_MEMORY),
    (
        "canary implausible",
        CANARY,
        _BY_KEY.format(
            table="implausible", key="id", where="synthetic = 'canary' AND received_at < %(before)s"
        ),
    ),
    *(
        (table, table, f"SELECT trim_events('{table}', %(before)s, %(most)s)")
        for table in ("event", "telemetry", "health")
    ),
    ("aggregate", "aggregate", "SELECT trim_aggregates(%(before)s)"),
    (
        "implausible",
        "implausible",
        _BY_KEY.format(table="implausible", key="id", where="received_at < %(before)s"),
    ),
    (
        "withheld",
        "withheld",
        _BY_KEY.format(table="withheld", key="id", where="day < (%(before)s AT TIME ZONE 'UTC')::date"),
    ),
    ("dead_letter", "dead_letter", _BY_KEY.format(table="dead_letter", key="id", where="at < %(before)s")),
    (
        "detection",
        "detection",
        _BY_KEY.format(table="detection", key="id", where=f"made_at < %(before)s AND {_UNUSED}"),
    ),
    (
        "registry_change",
        "registry_change",
        # The newest stays: its number is what a registry compares itself with.
        _BY_KEY.format(
            table="registry_change",
            key="version",
            where="at < %(before)s AND version < (SELECT max(version) FROM registry_change)",
        ),
    ),
    (
        "evidence_frame",
        "evidence_frame",
        _BY_KEY.format(table="evidence_frame", key="id", where="received_at < %(before)s"),
    ),
    ("watermark", "watermark", "SELECT close_boots(%(before)s, %(most)s)"),
    ("heartbeat", "heartbeat", _BY_KEY.format(table="heartbeat", key="process", where="at < %(before)s")),
)


async def trim(pool: Pool, now: datetime, most: int = MOST, *, canaries_only: bool = False) -> dict[str, int]:
    """Delete one batch of everything whose time has come.

    Args:
        pool: Of its own, so that nobody waits for a connection on its account.
        now: Present time.
        most: Rows a batch.
        canaries_only: Leave everything else for another time.

    Returns:
        How many rows (of hypertables: chunks) were deleted, by what they were; nothing where another
        process is at it.

    Raises:
        Unavailable: The database does not answer; what has been deleted stays so.
    """
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT class, %s - keep FROM retention", [now])).fetchall()
    before: Mapping[str, datetime] = dict(rows)
    deleted: dict[str, int] = {}
    for what, class_, statement in _STATEMENTS:
        if class_ in before and (class_ == CANARY or not canaries_only):
            async with pool.connection() as connection:
                count = await _delete(connection, what, class_, statement, before[class_], most, now)
            deleted |= {what: count} if count else {}
    return deleted


_PROVE: Final = """
    INSERT INTO deletion (day, what, class, count, until) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (day, what) DO UPDATE SET count = deletion.count + excluded.count, until = excluded.until
"""
_CLOSE: Final = "UPDATE deletion SET closed_at = %s WHERE closed_at IS NULL AND day < %s"


async def _delete(
    connection: Connection,
    what: str,
    class_: str,
    statement: str,
    before: datetime,
    most: int,
    now: datetime,
) -> int:
    """Run one statement in a transaction of its own; 0 where it cannot be done now."""
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = '20s'")
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if await cursor.fetchone() != (True,):
                return 0
            cursor = await connection.execute(statement.encode(), {"before": before, "most": most})
            ((count,),) = await cursor.fetchall()
            if count and class_ != CANARY:
                await connection.execute(_PROVE, [now.astimezone(UTC).date(), what, class_, count, before])
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
        _log.warning("deleting waits", what=what, error=str(error).strip())
        return 0
    except (psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        _failed.labels(what).inc()
        _log.error("what is due cannot be deleted", what=what, error=str(error).strip())
        return 0
    _deleted.labels(what).inc(count)
    return int(count)


class Trimmer:
    """Trims on a clock, for as long as its process runs."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._whole_at: datetime | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            more = False
            try:
                more = await self._clocks_agree() and await self.step()
            except Unavailable as error:
                _log.warning("retention waits", error=str(error))
            await asyncio.sleep(PAUSE_S if more else EVERY_S)

    async def step(self) -> bool:
        """Delete one batch of everything that is due; return whether there may be more of it."""
        now = self._clock()
        canaries_only = self._whole_at is not None and now < self._whole_at
        deleted = await trim(self._pool, now, canaries_only=canaries_only)
        if max(deleted.values(), default=0) >= MOST:
            return True
        if not canaries_only:
            await self._close_days(now)
            self._whole_at = now + WHOLE_EVERY
        _passed.set(now.timestamp())
        return False

    async def _close_days(self, now: datetime) -> None:
        """Close the days that are over: the audit log takes what was deleted on each."""
        async with self._pool.scoped(EVERYWHERE, "platform:retention") as connection:
            await connection.execute(_CLOSE, [now, now.astimezone(UTC).date()])

    async def _clocks_agree(self) -> bool:
        async with self._pool.connection() as connection:
            ((theirs,),) = await (await connection.execute("SELECT clock_timestamp()")).fetchall()
        apart = abs(self._clock() - theirs)
        if apart > CLOCKS_AGREE:
            _log.error(
                "nothing is deleted: our clock and the database's disagree", seconds=apart.total_seconds()
            )
        return bool(apart <= CLOCKS_AGREE)
