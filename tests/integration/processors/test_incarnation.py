"""A real Kafka says which log it has: another cluster's or a topic that was made anew is another one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from vigil import kafka
from vigil.errors import Unavailable
from vigil.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@pytest.fixture
def settings(stack: Stack) -> KafkaSettings:
    addresses = stack.addresses
    return KafkaSettings(
        kafka_bootstrap=addresses.kafka_bootstrap, kafka_idempotent=addresses.kafka_idempotent
    )


@asynccontextmanager
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def until(wanted: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so: a broker learns of topics a moment later."""
    for _ in range(300):
        if await wanted():
            return
        await asyncio.sleep(0.1)
    pytest.fail("never came there")


async def test_a_topic_that_is_deleted_and_made_anew_is_another_log(
    settings: KafkaSettings, community: str
) -> None:
    told: list[str | None] = []

    async def known() -> bool:
        try:
            told.append(await kafka.incarnation(settings, [community]))
        except Unavailable:
            told.append(None)
        return told[-1] is not None

    async def unknown() -> bool:
        return not await known()

    async with admin(settings) as client:
        await client.create_topics([NewTopic(community, 1, 1)])
        await until(known)
        first = told[-1]
        await until(known)
        assert told[-1] == first
        await client.delete_topics([community])
        await until(unknown)
        await client.create_topics([NewTopic(community, 1, 1)])
        await until(known)
        assert told[-1] != first
        await client.delete_topics([community])


async def test_whoever_names_the_log_is_believed(settings: KafkaSettings) -> None:
    named = settings.model_copy(update={"kafka_incarnation": "ours"})
    assert await kafka.incarnation(named) == "ours"
