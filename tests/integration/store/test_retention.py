"""What is deleted in time, on plain PostgreSQL and on TimescaleDB, and what never is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.integration.store.test_intake import row
from tests.making import NOW
from vigil.store import retention
from vigil.store.migrations import migrate
from vigil.store.pool import open_pool
from vigil.store.retention import Trimmer, trim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from vigil.store.pool import Pool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERYTHING = (
    *("event", "telemetry", "health", "implausible", "detection", "alert", "alert_transition"),
    *("alert_evidence", "detector_state", "withheld", "dead_letter", "heartbeat", "registry_change"),
)

# What a canary, or a real fall, leaves behind: %(who)s is the canary's mark, or NULL.
FALLS = """
    WITH made AS (
        SELECT at, gen_random_uuid() AS event, gen_random_uuid() AS detection, gen_random_uuid() AS alert
        FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 ms', %(every)s) AS at),
    e AS (INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, synthetic, data)
          SELECT at, event, 'n', 'd', 'vigil.alarm.fall_suspected.v1', '1-0000abcd', 'alarm', 1, at, 'synced', %(who)s, '{}'
          FROM made),
    d AS (INSERT INTO detection (id, event, time, kind, subject, estate, device, score, model, model_version,
                                 explanation, synthetic, made_at)
          SELECT detection, event, at, 'fall', alert, 'e1', 'd', 1, 'm', '1', '{}', %(who)s, at FROM made),
    s AS (INSERT INTO detector_state SELECT 'falls', coalesce(%(who)s, 'resident') || ':' || alert, '{}', at FROM made),
    a AS (INSERT INTO alert (id, subject, kind, priority, state, version, estate, event_time, raised_at, changed_at,
                             summary, synthetic)
          SELECT alert, alert, 'fall', 'critical', 'resolved', 3, 'e1', at, at, at, '{}', %(who)s FROM made),
    t AS (INSERT INTO alert_transition (alert, version, change, to_state, action, actor, at)
          SELECT alert, v, nextval('alert_change'), 'raised', 'x', 'person:li', at FROM made, generate_series(1, 3) v)
    INSERT INTO alert_evidence SELECT alert, detection FROM made
"""


class Only:
    """A pool of one connection that stays the test's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self._connection


@pytest_asyncio.fixture
async def plain(database: str) -> AsyncIterator[Any]:
    """A connection to a database without the extension."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture(params=["plain", "timescale"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A connection to a database with the present schema, without and with the extension."""
    dsn = request.getfixturevalue("database" if request.param == "plain" else "timescale")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await migrate(connection)
        await connection.execute("DELETE FROM registry_change")  # 0120 leaves one, which ages like any other
        yield connection


async def counts(connection: Any) -> dict[str, int]:
    found = {}
    for table in EVERYTHING:
        found[table] = len(await (await connection.execute(f"TABLE {table}")).fetchall())
    return {table: count for table, count in found.items() if count}


async def falls(connection: Any, since: datetime, until: datetime, who: str | None, every: timedelta) -> None:
    await connection.execute(FALLS, {"since": since, "until": until, "who": who, "every": every})


async def trimmed(connection: Any, now: datetime, most: int = 1000) -> dict[str, int]:
    """Trim until nothing is left to do; return what was deleted in all."""
    pool: Any = Only(connection)
    deleted: dict[str, int] = {}
    while some := await trim(pool, now, most):
        for what, count in some.items():
            deleted[what] = deleted.get(what, 0) + count
    return deleted


