"""Two batches under way: acknowledged in their order, and only what Kafka has confirmed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from ingest import bridge as bridges
from ingest.bridge import Bridge
from ingest.wire import Message
from tests.making import event, mqtt_topic
from tests.unit.ingest.test_produce import PARTITIONS, Batch
from vigil import events
from vigil.errors import Stalled
from vigil.progress import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

pytestmark = pytest.mark.asyncio
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class SlowKafka:
    """A producer that answers when the test says so; a mock, since no real one can be told."""

    def __init__(self) -> None:
        self.handed: list[list[bytes]] = []
        self.outcomes: list[asyncio.Future[None]] = []

    async def partitions_for(self, _topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[None]:
        assert partition in range(PARTITIONS)
        self.handed.append(batch.values)
        self.outcomes.append(asyncio.get_running_loop().create_future())
        return self.outcomes[-1]

    async def has(self, batches: int) -> None:
        await until(lambda: len(self.handed) == batches)


class Box:
    """What the bridge needs of an inbox."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[Message]] = asyncio.Queue()
        self.acknowledged: list[int] = []

    @property
    def waiting(self) -> int:
        return self.queue.qsize()

    async def take(self, _most: int, _gather_s: float) -> list[Message]:
        return await self.queue.get()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += [message.mid for message in messages]


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)


def calls(*seqs: int) -> list[Message]:
    return [
        Message(1, envelope.seq, mqtt_topic(envelope), events.encode(envelope))
        for envelope in (event(seq=seq) for seq in seqs)
    ]


@asynccontextmanager
async def carrying() -> AsyncIterator[tuple[Any, SlowKafka, Bridge]]:
    box, kafka = Box(), SlowKafka()
    bridge = Bridge(box, kafka, lambda: None, lambda: NOW)  # type: ignore[arg-type]  # the box is a fake
    task = asyncio.create_task(bridge.run())
    try:
        yield box, kafka, bridge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_next_batch_is_taken_in_meanwhile_and_acknowledged_after_the_first() -> None:
    async with carrying() as (box, kafka, bridge):
        box.queue.put_nowait(calls(1, 2))
        box.queue.put_nowait(calls(3))
        await kafka.has(2)
        kafka.outcomes[1].set_result(None)
        await asyncio.sleep(0.01)
        assert box.acknowledged == []
        assert bridge.work() == Work(done=0, waiting=3)
        kafka.outcomes[0].set_result(None)
        await until(lambda: box.acknowledged == [1, 2, 3])
        assert bridge.work() == Work(done=3, waiting=0)


async def test_an_unknown_outcome_is_no_acknowledgement_and_the_same_bytes_are_produced_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridges, "RETRY_S", (0.0,))
    async with carrying() as (box, kafka, _):
        box.queue.put_nowait(calls(1))
        await kafka.has(1)
        kafka.outcomes[0].set_exception(KafkaTimeoutError())
        await kafka.has(2)
        assert box.acknowledged == []
        assert kafka.handed[0] == kafka.handed[1]
        kafka.outcomes[1].set_result(None)
        await until(lambda: box.acknowledged == [1])


async def test_only_so_many_batches_are_under_way_and_the_rest_waits_at_the_broker() -> None:
    async with carrying() as (box, kafka, _):
        for seq in range(1, 21):
            box.queue.put_nowait(calls(seq))
        most = bridges.UNDER_WAY + 2  # one is waited for, and one waits for room
        await kafka.has(most)
        await asyncio.sleep(0.01)
        assert len(kafka.handed) == most
        assert box.queue.qsize() == 20 - most


async def test_an_alarm_on_the_other_connection_does_not_wait_for_a_whole_batch_to_be_translated() -> None:
    async with carrying() as (bulk, busy, _), carrying() as (box, kafka, _):
        bulk.queue.put_nowait(calls(*range(1, bridges.BATCH + 1)))
        box.queue.put_nowait(calls(1))
        await kafka.has(1)
        assert busy.handed == []
        await until(lambda: sum(map(len, busy.handed)) == bridges.BATCH)


async def test_a_client_that_never_answers_ends_the_process_with_its_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridges, "STALL_S", 0.02)
    box, kafka = Box(), SlowKafka()
    box.queue.put_nowait(calls(1))
    with pytest.raises(Stalled, match="producing to Kafka"):
        await Bridge(box, kafka, lambda: None, lambda: NOW).run()  # type: ignore[arg-type]  # the box is a fake
    assert box.acknowledged == []
