"""Records of a real Kafka into a real PostgreSQL: once, whoever dies."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from pydantic import SecretStr

from processors.pipeline import Pipeline
from tests.integration.processors.conftest import COMMUNITY
from tests.making import NOW, encoded, event
from vigil import events, kafka, receipts
from vigil.events import Sos
from vigil.progress import Work
from vigil.settings import KafkaSettings
from vigil.store.pool import open_pool
from vigil.topics import ALARM, RECEIPT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from processors.intake import EventHandler
    from tests.conftest import Stack
    from vigil.errors import Fenced

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


class Log:
    """What the tests do with Kafka and the database, beside the pipeline."""

    def __init__(self, stack: Stack, dsn: str, group: str) -> None:
        self.stack, self.dsn, self.group = stack, dsn, group
        self.incarnation: str | None = None
        addresses = stack.addresses
        self.settings = KafkaSettings(
            kafka_bootstrap=addresses.kafka_bootstrap, kafka_idempotent=addresses.kafka_idempotent
        )

    async def write(self, *values: bytes | None, partition: int | None = None) -> None:
        """Append records of node n1, received at `NOW`; to its own partition unless another is named."""
        stamp = int(NOW.timestamp() * 1000)
        async with kafka.producer(self.settings, "test") as producer:
            for value in values:
                await producer.send_and_wait(ALARM, value, b"n1", partition, timestamp_ms=stamp)

    async def told(self) -> str:
        """Return the log's id, or the one that a test makes it have."""
        return self.incarnation or await kafka.incarnation(self.settings)

    async def query(self, statement: str, *values: Any) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def stored(self) -> list[int]:
        return [seq for (seq,) in await self.query("SELECT seq FROM event ORDER BY seq")]

    async def receipts(self) -> list[int]:
        """Return the watermarks that were given, in order."""
        async with kafka.consumer(self.settings, "reader") as consumer:
            partitions = [TopicPartition(RECEIPT, n) for n in range(kafka.PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found = await consumer.getmany(timeout_ms=2000)
        records = [record for some in found.values() for record in some]
        return [receipt.stored for record in records for receipt in receipts.decode(record.value)]

    @asynccontextmanager
    async def member(
        self, handler: Any, *, batch: int = 100, joins: bool = False, hands: int = 1
    ) -> AsyncIterator[Pipeline]:
        """A pipeline that a test steps: alone with every partition, or as a member of a group.

        To join a group takes seconds, so only the tests that are about it do.
        """
        group = self.group if joins else None
        async with AsyncExitStack() as stack:
            consumer = await stack.enter_async_context(kafka.consumer(self.settings, "member", group))
            producer = await stack.enter_async_context(kafka.producer(self.settings, "member"))
            pool = await stack.enter_async_context(open_pool(SecretStr(self.dsn), "member", 2, timeout_s=0.3))
            pipeline = Pipeline(
                "test",
                consumer,
                producer,
                pool,
                handler,
                self.told,
                lambda: NOW,
                batch=batch,
                stall_s=30,
                hands=hands,
            )
            if joins:
                consumer.subscribe([ALARM], listener=pipeline)
            else:
                consumer.assign([TopicPartition(ALARM, n) for n in range(kafka.PARTITIONS)])
            yield pipeline


async def until(pipeline: Pipeline, reached: Callable[[], Awaitable[bool]]) -> None:
    """Step until a state is reached; a test that never gets there fails."""
    for _ in range(200):
        if await reached():
            return
        await pipeline.step()
    pytest.fail("never came there")


@pytest_asyncio.fixture
async def log(stack: Stack, topics: tuple[str, ...], database: str, community: str) -> Log:
    made = Log(stack, database, f"group-{community}")
    assert ALARM in topics
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(COMMUNITY)
    return made


def calls(first: int, last: int) -> list[bytes]:
    return [events.encode(event(Sos(by="cord"), seq)) for seq in range(first, last + 1)]


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


async def test_what_is_in_the_log_is_stored_and_receipted(log: Log, handler: EventHandler) -> None:
    await log.write(*calls(1, 5))
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), numbers(1, 5)))
    assert max(await log.receipts()) == 5


async def set_(flag: asyncio.Event) -> bool:
    return flag.is_set()


