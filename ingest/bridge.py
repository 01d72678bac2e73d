"""Take messages from an `Inbox`, produce them to Kafka, then acknowledge them.

Place in the flow: MQTT -> `ingest.inbox` -> here (`ingest.translate` decides) -> Kafka ->
`processors.pipeline`.  A batch is acknowledged when every in-sync replica has all of it, and
tried again for as long as that takes: a time-out is an unknown outcome, and producing twice
does no harm, since events carry their identity.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from prometheus_client import Counter, Histogram

from ingest.translate import translate
from vigil.errors import Stalled
from vigil.failpoints import passing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder

    from ingest.inbox import Inbox
    from ingest.translate import Record
    from vigil.clock import Clock
    from vigil.registry import Registry

    Groups: TypeAlias = dict[tuple[str, int], list[Record]]

BATCH: Final = 2000
"""Messages produced at once."""
STALL_S: Final = 45.0
"""A batch that Kafka does not confirm fails after the client's 10 s, and is tried again; longer
than this, the client itself has stopped working."""
RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to produce; the last one repeats."""

bridged = Counter("vigil_ingest_messages_total", "Messages produced to Kafka.", ["topic"])
dead = Counter("vigil_ingest_dead_total", "Messages that became dead letters.", ["reason"])
refused = Counter("vigil_ingest_produce_failures_total", "Batches that Kafka did not confirm; tried again.")
took = Histogram("vigil_ingest_batch_seconds", "From taking a batch to acknowledging it.")
_log = structlog.get_logger(__name__)


class Bridge:
    """Carries one connection's messages to Kafka.

    Attributes:
        carried: Messages acknowledged so far; the heartbeat's progress.
    """

    def __init__(
        self,
        inbox: Inbox,
        producer: AIOKafkaProducer,
        registry: Callable[[], Registry | None],
        clock: Clock,
    ) -> None:
        self.carried = 0
        self._inbox = inbox
        self._producer = producer
        self._registry = registry
        self._clock = clock

    async def run(self) -> None:
        """Carry for ever."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Carry one batch: wait for it, produce it, acknowledge it."""
        messages = await self._inbox.take(BATCH)
        with took.time():
            registry = self._registry()
            records = [translate(m.topic, m.payload, registry) for m in messages]
            passing("ingest.before_produce")
            await produce(self._producer, records, self._clock())
            passing("ingest.after_produce")
            self._inbox.acknowledge(messages)
            passing("ingest.after_acknowledge")
        self._count(records)

    def _count(self, records: Sequence[Record]) -> None:
        self.carried += len(records)
        for topic, count in Counts(record.topic for record in records).items():
            bridged.labels(topic).inc(count)
        for reason, count in Counts(r.reason for r in records if r.reason).items():
            dead.labels(reason).inc(count)


async def produce(producer: AIOKafkaProducer, records: Sequence[Record], now: datetime) -> None:
    """Produce all records, trying again what Kafka has not confirmed, for as long as that takes.

    Args:
        producer: Waits for every in-sync replica.
        records: In the order in which each partition is to have them.
        now: Their time stamp: when they were received.

    Raises:
        Stalled: The client no longer answers, neither with success nor with failure.
    """
    groups = await _by_partition(producer, records)
    attempt = 0
    while groups := await _attempt(producer, groups, now):
        refused.inc()
        await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
        attempt += 1


async def _attempt(producer: AIOKafkaProducer, groups: Groups, now: datetime) -> Groups:
    """Produce once; an attempt that never ends is the client's fault, and a new process the cure."""
    try:
        async with asyncio.timeout(STALL_S):
            return await _unconfirmed(producer, groups, now)
    except TimeoutError:
        raise Stalled("producing to Kafka", STALL_S) from None


async def _by_partition(producer: AIOKafkaProducer, records: Sequence[Record]) -> Groups:
    counts = {topic: await _partitions(producer, topic) for topic in {r.topic for r in records}}
    groups: Groups = defaultdict(list)
    for record in records:
        groups[record.topic, partition_of(record.key, counts[record.topic])].append(record)
    return groups


async def _partitions(producer: AIOKafkaProducer, topic: str) -> int:
    while True:
        try:
            return len(await producer.partitions_for(topic))
        except KafkaError as error:
            _log.warning("kafka does not answer", error=str(error))
            await asyncio.sleep(RETRY_S[1])


async def _unconfirmed(producer: AIOKafkaProducer, groups: Groups, now: datetime) -> Groups:
    """Produce each group, and return those that Kafka has not confirmed."""
    sends = (_send(producer, *partition, group, now) for partition, group in groups.items())
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    failed: Groups = {}
    for (partition, group), outcome in zip(groups.items(), outcomes, strict=True):
        if isinstance(outcome, (KafkaError, TimeoutError)):
            _log.warning("kafka did not confirm", partition=partition, error=str(outcome))
            failed[partition] = group
        elif outcome is not None:
            raise outcome
    return failed


async def _send(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    records: Sequence[Record],
    now: datetime,
) -> None:
    timestamp = int(now.timestamp() * 1000)
    sent = []
    builder = producer.create_batch()
    for record in records:
        if not _append(builder, record, timestamp):
            sent.append(await producer.send_batch(builder, topic, partition=partition))
            builder = producer.create_batch()
            _append(builder, record, timestamp)
    sent.append(await producer.send_batch(builder, topic, partition=partition))
    await asyncio.gather(*sent)


def _append(builder: BatchBuilder, record: Record, timestamp: int) -> bool:
    headers = list(record.headers)
    return (
        builder.append(key=record.key, value=record.value, timestamp=timestamp, headers=headers) is not None
    )


@lru_cache(maxsize=262_144)
def partition_of(key: bytes, partitions: int) -> int:
    """Return a key's partition, as every Kafka client computes it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
