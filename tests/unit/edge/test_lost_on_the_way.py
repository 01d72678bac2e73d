"""What a broker or Kafka has lost is sent again as soon as that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from edge.publisher import SPREAD_S
from tests.unit.edge.test_publisher import Bench
from vigil.events import PlatformState
from vigil.topics import Lane, platform_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def sent(quick_path: Path) -> AsyncIterator[Bench]:
    """A node that has sent an alarm and an event, and has heard nothing of them."""
    bench = Bench(quick_path / "spool.db")
    bench.publisher.connected("s1", kept=False)
    say(bench, "log-1")
    await bench.put(Lane.ALARM, Lane.EVENT)
    await bench.step()
    yield bench
    await bench.end()


def say(bench: Bench, incarnation: str) -> None:
    state = PlatformState(up=True, storing=True, at=bench.clocks.utc(), incarnation=incarnation)
    bench.tell(platform_state("c1"), state)


async def lanes_sent(bench: Bench) -> set[Lane]:
    return {event.lane for event in await bench.step()}


async def test_another_log_makes_everything_due_alarms_at_once(sent: Bench) -> None:
    say(sent, "log-2")
    assert await lanes_sent(sent) == {Lane.ALARM}
    sent.clocks.move(SPREAD_S)
    assert Lane.EVENT in await lanes_sent(sent)


async def test_the_same_log_said_again_changes_nothing(sent: Bench) -> None:
    say(sent, "log-1")
    sent.clocks.move(5)
    assert await lanes_sent(sent) == set()


async def test_a_broker_that_no_longer_knows_us_gets_everything_again(sent: Bench) -> None:
    sent.publisher.connected("s2", kept=False)
    assert await lanes_sent(sent) == {Lane.ALARM}
    sent.clocks.move(SPREAD_S)
    assert Lane.EVENT in await lanes_sent(sent)


async def test_a_broker_that_kept_our_session_does_not(sent: Bench) -> None:
    sent.publisher.connected("s2", kept=True)
    sent.clocks.move(5)
    assert await lanes_sent(sent) == set()
