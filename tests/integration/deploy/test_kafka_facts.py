"""What our Kafka code relies on, and where the embedded Tansu differs from Apache Kafka."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

import vigil.kafka
from deploy.embedded.servers import HOST, Kafka
from vigil.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.embedded_only]
TOPIC = "vigil.alarm.v1"
ALL = [TopicPartition(TOPIC, number) for number in range(6)]


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    server = Kafka(tmp_path)
    server.start()
    yield server
    server.kill()


def bootstrap(kafka: Kafka) -> str:
    return f"{HOST}:{kafka.port}"


@asynccontextmanager
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap(kafka))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def producer(kafka: Kafka, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(bootstrap_servers=bootstrap(kafka), acks="all", **options)
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def consumer(kafka: Kafka, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap(kafka),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        **options,
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def create(kafka: Kafka) -> None:
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(TOPIC, 6, 1)])


async def write(kafka: Kafka, count: int, partition: int = 1) -> None:
    async with producer(kafka) as client:
        for number in range(count):
            await client.send_and_wait(TOPIC, f"{number}".encode(), partition=partition)


async def read(client: AIOKafkaConsumer, count: int) -> list[Any]:
    got: list[Any] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            for messages in (await client.getmany(timeout_ms=100)).values():
                got += messages
    return got


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", [None, "lz4", "zstd", "gzip"])
async def test_batches_of_every_codec_come_back_in_order_with_keys_and_headers(
    kafka: Kafka, codec: str | None
) -> None:
    await create(kafka)
    async with producer(kafka, compression_type=codec) as client:
        batch = client.create_batch()
        for number in range(50):
            assert batch.append(
                key=b"n1", value=f"{number}".encode(), timestamp=None, headers=[("lane", b"alarm")]
            )
        batch.close()
        await (await client.send_batch(batch, TOPIC, partition=2))
    async with consumer(kafka) as client:
        client.assign(ALL)
        messages = await read(client, 50)
    assert [message.value for message in messages] == [f"{number}".encode() for number in range(50)]
    assert {(m.partition, m.key, tuple(m.headers)) for m in messages} == {(2, b"n1", (("lane", b"alarm"),))}


@pytest.mark.asyncio
async def test_a_topic_has_the_partitions_it_was_created_with_or_four_if_it_was_only_written_to(
    kafka: Kafka,
) -> None:
    await create(kafka)
    async with producer(kafka) as client:
        await client.send_and_wait("made.by.writing", b"1")
        assert await client.partitions_for(TOPIC) == set(range(6))
        assert await client.partitions_for("made.by.writing") == set(range(4))


@pytest.mark.asyncio
async def test_a_reader_goes_on_from_the_offset_it_seeks(kafka: Kafka) -> None:
    await create(kafka)
    await write(kafka, 10)
    async with consumer(kafka) as client:
        client.assign(ALL)
        client.seek(ALL[1], 7)
        assert [message.offset for message in await read(client, 3)] == [7, 8, 9]


@pytest.mark.asyncio
async def test_a_seek_past_the_end_is_silent(kafka: Kafka) -> None:
    await create(kafka)
    await write(kafka, 3)
    async with consumer(kafka) as client:
        client.assign([ALL[1]])
        client.seek(ALL[1], 99)
        assert await client.getmany(timeout_ms=300) == {}
        assert await client.position(ALL[1]) == 99


@pytest.mark.asyncio
async def test_the_reported_end_lies_before_the_last_batchs_last_message(kafka: Kafka) -> None:
    await create(kafka)
    async with producer(kafka) as client:
        batch = client.create_batch()
        for _ in range(10):
            batch.append(key=None, value=b"1", timestamp=None)
        batch.close()
        await (await client.send_batch(batch, TOPIC, partition=1))
    async with consumer(kafka) as client:
        client.assign([ALL[1]])
        assert (await client.end_offsets([ALL[1]]))[ALL[1]] < 10
        assert len(await read(client, 10)) == 10


@pytest.mark.slow
@pytest.mark.asyncio
async def test_two_members_share_the_partitions_and_one_takes_over_what_the_other_leaves(
    kafka: Kafka,
) -> None:
    await create(kafka)
    group = {"group_id": "processors", "session_timeout_ms": 6000, "heartbeat_interval_ms": 200}
    async with consumer(kafka, **group) as first, asyncio.timeout(40):
        first.subscribe([TOPIC])
        await until_assigned(first, 6)
        async with consumer(kafka, **group) as second:
            second.subscribe([TOPIC])
            await asyncio.gather(until_assigned(first, 3), until_assigned(second, 3))
            assert first.assignment() | second.assignment() == set(ALL)
        await until_assigned(first, 6)


@pytest.mark.asyncio
async def test_a_member_that_leaves_in_the_first_generation_is_gone_for_whoever_comes_next(
    kafka: Kafka,
) -> None:
    settings = KafkaSettings(kafka_bootstrap=bootstrap(kafka), kafka_idempotent=False)
    await create(kafka)
    async with vigil.kafka.consumer(settings, "first", "processors") as client, asyncio.timeout(30):
        client.subscribe([TOPIC])
        await until_assigned(client, 6)
    async with admin(kafka) as client:
        (answer,) = await client.describe_consumer_groups(["processors"])
    (group,) = answer.to_object()["groups"]
    assert (group["state"], group["members"]) == ("Empty", [])


async def until_assigned(client: AIOKafkaConsumer, count: int) -> None:
    while len(client.assignment()) != count:
        await client.getmany(timeout_ms=50)


@pytest.mark.asyncio
async def test_an_idempotent_producer_is_refused(kafka: Kafka) -> None:
    with pytest.raises(KafkaError):
        async with producer(kafka, enable_idempotence=True):
            pass


@pytest.mark.asyncio
async def test_after_a_restart_the_log_is_empty_and_the_cluster_has_another_id(kafka: Kafka) -> None:
    await create(kafka)
    await write(kafka, 3)
    async with admin(kafka) as client:
        before = (await client.describe_cluster())["cluster_id"]
    assert before == kafka.cluster_id
    kafka.kill()
    kafka.start()
    async with admin(kafka) as client:
        assert (await client.describe_cluster())["cluster_id"] == kafka.cluster_id != before
        assert TOPIC not in await client.list_topics()