async def same(found: Awaitable[list[int]], wanted: list[int]) -> bool:
    return await found == wanted


async def test_what_is_written_twice_is_stored_once_and_receipted_twice(
    log: Log, handler: EventHandler
) -> None:
    await log.write(*calls(1, 3), *calls(1, 3), *calls(4, 4))
    async with log.member(handler, batch=2) as pipeline:
        await until(pipeline, lambda: same(log.stored(), numbers(1, 4)))
    given = await log.receipts()
    assert given.count(3) >= 2
    assert await log.query("SELECT sum(evidence)::int FROM alert") == [(4,)]


class HeldUp:
    """Keeps the batches of one partition waiting, as a database would that is slow to answer."""

    def __init__(self, handler: EventHandler, partition: int) -> None:
        self._handler, self._partition = handler, partition
        self.release = asyncio.Event()

    async def handle(self, connection: Any, records: Any, now: Any) -> Any:
        if records[0].partition == self._partition:
            await self.release.wait()
        return await self._handler.handle(connection, records, now)


async def test_while_one_hand_waits_for_the_database_the_other_goes_on(
    log: Log, handler: EventHandler
) -> None:
    held, ended = HeldUp(handler, 0), asyncio.Event()
    await log.write(*calls(1, 2), partition=0)
    await log.write(*calls(3, 4), partition=1)
    async with log.member(held, hands=2) as pipeline:

        async def hand(number: int) -> None:
            while not ended.is_set():
                await pipeline.step(number)

        async def reached(wanted: list[int]) -> None:
            while await log.stored() != wanted:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as hands:
            hands.create_task(hand(0))
            hands.create_task(hand(1))
            await reached([3, 4])
            assert pipeline.work().waiting >= 2
            held.release.set()
            await reached([1, 2, 3, 4])
            ended.set()
    assert max(await log.receipts()) == 4


async def test_the_next_member_goes_on_where_the_last_one_stopped(log: Log, handler: EventHandler) -> None:
    seen: list[int] = []
    await log.write(*calls(1, 3))
    for last in (3, 5):
        async with log.member(Noting(handler, seen)) as pipeline:
            await until(pipeline, lambda last=last: same(log.stored(), numbers(1, last)))  # type: ignore[misc]
        await log.write(*calls(last + 1, last + 2))
    assert seen == numbers(1, 5)


class Noting:
    """A handler that notes what it was given."""

    def __init__(self, handler: EventHandler, seen: list[int]) -> None:
        self._handler, self._seen = handler, seen

    async def handle(self, connection: Any, records: Any, now: Any) -> Any:
        self._seen += [events.decode(record.value).seq for record in records]
        return await self._handler.handle(connection, records, now)

    async def bury(self, *arguments: Any) -> Any:
        return await self._handler.bury(*arguments)


POISON = {
    "a NUL that PostgreSQL does not take": encoded(event(seq=4), data={"by": "cord", "note": "\0"}),
    "a number that PostgreSQL does not take": encoded(event(seq=4), data={"by": "cord", "note": "x"}).replace(
        b'"x"', b"1e999999"
    ),
}


@pytest.mark.parametrize("what", POISON)
async def test_a_poison_record_is_isolated_and_the_others_are_stored(
    log: Log, handler: EventHandler, what: str
) -> None:
    await log.write(*calls(1, 3), POISON[what], *calls(5, 8))
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), [1, 2, 3, 5, 6, 7, 8]))
    assert await log.query("SELECT reason, seq, payload FROM dead_letter") == [("poison", 4, POISON[what])]
    assert await log.query("SELECT kind FROM alert WHERE kind <> 'sos'") == [("unreadable_alarm",)]
    assert max(await log.receipts()) == 8


async def test_records_that_nobody_should_have_written_block_nothing(log: Log, handler: EventHandler) -> None:
    await log.write(None, b"", b"{", encoded(event(), source="//vigil/n1"), b"[" * 20_000, *calls(1, 1))
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), [1]))
    assert await log.query("SELECT count(DISTINCT payload) FROM dead_letter") == [(4,)]


