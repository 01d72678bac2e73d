"""Apache Kafka as we configure it, under the clients of `vigil.kafka`: pitfalls 12, 20 and 22."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.conftest import lacking
from tests.servers import kafka
from tests.servers.kafka import ApacheKafka, bootstrap
from vigil.kafka import consumer, create_topics, producer
from vigil.settings import KafkaSettings
from vigil.topics import ALARM, KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiokafka.structs import RecordMetadata

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.asyncio]

PARTITION = TopicPartition(ALARM, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A Kafka of this module's own: its tests kill it."""
    if reason := kafka.missing():
        lacking(reason)
    made = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def settings(server: ApacheKafka) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=bootstrap(server))


@pytest_asyncio.fixture
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


async def cluster_id(settings: KafkaSettings) -> str:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    try:
        return str((await client.describe_cluster())["cluster_id"])
    finally:
        await client.close()


async def send(settings: KafkaSettings, payload: bytes) -> RecordMetadata:
    async with producer(settings, "test") as client:
        return await client.send_and_wait(ALARM, payload, partition=0)


async def read(settings: KafkaSettings, offset: int) -> bytes:
    async with consumer(settings, "test") as client:
        client.assign([PARTITION])
        client.seek(PARTITION, offset)
        value: bytes = (await client.getone(PARTITION)).value
        return value


async def test_the_platform_makes_its_topics_itself(
    settings: KafkaSettings, admin: AIOKafkaAdminClient
) -> None:
    await create_topics(settings)
    await create_topics(settings)
    assert set(KAFKA_TOPICS) <= set(await admin.list_topics())


async def test_a_misspelt_topic_is_an_error_and_not_a_new_topic(
    settings: KafkaSettings, admin: AIOKafkaAdminClient
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=500) as client:
        with pytest.raises(UnknownTopicOrPartitionError):
            await client.send_and_wait("vigil.alram.v1", b"x")
    assert "vigil.alram.v1" not in await admin.list_topics()


async def test_messages_of_an_idempotent_producer_and_the_clusters_id_survive_a_kill(
    settings: KafkaSettings, server: ApacheKafka
) -> None:
    await create_topics(settings)
    cluster = await cluster_id(settings)
    before = await send(settings, b"before")
    server.kill()
    server.start()
    after = await send(settings, b"after")
    assert [await read(settings, sent.offset) for sent in (before, after)] == [b"before", b"after"]
    assert await cluster_id(settings) == cluster
