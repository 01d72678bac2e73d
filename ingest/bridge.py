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
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from prometheus_client import Counter, Histogram

from ingest.translate import translate
from vigil.failpoints import passing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder

    from ingest.inbox import Inbox
    from ingest.translate import Record
    from vigil.clock import Clock
    from vigil.registry import Registry

BATCH: Final = 2000
"""Messages produced at once."""
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
            await self._produce(records)
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

    async def _produce(self, records: Sequence[Record]) -> None:
        """Produce all records, trying again what Kafka has not confirmed."""
        groups = await self._by_partition(records)
        attempt = 0
        while groups:
            groups = await self._confirmed(groups)
            if groups:
                refused.inc()
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1

    async def _by_partition(self, records: Sequence[Record]) -> dict[tuple[str, int], list[Record]]:
        counts = {topic: await self._partitions(topic) for topic in {r.topic for r in records}}
        groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in records:
            groups[record.topic, partition_of(record.key, counts[record.topic])].append(record)
        return groups

    async def _partitions(self, topic: str) -> int:
        while True:
            try:
                return len(await self._producer.partitions_for(topic))
            except KafkaError as error:
                _log.warning("kafka does not answer", error=str(error))
                await asyncio.sleep(RETRY_S[1])

    async def _confirmed(
        self,
        groups: dict[tuple[str, int], list[Record]],
    ) -> dict[tuple[str, int], list[Record]]:
        """Produce each group, and return those that Kafka has not confirmed."""
        outcomes = await asyncio.gather(
            *(self._send(topic, partition, group) for (topic, partition), group in groups.items()),
            return_exceptions=True,
        )
        failed: dict[tuple[str, int], list[Record]] = {}
        for (key, group), outcome in zip(groups.items(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                if not isinstance(outcome, (KafkaError, TimeoutError)):
                    raise outcome
                _log.warning("kafka did not confirm", topic=key[0], partition=key[1], error=str(outcome))
                failed[key] = group
        return failed

    async def _send(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        timestamp = int(self._clock().timestamp() * 1000)
        sent = []
        builder = self._producer.create_batch()
        for record in records:
            if not _append(builder, record, timestamp):
                sent.append(await self._producer.send_batch(builder, topic, partition=partition))
                builder = self._producer.create_batch()
                _append(builder, record, timestamp)
        sent.append(await self._producer.send_batch(builder, topic, partition=partition))
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
