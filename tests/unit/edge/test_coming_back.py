"""A thousand boxes that lost the same broker, and one box that was alone for three days."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from edge.link import LONGEST_WAIT_S, waits_s
from edge.reading import Reading
from tests.unit.edge.parts import Clocks, window
from tests.unit.edge.test_publisher import Bench
from vigil.events import Readings, SensorChanged
from vigil.topics import Lane

if TYPE_CHECKING:
    from pathlib import Path

BOXES = 1000
STEP_S = 600
STEPS = 72 * 3600 // STEP_S


def attempts(box: int, until_s: float) -> list[float]:
    """When a box tries to connect after it has lost the broker at 0 s, as paho doubles its waits."""
    wait, longest = waits_s(Random(box))
    tries = [wait]
    while tries[-1] < until_s:
        wait = min(2 * wait, longest)
        tries.append(tries[-1] + wait)
    return tries


@pytest.mark.parametrize("away_s", [0.5, 5.0, 60.0, 600.0])
def test_a_broker_that_comes_back_does_not_find_every_box_at_its_door_at_once(away_s: float) -> None:
    first = [next(at for at in attempts(box, away_s) if at >= away_s) for box in range(BOXES)]
    per_tenth = Counter(int(at * 10) for at in first)
    # Were they in step, there would be one tenth of a second with all of them in it.
    assert max(per_tenth.values()) < BOXES / 5
    assert max(first) < away_s + LONGEST_WAIT_S


@pytest.mark.asyncio
async def test_three_days_without_a_platform_lose_nothing_and_alarms_come_first(quick_path: Path) -> None:
    clocks = Clocks()
    bench = Bench(quick_path / "spool.db", clocks)
    bench.link.up = False
    for step in range(STEPS):
        clocks.move(STEP_S)
        at = clocks.utc()
        readings = [
            Reading("d1", Readings(quantity="temperature_c", interval_s=60.0, values=[21.0] * 10), at),
            Reading("d1", SensorChanged(sensor="door", state=step % 2 == 0), at),
        ]
        if step % 12 == 0:
            readings.append(Reading("d1", window(episode=f"d1-{step}"), at))
        await bench.intake.put_all(readings)
        await bench.publisher.step()
    accepted = dict(bench.spool._last)
    alarms = STEPS // 12
    assert accepted[Lane.ALARM] == alarms
    assert not bench.link.sent

    bench.link.up = True
    bench.publisher.connected("back")
    came: dict[Lane, list[int]] = {lane: [] for lane in Lane}
    order: list[Lane] = []
    while sum(bench.spool.depth().values()):
        for event in await bench.step():
            came[event.lane].append(event.seq)
            order.append(event.lane)
            assert event.replayed or event.age is not None
        for lane, seqs in came.items():
            bench.store(lane, len(set(seqs)))
        clocks.move(1)
    await bench.end()
    assert order[:alarms] == [Lane.ALARM] * alarms
    assert {lane: sorted(set(seqs)) for lane, seqs in came.items()} == {
        lane: list(range(1, last + 1)) for lane, last in accepted.items()
    }
