"""Producing to a Kafka that fails: tried again for what failed, and never for ever in silence."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import NotEnoughReplicasError

from ingest import bridge
from ingest.bridge import partition_of, produce
from ingest.translate import Record
from vigil.errors import Stalled
from vigil.topics import EVENT

pytestmark = pytest.mark.asyncio
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PARTITIONS = 6


class Batch:
    """What aiokafka's `create_batch` gives."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, key: bytes, value: bytes, timestamp: int, headers: list[Any]) -> object:
        self.values.append(value)
        return key, timestamp, headers


@dataclass
class FaultyKafka:
    """A producer whose partitions fail so many times, or never answer; a mock to inject the fault."""

    failures: Counter[int] = field(default_factory=Counter)
    silent: bool = False
    taken: list[bytes] = field(default_factory=list)

    async def partitions_for(self, _topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[None]:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.silent:
            return outcome
        if self.failures[partition] > 0:
            self.failures[partition] -= 1
            outcome.set_exception(NotEnoughReplicasError())
        else:
            self.taken += batch.values
            outcome.set_result(None)
        return outcome


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "RETRY_S", (0.0,))


def records(*nodes: str) -> list[Record]:
    return [Record(EVENT, node.encode(), node.encode()) for node in nodes]


async def test_what_kafka_has_not_confirmed_is_produced_again_until_it_has() -> None:
    partition = partition_of(b"n1", PARTITIONS)
    kafka = FaultyKafka(Counter({partition: 3}))
    await produce(kafka, records("n1"), NOW)
    assert kafka.taken == [b"n1"]


async def test_what_was_confirmed_is_not_produced_again_because_another_partition_failed() -> None:
    nodes = next(
        (a, b)
        for a, b in (("n1", f"n{i}") for i in range(2, 99))
        if partition_of(a.encode(), PARTITIONS) != partition_of(b.encode(), PARTITIONS)
    )
    kafka = FaultyKafka(Counter({partition_of(nodes[0].encode(), PARTITIONS): 2}))
    await produce(kafka, records(*nodes), NOW)
    assert sorted(kafka.taken) == sorted(node.encode() for node in nodes)


async def test_a_client_that_neither_succeeds_nor_fails_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge, "STALL_S", 0.05)
    with pytest.raises(Stalled, match="producing to Kafka"):
        await produce(FaultyKafka(silent=True), records("n1"), NOW)
