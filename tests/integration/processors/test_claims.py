"""A partition is claimed before it is read, in whatever order Kafka's client tells of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from processors.intake import Taken
from processors.pipeline import Pipeline
from vigil.store import intake
from vigil.store.pool import open_pool
from vigil.topics import ALARM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from vigil.store.pool import Connection

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
ONE = TopicPartition(ALARM, 0)


@dataclass
class FakeConsumer:
    """What a pipeline asks of aiokafka's consumer; a mock, since the order of its calls is the point."""

    assigned: set[TopicPartition] = field(default_factory=set)
    paused: set[TopicPartition] = field(default_factory=set)
    sought: dict[TopicPartition, int] = field(default_factory=dict)

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)

    async def getmany(self, *_of: TopicPartition, **_limits: int) -> dict[TopicPartition, list[Any]]:
        return {}


class Nothing:
    """Handles no records: none come."""

    async def handle(self, _connection: Connection, _records: object, _now: datetime) -> Taken:
        return Taken()

    async def bury(self, *_what: object) -> Taken:
        return Taken()


async def log() -> str:
    return "log-1"


@pytest.fixture
def consumer() -> FakeConsumer:
    return FakeConsumer()


@asynccontextmanager
async def pipeline_on(database: str, consumer: FakeConsumer, hands: int = 1) -> AsyncIterator[Pipeline]:
    async with open_pool(SecretStr(database), "claims", 2) as pool:
        yield Pipeline(
            "alarm",
            consumer,
            None,
            pool,
            Nothing(),
            log,
            lambda: datetime.now(UTC),  # noqa: TID251 - the test is its own __main__
            batch=10,
            stall_s=30,
            hands=hands,
        )


async def test_a_new_partition_is_held_until_it_is_claimed(database: str, consumer: FakeConsumer) -> None:
    async with pipeline_on(database, consumer) as pipeline:
        consumer.assigned = {ONE}
        await pipeline.on_partitions_assigned([ONE])
        assert consumer.paused == {ONE}
        await pipeline.step()
        assert consumer.paused == set()
        assert consumer.sought == {ONE: 0}


async def test_a_claim_that_overtakes_the_news_of_the_assignment_is_made_again(
    database: str, consumer: FakeConsumer
) -> None:
    async with pipeline_on(database, consumer) as pipeline:
        consumer.assigned = {ONE}
        await pipeline.step()  # the client shows an assignment before it tells of it
        await pipeline.on_partitions_assigned([ONE])
        await pipeline.step()
        assert consumer.paused == set()
        assert pipeline.trouble() is None


async def test_what_is_revoked_is_claimed_anew_when_it_comes_back(
    database: str, consumer: FakeConsumer
) -> None:
    async with pipeline_on(database, consumer) as pipeline:
        consumer.assigned = {ONE}
        await pipeline.on_partitions_assigned([ONE])
        await pipeline.step()
        await pipeline.on_partitions_revoked([ONE])
        consumer.sought.clear()
        await pipeline.on_partitions_assigned([ONE])
        await pipeline.step()
        assert consumer.sought == {ONE: 0}
        assert consumer.paused == set()


async def test_a_database_that_was_restored_is_read_on_from_where_it_is(
    database: str, consumer: FakeConsumer
) -> None:
    async with (
        pipeline_on(database, consumer) as pipeline,
        open_pool(SecretStr(database), "backup", 1) as pool,
    ):
        consumer.assigned = {ONE}
        async with pool.connection() as connection:
            await intake.claim(connection, ONE.topic, ONE.partition, "log-1")
            await connection.execute("UPDATE checkpoint SET next_offset = 4")
        await pipeline.step()
        await pipeline.compare()
        assert consumer.sought == {ONE: 4}
        assert consumer.paused == set()
        async with pool.connection() as connection:
            await connection.execute("UPDATE checkpoint SET next_offset = 2")  # what the backup had
        await pipeline.compare()
        assert consumer.paused == {ONE}
        await pipeline.step()
        assert consumer.sought == {ONE: 2}
        assert consumer.paused == set()


async def test_a_hand_claims_and_compares_its_own_partitions_alone(
    database: str, consumer: FakeConsumer
) -> None:
    other = TopicPartition(ALARM, 1)
    async with pipeline_on(database, consumer, hands=2) as pipeline:
        consumer.assigned, consumer.paused = {ONE, other}, {ONE, other}
        await pipeline.step(0)
        assert consumer.paused == {other}
        await pipeline.step(1)
        assert consumer.paused == set()
        await pipeline.compare(0)
        await pipeline.compare(1)
        assert consumer.paused == set()


async def test_a_hand_without_partitions_takes_nothing_of_the_others(
    database: str, consumer: FakeConsumer
) -> None:
    async with pipeline_on(database, consumer, hands=2) as pipeline:
        consumer.assigned = {ONE}
        assert not await pipeline.step(1)
        assert consumer.sought == {}
