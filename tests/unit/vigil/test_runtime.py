from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from vigil import runtime
from vigil.errors import Stalled, Unavailable
from vigil.runtime import retrying, run_until_stopped, together, watch_lag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.asyncio


class Work:
    """A coroutine that works until it is cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_all_work_and_is_no_error(number: int) -> None:
    one, other = Work(), Work()

    async def ask() -> None:
        await one.started.wait()
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    await run_until_stopped(one.run(), other.run(), ask())
    assert one.ended
    assert other.ended


async def test_work_that_misses_one_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "AGAIN_S", 0.01)
    work = Work()

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await work.started.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        await work.run()

    await run_until_stopped(work.run(), deaf())
    assert work.ended


async def test_the_first_failure_ends_all_work_and_is_what_the_caller_sees() -> None:
    work = Work()

    async def fail() -> None:
        await work.started.wait()
        raise Stalled("alarm", 30)

    with pytest.raises(Stalled, match="alarm has not moved for 30 s"):
        await run_until_stopped(work.run(), fail())
    assert work.ended


async def test_work_that_fails_while_it_is_ended_does_not_hide_the_first_failure() -> None:
    started = asyncio.Event()

    async def stubborn() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("second")

    async def fail() -> None:
        await started.wait()
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await run_until_stopped(stubborn(), fail())


async def test_what_is_away_is_tried_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LONGEST_WAIT_S", 0.0)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers: Iterator[Exception | str] = iter(
        [Unavailable("Kafka", "refused"), Unavailable("Kafka", "refused"), "id"]
    )

    async def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await retrying(attempt) == "id"
    assert len(slept) == 2


async def test_another_error_is_not_waited_for() -> None:
    async def attempt() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await retrying(attempt)


async def test_what_computes_on_the_loop_shows_as_its_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LOOK_S", 0.01)  # a test need not wait for the real one

    def told(what: str) -> float:
        return REGISTRY.get_sample_value(f"vigil_loop_lag_seconds_{what}") or 0.0

    looks, late = told("count"), told("sum")
    watching = asyncio.create_task(watch_lag())
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - what must never be done is what is measured
    await asyncio.sleep(0.05)  # the watcher's turn was due before this
    watching.cancel()
    assert told("count") > looks
    assert told("sum") - late >= 0.2 - 0.01


@asynccontextmanager
async def waiting(name: str, parted: list[str], all_part: asyncio.Barrier) -> AsyncIterator[str]:
    """Something that parts only while the others do."""
    yield name
    await all_part.wait()
    parted.append(name)


async def test_what_is_opened_together_parts_together() -> None:
    parted: list[str] = []
    all_part = asyncio.Barrier(3)
    async with together(*(waiting(name, parted, all_part) for name in "abc")) as opened:
        assert opened == ["a", "b", "c"]
        assert parted == []
    assert sorted(parted) == ["a", "b", "c"]


async def test_where_one_cannot_be_opened_the_others_are_closed() -> None:
    parted: list[str] = []

    @asynccontextmanager
    async def away() -> AsyncIterator[str]:
        if not parted:
            raise Unavailable("Kafka", "nobody answers")
        yield ""

    with pytest.raises(Unavailable):
        async with together(waiting("a", parted, asyncio.Barrier(1)), away()):
            pytest.fail("it was opened")
    assert parted == ["a"]
