"""The fixtures keep tests apart, on whichever servers they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from vigil.topics import ALARM, KAFKA_TOPICS

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("_time", [1, 2])
def test_a_test_finds_the_schema_but_no_rows_of_another_test(database: str, _time: int) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)
        connection.execute("INSERT INTO migration (name) VALUES ('9999_of_this_test.sql')")


def test_a_database_without_the_schema_is_to_be_had_too(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)


def test_the_owner_of_a_database_is_no_superuser(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (False,)


@pytest.mark.asyncio
@pytest.mark.parametrize("_time", [1, 2])
async def test_a_test_finds_the_topics_but_no_messages_of_another_test(
    stack: Stack, topics: tuple[str, ...], _time: int
) -> None:
    assert topics == KAFKA_TOPICS
    partition = TopicPartition(ALARM, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.addresses.kafka_bootstrap, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.addresses.kafka_bootstrap,
        acks="all",
        enable_idempotence=stack.addresses.kafka_idempotent,
    )
    async with consumer, producer:
        sent = await producer.send_and_wait(ALARM, b"of this test", partition=0)
        assert sent.offset == 0
        consumer.assign([partition])
        assert (await consumer.getone(partition)).value == b"of this test"
