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
    started.start(sources)
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
    started.start({"steady": steady})
    await asyncio.wait_for(taken.came.wait(), 5)
    assert not steady.ended.is_set()
    await started.stop()


async def test_replacing_ends_the_old_sources_before_the_new_ones_are_built() -> None:
    old, taken = Steady(), Taken()
    started = await until({"old": old}, taken, "steady")

    def build() -> dict[str, Source]:
        assert old.ended.is_set()
        return {"new": Steady()}

    await started.replace(build)
    await started.stop()
