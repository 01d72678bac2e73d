from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from edge import running
from edge.running import Running
from tests.unit.edge.parts import reading
from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection

    from edge.reading import Put, Reading, Source

pytestmark = pytest.mark.asyncio


class Steady:
    """Hands over one reading and goes on for ever."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def run(self, put: Put) -> None:
        try:
            await put(reading(device="steady"))
            await asyncio.Event().wait()
        finally:
            self.ended.set()


class Broken:
    """Fails twice, then works."""

    def __init__(self) -> None:
        self.attempts = 0

    async def run(self, put: Put) -> None:
        self.attempts += 1
        if self.attempts < 3:
            raise RuntimeError("the cable is loose")
        await put(reading(device="broken"))


class Taken:
    """What was put, and what is raised at the next puts."""

    def __init__(self, *errors: Exception) -> None:
        self.readings: list[str] = []
        self.errors = list(errors)
        self.came = asyncio.Event()

    async def until(self, count: int) -> None:
        while len(self.readings) < count:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 5)

    async def put(self, taken: Reading) -> None:
        if self.errors:
            self.came.set()
            raise self.errors.pop(0)
        self.readings.append(taken.device)
        self.came.set()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(running, "RETRY_S", 0.0)


async def until(sources: dict[str, Source], taken: Taken, *devices: str) -> Running:
    started = Running(taken.put, Random(1))
    started.start(sources, dict.fromkeys(sources))
    while not set(devices) <= set(taken.readings):
        taken.came.clear()
        await asyncio.wait_for(taken.came.wait(), 5)
    return started


async def test_a_source_that_fails_is_started_again_and_the_others_go_on() -> None:
    broken = Broken()
    started = await until({"broken": broken, "steady": Steady()}, Taken(), "steady", "broken")
    assert broken.attempts == 3
    assert started.trouble == {"broken": "source broken failed: RuntimeError"}
    await started.stop()


async def test_a_reading_waits_while_the_spool_has_no_room() -> None:
    taken = Taken(Unavailable("the spool", "full"), Unavailable("the spool", "full"))
    started = await until({"steady": Steady()}, taken, "steady")
    await started.stop()


async def test_a_reading_that_is_refused_does_not_end_its_source() -> None:
    taken = Taken(Rejected("malformed", "nonsense"))
    steady = Steady()
    started = Running(taken.put, Random(1))
    started.start({"steady": steady}, {"steady": None})
    await asyncio.wait_for(taken.came.wait(), 5)
    assert not steady.ended.is_set()
    await started.stop()


async def test_replacing_ends_the_old_sources_before_the_new_ones_are_built() -> None:
    old, taken = Steady(), Taken()
    started = await until({"old": old}, taken, "steady")

    def build(names: Collection[str]) -> dict[str, Source]:
        assert old.ended.is_set()
        assert set(names) == {"new"}
        return {"new": Steady()}

    await started.replace({"new": None}, build)
    await started.stop()


async def test_a_source_that_is_made_of_the_same_goes_on_when_others_are_replaced() -> None:
    stays, changes, taken = Steady(), Steady(), Taken()
    started = Running(taken.put, Random(1))
    started.start({"stays": stays, "changes": changes}, {"stays": ["a"], "changes": ["b"]})
    await taken.until(2)
    await started.replace(
        {"stays": ["a"], "changes": ["c"]}, lambda names: {name: Steady() for name in names}
    )
    assert changes.ended.is_set()
    assert not stays.ended.is_set()
    await started.stop()
    assert stays.ended.is_set()


async def test_what_could_not_be_built_is_built_when_it_is_asked_for_again() -> None:
    old, taken = Steady(), Taken()
    started = await until({"old": old}, taken, "steady")

    def fails(_names: Collection[str]) -> dict[str, Source]:
        raise Rejected("bad_config", "no such port")

    with pytest.raises(Rejected):
        await started.replace({"old": "other"}, fails)
    taken.readings.clear()
    await started.replace({"old": None}, lambda _names: {"old": Steady()})
    await taken.until(1)
    await started.stop()
