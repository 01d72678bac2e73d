"""What becomes of a home's silence, in one transaction of a real PostgreSQL."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from processors.homes import HomeTicker
from tests.making import NOW, event, record
from vigil.events import SensorChanged
from vigil.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from processors.intake import EventHandler

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def connection(shared_database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection inside a transaction that is rolled back after the test."""
    async with (
        await psycopg.AsyncConnection.connect(shared_database, autocommit=True) as opened,
        opened.transaction(force_rollback=True),
    ):
        yield opened


class Single:
    """A pool of the one connection that the test rolls back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._connection.transaction():
            yield self._connection


async def rows(connection: Any, query: str, *values: Any) -> list[Any]:
    found: list[Any] = await (await connection.execute(query, values)).fetchall()
    return found


async def sign(
    handler: EventHandler, connection: Any, at: datetime, seq: int, sensor: Any = "motion", **how: Any
) -> None:
    """Take a sign of life in at the time at which it happens."""
    data = SensorChanged(sensor=sensor, state=True)
    made = event(data, seq=seq, device=how.pop("device", "door"), time=at, **how)
    await handler.handle(connection, [record(made, at=at)], at)


async def looked(connection: Any, now: datetime) -> list[Any]:
    """Look at homes, and return what is alerted of."""
    pool: Any = Single(connection)
    await HomeTicker(pool, Registry(), lambda: now).step()
    return await rows(connection, "SELECT kind, subject, priority, summary FROM alert ORDER BY kind")


async def hear(connection: Any, now: datetime) -> None:
    """Let the node be heard, as its health does every minute."""
    await connection.execute("UPDATE watermark SET changed_at = %s", [now])


async def test_somebody_who_gives_no_sign_is_raised(connection: Any, handler: EventHandler) -> None:
    await sign(handler, connection, NOW, 1)
    assert await looked(connection, NOW + 7 * HOUR) == []
    await hear(connection, NOW + 12 * HOUR)
    ((kind, subject, priority, summary),) = await looked(connection, NOW + 12 * HOUR)
    assert (kind, subject, priority) == ("inactivity", "resident:r1", "high")
    assert "since 16:00" in summary["en"]  # NOW is 8 o'clock in UTC
    assert await rows(connection, "SELECT resident, zone, estate FROM detection") == [("r1", "home1", "e1")]


async def test_where_the_node_is_not_heard_either_it_is_raised_as_that(
    connection: Any, handler: EventHandler
) -> None:
    await sign(handler, connection, NOW, 1)
    ((kind, _, _, _),) = await looked(connection, NOW + 12 * HOUR)
    assert kind == "sensors_silent"


async def test_a_sign_of_life_moves_the_time_to_look_without_a_write(
    connection: Any, handler: EventHandler
) -> None:
    await sign(handler, connection, NOW, 1)
    before = await rows(connection, "SELECT due_at FROM deadline WHERE detector = 'routines'")
    await sign(handler, connection, NOW + HOUR, 2)
    assert await rows(connection, "SELECT due_at FROM deadline WHERE detector = 'routines'") == before
    assert await looked(connection, before[0][0]) == []
    ((due,),) = await rows(connection, "SELECT due_at FROM deadline WHERE detector = 'routines'")
    assert due >= before[0][0]


async def test_what_is_due_sooner_than_its_deadline_is_looked_at_sooner(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute("""UPDATE resident SET profile = '{"exit_doors": ["door"]}' WHERE id = 'r1'""")
    night = NOW.replace(hour=18)  # two o'clock in Shanghai
    await connection.execute(
        "INSERT INTO device (id, node, zone, kind) VALUES ('eye', 'n1', 'home1', 'motion')"
    )
    await connection.execute("INSERT INTO assignment (device, resident) VALUES ('eye', 'r1')")
    await sign(handler, connection, night - HOUR, 1, device="eye")
    await sign(handler, connection, night, 2, "door")
    ((due,),) = await rows(connection, "SELECT due_at FROM deadline WHERE detector = 'routines'")
    assert due <= night + timedelta(minutes=15)
    assert [kind for kind, *_ in await looked(connection, night + timedelta(minutes=20))] == ["wandering"]


async def test_a_planned_absence_is_no_alarm(connection: Any, handler: EventHandler) -> None:
    await sign(handler, connection, NOW, 1)
    absence = f'{{"absences": [{{"from": "{NOW + HOUR}", "until": "{NOW + 72 * HOUR}"}}]}}'
    await connection.execute("UPDATE resident SET profile = %s WHERE id = 'r1'", [absence])
    assert await looked(connection, NOW + 40 * HOUR) == []
    await hear(connection, NOW + 85 * HOUR)
    assert [kind for kind, *_ in await looked(connection, NOW + 85 * HOUR)] == ["inactivity"]


async def test_who_has_withdrawn_consent_is_not_looked_at_any_more(
    connection: Any, handler: EventHandler
) -> None:
    await sign(handler, connection, NOW, 1)
    await connection.execute("UPDATE consent SET granted = false WHERE purpose = 'routine_monitoring'")
    assert await looked(connection, NOW + 13 * HOUR) == []


async def test_an_alarm_is_raised_once_whatever_is_sent_again(connection: Any, handler: EventHandler) -> None:
    await sign(handler, connection, NOW, 1)
    await looked(connection, NOW + 13 * HOUR)
    await sign(handler, connection, NOW, 1)
    assert len(await looked(connection, NOW + 26 * HOUR)) == 1
    assert len(await rows(connection, "SELECT FROM detection")) == 1


async def test_a_month_of_days_is_learned_from(connection: Any, handler: EventHandler) -> None:
    seq = 0
    for day in range(36):
        for hour in (0, 2.5, 5, 7.5, 10, 12.5):  # from 8 to 20:30 in Shanghai
            seq += 1
            await sign(handler, connection, NOW.replace(hour=0) + timedelta(days=day, hours=hour), seq)
    ((limits,),) = await rows(
        connection,
        "SELECT state #> '{state,habits,limits}' FROM detector_state WHERE detector = 'routines'",
    )
    assert limits["days"] >= 29
    assert min(limits["minutes"]) == 180
    last = NOW.replace(hour=12, minute=30) + timedelta(days=35)
    await hear(connection, last + 12.2 * HOUR)
    ((_, _, _, summary),) = await looked(connection, last + 12.2 * HOUR)
    assert summary["en"] == "Usually up by 08:00; nothing since 20:30"


async def test_nobody_s_door_and_a_canary_s_are_not_watched(connection: Any, handler: EventHandler) -> None:
    await connection.execute("DELETE FROM assignment WHERE device = 'door'")
    await sign(handler, connection, NOW, 1)
    assert await rows(connection, "SELECT FROM detector_state WHERE detector = 'routines'") == []


async def test_what_cannot_be_read_costs_no_sign_of_life(connection: Any, handler: EventHandler) -> None:
    await sign(handler, connection, NOW, 1)
    await sign(handler, connection, NOW + HOUR, 2)
    await connection.execute("""UPDATE detector_state SET state = '{"of": "another version"}'""")
    await connection.execute("""UPDATE resident SET profile = '{"absences": [7], "exit_doors": null}'""")
    await connection.execute("UPDATE community SET time_zone = 'Nowhere/At_All'")
    await sign(handler, connection, NOW + 2 * HOUR, 3)
    assert await rows(connection, "SELECT seq FROM event ORDER BY seq") == [(1,), (2,), (3,)]
    assert [kind for kind, *_ in await looked(connection, NOW + 15 * HOUR)] == ["sensors_silent"]


async def test_two_people_are_away_while_both_are_and_a_stay_without_an_end_holds(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute(
        """
        INSERT INTO resident (id, estate, home, name, flagged) VALUES ('r2', 'e1', 'home1', 'S', true);
        INSERT INTO assignment (device, resident) VALUES ('door', 'r2');
        INSERT INTO consent (resident, purpose, granted, text_version, given_by)
            VALUES ('r2', 'routine_monitoring', true, '1', 'self');
        UPDATE resident SET profile = '{"absences": [{"from": "2026-03-01T00:00Z"}]}' WHERE id = 'r1';
        """
    )
    await sign(handler, connection, NOW, 1)
    assert [kind for kind, *_ in await looked(connection, NOW + 13 * HOUR)] == ["sensors_silent"]


async def test_of_two_people_who_are_both_away_nobody_is_missed(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute(
        """
        INSERT INTO resident (id, estate, home, name, flagged) VALUES ('r2', 'e1', 'home1', 'S', true);
        INSERT INTO assignment (device, resident) VALUES ('door', 'r2');
        INSERT INTO consent (resident, purpose, granted, text_version, given_by)
            VALUES ('r2', 'routine_monitoring', true, '1', 'self');
        UPDATE resident SET profile = '{"absences": [{"from": "2026-03-01T00:00Z"}]}';
        """
    )
    await sign(handler, connection, NOW, 1)
    assert await looked(connection, NOW + 13 * HOUR) == []
    assert await looked(connection, NOW + 80 * 24 * HOUR) == []
    assert await looked(connection, NOW + 92 * 24 * HOUR) != []  # forgotten: protection comes back


async def test_routines_in_shadow_are_recorded_and_alert_nobody(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute(
        """
        INSERT INTO detector_mode (detector, version, estate, mode, actor, reason, at)
        VALUES ('routines', 'any', 'e1', 'shadow', 'person:x', 'first weeks', now())
        """
    )
    await sign(handler, connection, NOW, 1)
    assert await looked(connection, NOW + 12 * HOUR) == []
    assert await rows(connection, "SELECT kind, shadow FROM detection") == [("sensors_silent", True)]
