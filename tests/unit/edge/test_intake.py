from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from edge.intake import Intake
from edge.reading import Reading
from edge.spool import Row, Spool
from edge.timesync import Instant
from tests.unit.edge.parts import ADDRESS, START, Clocks, data_for, reading
from vigil.errors import Rejected, Unavailable
from vigil.events import Readings, SensorChanged
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.asyncio


class CountedSpool(Spool):
    """Counts transactions, and refuses what it is told to refuse."""

    refused: Lane | None = None
    transactions = 0

    def put(self, readings: Sequence[Reading], now: Instant) -> list[Row]:
        self.transactions += 1
        with_it = [
            r for r in readings if self.refused is None or type(r.data) is type(data_for(self.refused))
        ]
        if self.refused is not None and with_it:
            raise Unavailable("the spool", "no room")
        return super().put(readings, now)


class Running:
    def __init__(self, path: Path) -> None:
        self.spool = CountedSpool(path, ADDRESS, START)
        self.intake = Intake(self.spool, Clocks().now)
        self.task = asyncio.create_task(self.intake.run(), name="intake")


@pytest_asyncio.fixture
async def running(quick_path: Path) -> AsyncIterator[Running]:
    running = Running(quick_path / "spool.db")
    yield running
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    await running.intake.close()
    running.spool.close()


async def test_when_put_returns_the_row_is_there(running: Running) -> None:
    await running.intake.put(reading(Lane.ALARM))
    assert running.spool.depth()[Lane.ALARM] == 1


async def test_many_sources_share_a_transaction(running: Running) -> None:
    await asyncio.gather(*(running.intake.put(reading()) for _ in range(500)))
    assert running.spool.depth()[Lane.EVENT] == 500
    assert running.spool.transactions <= 3


async def test_listeners_are_told_what_was_accepted_and_its_rows(running: Running) -> None:
    told: list[tuple[Reading, int]] = []
    running.intake.listeners.append(
        lambda readings, rows: told.extend((r, row.key.seq) for r, row in zip(readings, rows, strict=True))
    )
    first, second = reading(device="a"), reading(device="b")
    await running.intake.put_all([first, second])
    assert told == [(first, 1), (second, 2)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reading("no spaces", data_for(Lane.EVENT), START.utc), "malformed"),
        (Reading("d1", Readings(quantity="t", interval_s=1, values=[float("nan")]), START.utc), "malformed"),
        (Reading("d1", SensorChanged(sensor="moon", state=True), START.utc), "malformed"),  # type: ignore[arg-type]  # what a broken source does
        (Reading("d1", data_for(Lane.EVENT), datetime(2026, 3, 1)), "malformed"),  # noqa: DTZ001 - that is the point
        (Reading("d1", SensorChanged(sensor="door", state=True, zone="z" * 70_000), START.utc), "oversize"),
    ],
)
async def test_what_the_platform_would_refuse_gets_no_number(
    running: Running, bad: Reading, reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        await running.intake.put(bad)
    assert caught.value.reason == reason
    assert running.spool.transactions == 0


async def test_a_bad_reading_of_one_source_does_not_disturb_the_others(running: Running) -> None:
    bad = Reading("no spaces", data_for(Lane.EVENT), START.utc)
    outcomes = await asyncio.gather(
        running.intake.put(bad), running.intake.put(reading()), return_exceptions=True
    )
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[1] is None
    assert running.spool.depth()[Lane.EVENT] == 1


async def test_alarms_are_accepted_although_the_rest_finds_no_room(running: Running) -> None:
    running.spool.refused = Lane.TELEMETRY
    outcomes = await asyncio.gather(
        running.intake.put(reading(Lane.TELEMETRY)),
        running.intake.put(reading(Lane.ALARM)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], Unavailable)
    assert outcomes[1] is None
    assert running.spool.depth()[Lane.ALARM] == 1


async def test_an_alarm_that_finds_no_room_is_handed_to_whoever_can_sound_it(running: Running) -> None:
    unheard: list[Reading] = []
    running.intake.refused.append(unheard.append)
    running.spool.refused = Lane.ALARM
    alarm = reading(Lane.ALARM)
    with pytest.raises(Unavailable):
        await running.intake.put(alarm)
    assert unheard == [alarm]


async def test_what_waits_is_written_when_the_node_ends(quick_path: Path) -> None:
    spool = Spool(quick_path / "spool.db", ADDRESS, START)
    intake = Intake(spool, lambda: Instant(START.utc.astimezone(UTC), 1.0, "m"))
    waiting = asyncio.create_task(intake.put(reading(Lane.ALARM)))
    await asyncio.sleep(0)
    await intake.close()
    await waiting
    assert spool.depth()[Lane.ALARM] == 1
    spool.close()