async def test_a_week_of_canaries_leaves_an_hours_rows_and_takes_nothing_real_along(either: Any) -> None:
    real_falls, an_hours, every = 3, 15, 4 * MINUTE
    await falls(either, NOW, NOW + 3 * SECOND, None, SECOND)
    real = await counts(either)
    transitions = await (await either.execute("SELECT * FROM alert_transition ORDER BY change")).fetchall()
    for step in range(7):
        now = NOW + (step + 1) * DAY
        await falls(either, now - DAY, now, "canary", every)
        await trimmed(either, now)
        left = await counts(either)
        assert left == {what: n // real_falls * (real_falls + an_hours) for what, n in real.items()}
    await trimmed(either, now + HOUR)
    assert await counts(either) == real
    assert (
        transitions
        == await (await either.execute("SELECT * FROM alert_transition ORDER BY change")).fetchall()
    )


EVENT = """INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
           VALUES (%(at)s, %(id)s, 'n', 'd', 't', 'b', 'l', 1, now(), 'c', '{}')"""
OLD = {
    "event": EVENT,
    "telemetry": EVENT.replace("event", "telemetry", 1),
    "health": EVENT.replace("event", "health", 1),
    "implausible": """INSERT INTO implausible (claimed, id, node, device, type, boot, lane, seq, received_at, clock, data)
                      VALUES ('1970-01-01Z', %(id)s, 'n', 'd', 't', 'b', 'l', 1, %(at)s, 'c', '{}')""",
    "withheld": "INSERT INTO withheld VALUES (%(id)s, 'n', 'b', 'l', 1, 'p', %(at)s)",
    "dead_letter": "INSERT INTO dead_letter (id, reason, detail, origin, payload, at) VALUES (%(id)s, 'r', 'd', 'o', '', %(at)s)",
    "detection": """INSERT INTO detection (id, event, time, kind, subject, estate, device, score, model, model_version,
                                           explanation, made_at)
                    VALUES (%(id)s, %(id)s, %(at)s, 'fall', 's', 'e', 'd', 1, 'm', '1', '{}', %(at)s)""",
    "registry_change": "INSERT INTO registry_change (device, at) VALUES (%(id)s, %(at)s)",
    "heartbeat": "INSERT INTO heartbeat VALUES (%(id)s, %(at)s, '{}')",
    "watermark": """INSERT INTO watermark (node, boot, lane, changed_at, ended)
                    VALUES ('n', '1-' || left(%(id)s::uuid::text, 8), 'alarm', %(at)s, true)""",
}


async def test_every_class_that_has_a_time_is_tested_here(plain: Any) -> None:
    rows = await (await plain.execute("SELECT class FROM retention")).fetchall()
    # A frame needs a box, a camera and people who agree: tests/integration/api/test_evidence.py.
    assert {name for (name,) in rows} == OLD.keys() | {"canary", "aggregate", "evidence_frame"}


async def test_a_row_goes_after_its_classs_time_and_not_before(plain: Any) -> None:
    keep = dict(await (await plain.execute("SELECT class, keep FROM retention")).fetchall())
    for class_, insert in OLD.items():
        margin = DAY if class_ == "withheld" else MINUTE
        for at in (NOW - keep[class_] - margin, NOW - keep[class_] + margin):
            (id_,) = await (await plain.execute("SELECT gen_random_uuid()")).fetchone()
            await plain.execute(insert, {"id": id_, "at": at})
    before = await counts(plain)
    assert await trimmed(plain, NOW, most=1) == dict.fromkeys(OLD, 1)
    assert await counts(plain) == {what: count - 1 for what, count in before.items()}


async def test_what_an_alert_rests_on_stays_with_it_for_ever(plain: Any) -> None:
    await falls(plain, NOW, NOW + SECOND, None, SECOND)
    before = await counts(plain)
    assert await trimmed(plain, NOW + 3650 * DAY) == {"event": 1}
    assert await counts(plain) == {what: count for what, count in before.items() if what != "event"}


async def test_a_canarys_alert_that_turned_out_to_be_real_stays_whole(plain: Any) -> None:
    await falls(plain, NOW, NOW + SECOND, "canary", SECOND)
    await plain.execute("UPDATE alert SET synthetic = NULL")
    await trimmed(plain, NOW + DAY)
    left = await counts(plain)
    assert (left["alert"], left["alert_transition"], left["alert_evidence"], left["detection"]) == (
        1,
        3,
        1,
        1,
    )


async def test_a_canarys_alert_that_somebody_has_made_something_of_stays_whole(plain: Any) -> None:
    """Whatever refers to an alert keeps it, in tables that do not exist yet, too."""
    await falls(plain, NOW, NOW + 3 * SECOND, "canary", SECOND)
    await plain.execute("CREATE TABLE to_come (of uuid REFERENCES alert)")
    await plain.execute("INSERT INTO to_come SELECT id FROM alert ORDER BY raised_at LIMIT 1")
    await trimmed(plain, NOW + DAY, most=1)
    left = await counts(plain)
    assert (left["alert"], left["alert_transition"], left["alert_evidence"], left["detection"]) == (
        1,
        3,
        1,
        1,
    )


async def test_what_cannot_be_deleted_is_said_and_the_rest_is_done(plain: Any) -> None:
    await plain.execute("CREATE TABLE to_come (of uuid REFERENCES dead_letter)")
    await plain.execute(OLD["dead_letter"], {"id": row(1).id, "at": NOW - 500 * DAY})
    await plain.execute("INSERT INTO to_come SELECT id FROM dead_letter")
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": NOW - 30 * DAY})
    with capture_logs() as logs:
        assert await trimmed(plain, NOW) == {"heartbeat": 1}
    assert {entry["what"] for entry in logs} == {"dead_letter"}


async def test_ops_change_how_long_something_is_kept_but_not_by_a_slip_to_nothing(plain: Any) -> None:
    await plain.execute("UPDATE retention SET keep = '100 years' WHERE class = 'heartbeat'")
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": NOW - 3000 * DAY})
    assert await trimmed(plain, NOW) == {}
    await plain.execute("DELETE FROM retention WHERE class = 'heartbeat'")
    assert await trimmed(plain, NOW + 99_000 * DAY) == {}
    with pytest.raises(psycopg.errors.CheckViolation):
        await plain.execute("UPDATE retention SET keep = '1 second' WHERE class = 'event'")
    with pytest.raises(psycopg.errors.CheckViolation):
        await plain.execute("UPDATE retention SET compress_after = '1 hour' WHERE class = 'event'")


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with open_pool(SecretStr(database), "care", 1) as opened:
        yield opened


async def test_of_two_who_trim_one_does(plain: Any, pool: Pool) -> None:
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": NOW - 30 * DAY})
    async with plain.transaction():
        await plain.execute("SELECT pg_advisory_xact_lock(%s)", [retention._LOCK])
        assert await trim(pool, NOW) == {}
    assert await trim(pool, NOW) == {"heartbeat": 1}


async def test_what_somebody_has_locked_is_left_for_the_next_look_and_the_rest_is_done(
    plain: Any, pool: Pool
) -> None:
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": NOW - 30 * DAY})
    await plain.execute(OLD["dead_letter"], {"id": row(1).id, "at": NOW - 500 * DAY})
    await falls(plain, NOW - 2 * HOUR, NOW - 2 * HOUR + 2 * SECOND, "canary", SECOND)
    async with plain.transaction():
        await plain.execute("LOCK TABLE dead_letter")
        await plain.execute("SELECT FROM alert ORDER BY changed_at LIMIT 1 FOR UPDATE")
        deleted = await trim(pool, NOW)
        assert (deleted["heartbeat"], deleted["canary alerts"]) == (1, 1)
        assert "dead_letter" not in deleted
    deleted = await trim(pool, NOW)
    assert (deleted["dead_letter"], deleted["canary alerts"]) == (1, 1)


async def test_a_clock_that_disagrees_with_the_databases_deletes_nothing(plain: Any, pool: Pool) -> None:
    """A box that wakes up in 2036 must not empty the database."""
    ((theirs,),) = await (await plain.execute("SELECT now()")).fetchall()
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": theirs})

    async def runs_for_a_while(now: datetime) -> None:
        task = asyncio.create_task(Trimmer(pool, lambda: now).run())
        while not looked(logs) and (now > theirs + DAY or await counts(plain)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        task.cancel()

    def looked(logs: Any) -> bool:
        return any("nothing is deleted" in entry["event"] for entry in logs)

    with capture_logs() as logs:
        await runs_for_a_while(theirs + 3650 * DAY)
        assert looked(logs)
        assert await counts(plain) == {"heartbeat": 1}
    await plain.execute("UPDATE heartbeat SET at = at - interval '30 days'")
    with capture_logs() as logs:
        await runs_for_a_while(theirs)
    assert await counts(plain) == {}


async def test_a_look_says_whether_there_may_be_more(plain: Any, pool: Pool) -> None:
    for n in range(3):
        await plain.execute(OLD["heartbeat"], {"id": f"p{n}", "at": NOW - 30 * DAY})
    assert not await Trimmer(pool, lambda: NOW).step()
    assert await counts(plain) == {}
    await plain.execute(
        "INSERT INTO heartbeat SELECT n, %s, '{}' FROM generate_series(1, %s) n",
        [NOW - 30 * DAY, retention.MOST + 1],
    )
    assert await Trimmer(pool, lambda: NOW).step()
    assert await counts(plain) == {"heartbeat": 1}


async def test_canaries_are_looked_for_at_every_look_and_what_is_kept_for_days_once_an_hour(
    plain: Any, pool: Pool
) -> None:
    now = NOW
    trimmer = Trimmer(pool, lambda: now)
    assert not await trimmer.step()
    await plain.execute(OLD["heartbeat"], {"id": "p1", "at": NOW - 30 * DAY})
    await falls(plain, NOW - 2 * HOUR, NOW - 2 * HOUR + SECOND, "canary", SECOND)
    now = NOW + MINUTE
    assert not await trimmer.step()
    assert await counts(plain) == {"heartbeat": 1}
    now = NOW + HOUR
    assert not await trimmer.step()
    assert await counts(plain) == {}


@pytest.mark.trust
async def test_what_was_deleted_is_proven_by_day_and_a_day_that_is_over_goes_into_the_audit_log(
    plain: Any, pool: Pool
) -> None:
    now = NOW
    trimmer = Trimmer(pool, lambda: now)
    for n in range(3):
        await plain.execute(OLD["heartbeat"], {"id": f"p{n}", "at": NOW - 30 * DAY})
    await falls(plain, NOW - 2 * HOUR, NOW - 2 * HOUR + SECOND, "canary", SECOND)
    await trim(pool, now, most=2)
    await trimmer.step()
    proof = "SELECT day, what, class, count, until, closed_at FROM deletion"
    until = NOW - timedelta(days=7)
    assert await (await plain.execute(proof)).fetchall() == [
        (NOW.date(), "heartbeat", "heartbeat", 3, until, None)
    ]
    noted = "SELECT note->>'actor', note->'key', note->'kept' FROM audit_waiting WHERE note->>'thing' = 'deletion'"
    assert await (await plain.execute(noted)).fetchall() == []
    now = NOW + DAY
    await trimmer.step()
    await trimmer.step()
    ((actor, key, kept),) = await (await plain.execute(noted)).fetchall()
    assert (actor, key) == ("platform:retention", {"day": f"{NOW:%Y-%m-%d}", "what": "heartbeat"})
    assert (kept["class"], kept["count"]) == ("heartbeat", "3")