class Failing:
    """A handler whose every attempt fails until it is mended."""

    def __init__(self, handler: EventHandler) -> None:
        self._handler = handler
        self.broken = True
        self.burials = 0

    async def handle(self, connection: Any, records: Any, now: Any) -> Any:
        if self.broken:
            raise RuntimeError("cannot")
        return await self._handler.handle(connection, records, now)

    async def bury(self, why: Any, connection: Any, records: Any, now: Any) -> Any:
        self.burials += 1
        if self.burials < 3:
            raise RuntimeError("cannot even that")
        return await self._handler.bury(why, connection, records, now)


async def test_what_cannot_even_be_put_aside_is_tried_again_and_not_lost(
    log: Log, handler: EventHandler
) -> None:
    await log.write(*calls(1, 1))
    failing = Failing(handler)

    async def buried() -> bool:
        return await log.query("SELECT reason FROM dead_letter") == [("poison",)]

    async with log.member(failing) as pipeline:
        await until(pipeline, buried)
    assert failing.burials == 3


async def test_a_database_that_is_away_for_a_while_costs_nothing(
    log: Log, handler: EventHandler, database: str
) -> None:
    await log.write(*calls(1, 3))
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), numbers(1, 3)))
        await allow_connections(log, database, allowed=False)
        await log.write(*calls(4, 6))
        stepping = asyncio.create_task(until(pipeline, lambda: reached(pipeline, 6)))
        for _ in range(200):  # until it has a batch in hand that it cannot store
            if pipeline.work().waiting:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert not stepping.done()
        assert pipeline.work().done == 3
        assert pipeline.work().waiting > 0
        await allow_connections(log, database, allowed=True)
        await stepping
        assert pipeline.work() == Work(6, 0)
    assert await log.stored() == numbers(1, 6)


async def reached(pipeline: Pipeline, count: int) -> bool:
    return pipeline.progress.records >= count


async def allow_connections(log: Log, dsn: str, *, allowed: bool) -> None:
    """Close a database to everybody, and end the sessions there, or open it again."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    admin = log.stack.postgres.admin_dsn
    async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {str(allowed).lower()}'.encode())
        if not allowed:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )


async def test_a_zombie_whose_partition_was_taken_over_commits_nothing_and_gives_no_receipt(
    log: Log, handler: EventHandler
) -> None:
    await log.write(*calls(1, 3))
    async with log.member(handler) as zombie:
        await until(zombie, lambda: same(log.stored(), numbers(1, 3)))
        await log.query("UPDATE checkpoint SET epoch = epoch + 1")  # as a successor's claim does
        await log.write(*calls(4, 4))
        before = zombie.progress.records
        dropped = asyncio.Event()

        original = zombie._dropped

        def note(records: Sequence[Any], error: Fenced) -> None:
            dropped.set()
            original(records, error)

        zombie._dropped = note  # type: ignore[method-assign]
        await until(zombie, lambda: set_(dropped))
        assert await log.stored() == numbers(1, 3)
        assert max(await log.receipts()) == 3
        assert zombie.progress.records >= before
        await until(zombie, lambda: same(log.stored(), numbers(1, 4)))  # it claims anew, if it still may


async def test_a_log_that_was_replaced_is_read_from_its_beginning(log: Log, handler: EventHandler) -> None:
    await log.write(*calls(1, 3))
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), numbers(1, 3)))
        await log.query("DELETE FROM event")  # so that reading it again is seen
        await log.query("DELETE FROM watermark")
        log.incarnation = "another log"
        pipeline.follow_log(log.incarnation)
        await until(pipeline, lambda: same(log.stored(), numbers(1, 3)))


async def test_a_place_noted_that_the_log_does_not_have_means_reading_it_whole(
    log: Log, handler: EventHandler
) -> None:
    incarnation = await kafka.incarnation(log.settings)
    await log.write(*calls(1, 2))
    await log.query(
        "INSERT INTO checkpoint SELECT %s, n, %s, 1000, 1 FROM generate_series(0, 5) AS n", ALARM, incarnation
    )
    async with log.member(handler) as pipeline:
        await until(pipeline, lambda: same(log.stored(), numbers(1, 2)))


async def test_a_member_without_partitions_of_its_own_is_in_no_trouble(
    log: Log, handler: EventHandler
) -> None:
    async with log.member(handler, joins=True) as pipeline:
        assert pipeline.trouble() == "has not joined its group yet"

        async def well() -> bool:
            return pipeline.trouble() is None

        await until(pipeline, well)
