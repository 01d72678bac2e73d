"""Take batches from Kafka into PostgreSQL, each in one transaction, and give receipts.

Place in the flow: Kafka -> here (`processors.intake` says what is done with a batch) ->
PostgreSQL -> receipts to `ingest.downlink`.

Rules
-----
1. A partition is claimed in the database when it is assigned: the claim raises its epoch, so
   that whoever wrote for it before can no longer commit, and says where to go on.
2. A batch's results and its place in the log are one transaction.  Receipts are given after
   the commit; where they get lost, the edge sends again and is answered again.
3. When the database is away the batch is tried again for as long as that takes.
4. When a batch fails for any other reason it is halved, down to the one record that will not
   go in; after `ATTEMPTS` that one becomes a dead letter, and the rest goes on.
5. Another incarnation of the log is read from its beginning.
6. A place moves on from where it was left, and from nowhere else: a database that was restored from
   a backup is behind it, and what it has lost is read again from there.
7. With something to read and no movement for `stall_s`, the process ends and is restarted.
8. A pipeline may have several hands.  Each has partitions of its own, and takes in their batches one after
   the other as if it were alone; while the one waits for the database the other computes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge, Histogram

from vigil import receipts, topics
from vigil.errors import Fenced, Rejected, Stalled, Unavailable
from vigil.failpoints import passing
from vigil.progress import Work
from vigil.store import intake
from vigil.store.intake import EARLIEST, Claim, Move

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

    from processors.intake import Handler, Taken
    from vigil.clock import Clock
    from vigil.receipts import StoredReceipt
    from vigil.store.pool import Connection, Pool

    Record: TypeAlias = ConsumerRecord[Any, Any]
    Handle: TypeAlias = Callable[[Connection, Sequence[Record], datetime], Awaitable[Taken]]

ATTEMPTS: Final = 3
"""How often one record alone may fail before it is put aside."""
POLL_MS: Final = 200
WAIT_S: Final = (0.1, 0.5, 1.0, 2.0)
"""Waits while the database is away; the last one repeats."""
LOOK_S: Final = 5.0
"""Between two looks for a stall while nothing comes in, and for places that are not where they were left."""
NO_CLAIM: Final = Claim(epoch=0, next_offset=EARLIEST)
"""Epoch 0 has nobody: who commits with it is fenced off."""
RECEIPTS_S: Final = 2.0
"""Longest wait for Kafka to take receipts."""

batch_seconds = Histogram(
    "vigil_pipeline_batch_seconds", "One batch, from the log to the commit.", ["pipeline"]
)
batch_records = Histogram(
    "vigil_pipeline_batch_records",
    "Records in a batch.",
    ["pipeline"],
    buckets=(1, 10, 100, 500, 1000, 2000, 5000),
)
poisoned = Counter(
    "vigil_pipeline_poison_total", "Records that could not be taken in, put aside.", ["pipeline"]
)
fenced = Counter(
    "vigil_pipeline_fenced_total", "Batches dropped because another writer has taken over.", ["pipeline"]
)
lag = Gauge("vigil_pipeline_lag_records", "Records known to wait in assigned partitions.", ["pipeline"])
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """How far a pipeline has come.

    Attributes:
        records: Taken in since the start.
        moved_at: When it last moved, by the loop's clock.
        in_hand: Records of the batches that are being taken in.
        behind: Records known to wait in the log when it was last asked.
    """

    records: int = 0
    moved_at: float = 0.0
    in_hand: int = 0
    behind: int = 0


class Pipeline(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Takes in the records of some topics.

    Attributes:
        progress: For heartbeats and the stall check.
    """

    def __init__(
        self,
        name: str,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        pool: Pool,
        handler: Handler,
        incarnation: Callable[[], Awaitable[str]],
        clock: Clock,
        *,
        batch: int,
        stall_s: float,
        hands: int = 1,
    ) -> None:
        """Name the parts, the most records of a batch, and how many batches are under way at once."""
        self.name = name
        self.progress = Progress()
        self._consumer = consumer
        self._producer = producer
        self._pool = pool
        self._handler = handler
        self._incarnation = incarnation
        self._clock = clock
        self._batch = batch
        self._stall_s = stall_s
        self._hands = hands
        self._claims: dict[TopicPartition, Claim] = {}
        self._next: dict[TopicPartition, int] = {}
        self._noted: dict[TopicPartition, int] = {}
        self._log_id = ""
        self._joined = False
        self._look_again = 0.0

    async def run(self, subscribed: Sequence[str]) -> None:
        """Take in for ever.

        Raises:
            Stalled: Nothing moves although there is something to read.
        """
        self._consumer.subscribe(list(subscribed), listener=self)
        self.progress.moved_at = _now()
        try:
            async with asyncio.TaskGroup() as hands:
                for hand in range(self._hands):
                    hands.create_task(self._work_with(hand), name=f"{self.name} {hand}")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _work_with(self, hand: int) -> None:
        compare_again = 0.0
        while True:
            if not await self.step(hand):
                await self._check_stall()
            if _now() >= compare_again:
                compare_again = _now() + LOOK_S
                await self.compare(hand)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget the claims; what is under way is stopped by the new owner's higher epoch."""
        for partition in revoked:
            self._claims.pop(partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold new partitions back until `step` has claimed them in the database.

        The client shows an assignment before it tells of it here: a claim made in between is
        void, or the partition would be held back for ever.
        """
        self._joined = True
        for partition in assigned:
            self._claims.pop(partition, None)
            self._consumer.pause(partition)

    def trouble(self) -> str | None:
        """Return what keeps it from working, for `/readyz`; to have no partition is no trouble."""
        if not self._joined:
            return "has not joined its group yet"
        unclaimed = self._consumer.assignment() - self._claims.keys()
        return f"{len(unclaimed)} partitions not claimed yet" if unclaimed else None

    async def step(self, hand: int = 0) -> bool:
        """Claim what was newly assigned to a hand, take in one batch; return whether there was work."""
        await self._claim_assigned(hand)
        records = await self._fetched(hand)
        if not records:
            return False
        batch_records.labels(self.name).observe(len(records))
        self.progress.in_hand += len(records)
        try:
            with batch_seconds.labels(self.name).time():
                await self._take_in(records)
        finally:
            self.progress.in_hand -= len(records)
        return True

    def _of(self, hand: int) -> list[TopicPartition]:
        """Return the assigned partitions that are a hand's own."""
        return [tp for tp in self._consumer.assignment() if tp.partition % self._hands == hand]

    async def _fetched(self, hand: int) -> list[Record]:
        """Return the next records of a hand's partitions; none where none came in time."""
        mine = self._of(hand)
        if not mine and self._hands > 1:  # to name no partition would be to name all
            await asyncio.sleep(POLL_MS / 1000)
            return []
        named = mine if self._hands > 1 else []
        batches = await self._consumer.getmany(*named, timeout_ms=POLL_MS, max_records=self._batch)
        return [r for tp, some in batches.items() if tp in self._claims for r in some]

    def _moved(self, count: int) -> None:
        progress = self.progress
        progress.records += count
        progress.behind = max(0, progress.behind - count)
        progress.moved_at = _now()

    def work(self) -> Work:
        """Return how far it has come, for `/readyz`."""
        return Work(self.progress.records, self.progress.in_hand + self.progress.behind)

    async def _claim_assigned(self, hand: int) -> None:
        unclaimed = [tp for tp in self._of(hand) if tp not in self._claims]
        if not unclaimed:
            return
        try:
            incarnation = await self._incarnation()
            self.follow_log(incarnation)
            for partition in unclaimed:
                await self._claim(partition, incarnation)
        except (Unavailable, KafkaError) as error:
            _log.warning("cannot claim yet", pipeline=self.name, error=str(error))
            await asyncio.sleep(1)

    async def _claim(self, partition: TopicPartition, incarnation: str) -> None:
        async with self._pool.transaction() as connection:
            claim = await intake.claim(connection, partition.topic, partition.partition, incarnation)
        start = await self._start(partition, claim.next_offset)
        if partition not in self._consumer.assignment():
            return
        self._consumer.seek(partition, start)
        self._claims[partition] = claim
        self._next[partition] = start
        self._noted[partition] = claim.next_offset
        self._consumer.resume(partition)
        _log.info(
            "claimed", pipeline=self.name, topic=partition.topic, partition=partition.partition, start=start
        )

    async def _start(self, partition: TopicPartition, noted: int) -> int:
        """Return where to begin: the place noted, where the log still has it; else its beginning."""
        first = (await self._consumer.beginning_offsets([partition]))[partition]
        end = (await self._consumer.end_offsets([partition]))[partition]
        if first <= noted <= end:
            return noted
        if noted != EARLIEST:
            _log.error(
                "log does not have the place noted; reading it whole", topic=partition.topic, noted=noted
            )
        return int(first)

    def follow_log(self, incarnation: str) -> None:
        """Claim everything anew where Kafka has another log than the one that was claimed."""
        if self._claims and incarnation != self._log_id:
            _log.error("kafka has another log; reading it whole", before=self._log_id, now=incarnation)
            for partition in self._claims.keys() & self._consumer.assignment():
                self._consumer.pause(partition)
            self._claims.clear()
        self._log_id = incarnation

    async def _take_in(self, records: Sequence[Record]) -> None:
        """Take records in, halving what will not go in until the culprit stands alone."""
        handle: Handle = self._handler.handle
        failures = waits = 0
        while True:
            try:
                taken = await self._commit(records, handle)
            except Unavailable as error:
                _log.warning("batch waits", pipeline=self.name, records=len(records), error=str(error))
                await asyncio.sleep(WAIT_S[min(waits, len(WAIT_S) - 1)])
                waits += 1
            except Fenced as error:
                return self._dropped(records, error)
            except Exception as error:  # noqa: BLE001 - whatever one record does, the others go on
                if len(records) > 1:
                    return await self._halve(records)
                failures += 1
                if failures == ATTEMPTS:
                    handle = self._burial(error)
                elif failures > ATTEMPTS:  # not even that: the database needs a hand, not haste
                    _log.error("record cannot be put aside", pipeline=self.name, error=repr(error))
                    await asyncio.sleep(WAIT_S[min(failures - ATTEMPTS, len(WAIT_S)) - 1])
            else:
                poisoned.labels(self.name).inc(failures >= ATTEMPTS)
                return await self._committed(records, taken)

    async def _halve(self, records: Sequence[Record]) -> None:
        middle = len(records) // 2
        await self._take_in(records[:middle])
        await self._take_in(records[middle:])

    def _burial(self, error: Exception) -> Handle:
        """Return what puts a record aside that could not be taken in."""
        _log.error("record is put aside", pipeline=self.name, error=repr(error))
        why = Rejected("poison", f"{type(error).__name__}: {error}"[:1000])
        return partial(self._handler.bury, why)

    async def _commit(self, records: Sequence[Record], handle: Handle) -> Taken:
        """Do what is to be done with records and move the log's place on, all or nothing."""
        async with (
            self._pool.connection() as connection,
            intake.advanced(connection, self._moves(records)),
        ):
            taken = await handle(connection, records, self._clock())
            passing("processors.before_commit")
        passing("processors.after_commit")
        return taken

    async def _committed(self, records: Sequence[Record], taken: Taken) -> None:
        """Count what the database has now, and give the receipts for it."""
        taken.count()
        self._next |= ends(records)
        self._noted |= ends(records)
        self._moved(len(records))
        await self._give(taken.receipts)

    def _moves(self, records: Sequence[Record]) -> list[Move]:
        """Return where records move their partitions' places to; without a claim the epoch is 0."""
        return [self._move(partition, after) for partition, after in ends(records).items()]

    def _move(self, partition: TopicPartition, after: int) -> Move:
        epoch = self._claims.get(partition, NO_CLAIM).epoch
        return Move(partition.topic, partition.partition, epoch, self._noted.get(partition, EARLIEST), after)

    def _dropped(self, records: Sequence[Record], error: Fenced) -> None:
        fenced.labels(self.name).inc()
        _log.warning("batch dropped", pipeline=self.name, records=len(records), error=str(error))
        self._let_go(ends(records))

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget claims and hold the partitions back until `step` has claimed them anew."""
        for partition in partitions:
            if self._claims.pop(partition, None) and partition in self._consumer.assignment():
                self._consumer.pause(partition)

    async def compare(self, hand: int = 0) -> None:
        """Claim anew what the database does not have where a hand left it: it was restored meanwhile.

        Records would show it (rule 6), but none may come for long where the lost one was an alarm.
        Between two steps of a hand nothing of its own is under way, so that the two must agree.
        """
        try:
            async with self._pool.connection() as connection:
                there = await intake.places(connection)
        except Unavailable:
            return
        mine = {tp: self._claims[tp] for tp in self._of(hand) if tp in self._claims}
        elsewhere = [
            tp for tp, claim in mine.items() if there.get(tuple(tp)) != Claim(claim.epoch, self._noted[tp])
        ]
        if elsewhere:
            _log.error("the database is not where it was left", pipeline=self.name, partitions=len(elsewhere))
            self._let_go(elsewhere)

    async def _give(self, given: Sequence[StoredReceipt]) -> None:
        """Send receipts; where Kafka does not take them in time, the edges will ask again."""
        try:
            async with asyncio.timeout(RECEIPTS_S):
                partitions = len(await self._producer.partitions_for(topics.RECEIPT)) if given else 0
                for partition, record in receipts.packed(given, partitions):
                    await self._producer.send(topics.RECEIPT, record, partition=partition)
            passing("processors.after_receipts")
        except (KafkaError, TimeoutError) as error:
            _log.warning("receipts lost", pipeline=self.name, error=repr(error))

    async def _check_stall(self) -> None:
        """End the process when there is something to read and nothing comes (pitfall 16).

        The broker is asked, since a consumer that no longer fetches learns of nothing new.
        """
        if _now() < self._look_again or self.progress.in_hand:  # another hand may wait for the database
            return
        self._look_again = _now() + LOOK_S
        waiting = await self._waiting()
        if waiting is None:
            return
        lag.labels(self.name).set(waiting)
        self.progress.behind = waiting
        if not waiting:
            self.progress.moved_at = _now()
        elif (still := _now() - self.progress.moved_at) > self._stall_s:
            raise Stalled(self.name, still)

    async def _waiting(self) -> int | None:
        """Return how many records wait as far as the broker says, None where it says nothing."""
        claimed = list(self._claims)
        try:
            async with asyncio.timeout(LOOK_S):
                last = await self._consumer.end_offsets(claimed)
        except (KafkaError, TimeoutError):
            return None
        return int(sum(max(last[partition] - self._next[partition], 0) for partition in claimed))


def ends(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each partition."""
    found: dict[TopicPartition, int] = {}
    for record in records:
        partition = TopicPartition(record.topic, record.partition)
        found[partition] = max(found.get(partition, 0), record.offset + 1)
    return found


def _now() -> float:
    return asyncio.get_running_loop().time()
