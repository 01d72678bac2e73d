"""Take messages from an `Inbox`, produce them to Kafka, then acknowledge them.

Place in the flow: MQTT -> `ingest.inbox` -> here (`ingest.translate` decides) -> Kafka ->
`processors.pipeline`.  A batch is acknowledged when every in-sync replica has all of it, and
tried again for as long as that takes: a time-out is an unknown outcome, and producing twice
does no harm, since events carry their identity.

While Kafka writes one batch, the next is taken in: two tasks with a short queue between them.
Batches are handed to Kafka and acknowledged in the order in which they came; where Kafka refuses
one, it may have the next one sooner (processors put a node's events in order themselves).
"""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from prometheus_client import Counter, Histogram

from ingest.translate import translate
from vigil.errors import Stalled
from vigil.failpoints import passing
from vigil.progress import Work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder

    from ingest.inbox import Inbox
    from ingest.translate import Record
    from ingest.wire import Message
    from vigil.clock import Clock
    from vigil.registry import Registry

T = TypeVar("T")
Partition: TypeAlias = tuple[str, int]
Groups: TypeAlias = "dict[Partition, list[Record]]"
Handed: TypeAlias = "list[tuple[Partition, list[Record], list[Awaitable[object]]]]"
"""What was handed to the Kafka client, and what tells the outcome."""

BATCH: Final = 500
"""Messages produced at once: half a window.  The client has one request under way to a Kafka broker, so
the one half is with Kafka while the other is taken in; a quarter made twice the requests, and we waited
for Kafka half the time (0.71 of mq-bridge's rate with 250, 0.90 with 500, `python -m tests.bench bridge`;
docs/measurements.md)."""
TURN: Final = 125
"""Messages translated without letting anybody else have the core: 1 ms, for which an alarm on the other
connection may have to wait."""
GATHER_S: Final = 0.05
"""How long a few messages wait for more, alarms' excepted.  A batch costs us and Kafka as much as some
ten messages for each partition that it has records for; the processors gather for 50 ms anyway."""
UNDER_WAY: Final = 4
"""Batches handed to Kafka and not confirmed; the window of unacknowledged messages bounds them too."""
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages on their way through Kafka."""

    messages: list[Message]
    records: list[Record]
    handed: Handed
    began: float


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
        *,
        gather_s: float = 0.0,
    ) -> None:
        """Name the parts, and how long a few messages may wait for more; alarms' do not."""
        self.carried = 0
        self._taken = 0
        self._inbox = inbox
        self._producer = producer
        self._registry = registry
        self._clock = clock
        self._gather_s = gather_s
        self._under_way: asyncio.Queue[Batch] = asyncio.Queue(UNDER_WAY)

    async def run(self) -> None:
        """Carry for ever.

        Raises:
            Exception: What made that impossible.
        """
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._for_ever(self.take_in), name="take in")
                both.create_task(self._for_ever(self.let_go), name="let go")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await step()

    async def take_in(self) -> None:
        """Wait for messages, and hand them to Kafka."""
        messages = await self._inbox.take(BATCH, self._gather_s)
        self._taken += len(messages)
        began = perf_counter()
        records = await self._translated(messages)
        passing("ingest.before_produce")
        groups = await _by_partition(self._producer, records)
        handed = await _answered(_hand_over(self._producer, groups, self._clock()))
        await self._under_way.put(Batch(messages, records, handed, began))

    async def _translated(self, messages: Sequence[Message]) -> list[Record]:
        registry = self._registry()
        records: list[Record] = []
        for start in range(0, len(messages), TURN):
            if start:
                await asyncio.sleep(0)
            turn = messages[start : start + TURN]
            records += [translate(m.topic, m.payload, registry, m.dropped) for m in turn]
        return records

    async def let_go(self) -> None:
        """Wait until Kafka has the oldest batch, and acknowledge its messages."""
        batch = await self._under_way.get()
        await _settled(self._producer, batch.handed, self._clock())
        passing("ingest.after_produce")
        self._inbox.acknowledge(batch.messages)
        passing("ingest.after_acknowledge")
        took.observe(perf_counter() - batch.began)
        self._count(batch.records)

    def work(self) -> Work:
        """Return how far it has come, for `/readyz`."""
        return Work(self.carried, self._taken - self.carried + self._inbox.waiting)

    def _count(self, records: Sequence[Record]) -> None:
        self.carried += len(records)
        for topic, count in Counts([record.topic for record in records]).items():
            bridged.labels(topic).inc(count)
        for reason, count in Counts([r.reason for r in records if r.reason]).items():
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
    await _settled(producer, await _answered(_hand_over(producer, groups, now)), now)


async def _settled(producer: AIOKafkaProducer, handed: Handed, now: datetime) -> None:
    """Return when Kafka has all of it; what it does not confirm is handed over again."""
    attempt = 0
    while failed := await _answered(_unconfirmed(handed)):
        refused.inc()
        await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
        handed = await _answered(_hand_over(producer, failed, now))
        attempt += 1


async def _answered(work: Awaitable[T]) -> T:
    """Wait for the client; what never ends is the client's fault, and a new process the cure."""
    try:
        async with asyncio.timeout(STALL_S):
            return await work
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


async def _hand_over(producer: AIOKafkaProducer, groups: Groups, now: datetime) -> Handed:
    """Give each group to the client; returns when its queue has them, not Kafka."""
    timestamp = int(now.timestamp() * 1000)
    handing = (_hand_group(producer, *partition, group, timestamp) for partition, group in groups.items())
    outcomes = await asyncio.gather(*handing)
    return [(*item, outcome) for item, outcome in zip(groups.items(), outcomes, strict=True)]


async def _hand_group(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[Record], timestamp: int
) -> list[Awaitable[object]]:
    handed: list[Awaitable[object]] = []
    try:
        for packed in _packed(producer, records, timestamp):
            handed.append(await producer.send_batch(packed, topic, partition=partition))  # noqa: PERF401 - what was handed before an error counts
    except (KafkaError, TimeoutError) as error:
        refusal = asyncio.get_running_loop().create_future()
        refusal.set_exception(error)
        handed.append(refusal)
    return handed


def _packed(producer: AIOKafkaProducer, records: Iterable[Record], timestamp: int) -> Iterator[BatchBuilder]:
    builder = producer.create_batch()
    for record in records:
        if not _append(builder, record, timestamp):
            yield builder
            builder = producer.create_batch()
            _append(builder, record, timestamp)
    yield builder


def _append(builder: BatchBuilder, record: Record, timestamp: int) -> bool:
    entry = builder.append(
        key=record.key, value=record.value, timestamp=timestamp, headers=list(record.headers)
    )
    return entry is not None


async def _unconfirmed(handed: Handed) -> Groups:
    """Wait for the outcomes, and return the groups of which Kafka has not confirmed all."""
    failed: Groups = {}
    for partition, group, outcomes in handed:
        for outcome in await asyncio.gather(*outcomes, return_exceptions=True):
            if isinstance(outcome, (KafkaError, TimeoutError)):
                _log.warning("kafka did not confirm", partition=partition, error=str(outcome))
                failed[partition] = group
            elif isinstance(outcome, BaseException):
                raise outcome
    return failed


@lru_cache(maxsize=262_144)
def partition_of(key: bytes, partitions: int) -> int:
    """Return a key's partition, as every Kafka client computes it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
