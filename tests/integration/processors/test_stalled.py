"""A real process whose Kafka gives nothing any more, or stands still: it ends, and the next one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from tests.integration.processors.conftest import COMMUNITY
from tests.integration.processors.test_members import member, stored
from tests.making import encoded, event
from tests.servers.deaf import DeafKafka
from vigil import kafka
from vigil.clock import utc_now
from vigil.events import Sos
from vigil.settings import KafkaSettings
from vigil.topics import ALARM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Stack

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.asyncio,
    pytest.mark.embedded_only,  # nobody else's Kafka can be put behind another port here
]
STOPPED_S = 25
"""Longest that a process may take to end: what Kubernetes gives it, less some."""


class Behind:
    """The stack, with this Kafka in the place of its own."""

    def __init__(self, stack: Stack, front: DeafKafka) -> None:
        at = f"127.0.0.1:{front.front}"
        self.addresses: Any = replace(stack.addresses, kafka_bootstrap=at, kafka_incarnation="")


@pytest_asyncio.fixture
async def deaf(tmp_path: Path) -> AsyncIterator[DeafKafka]:
    server = DeafKafka(tmp_path / "kafka")
    await asyncio.to_thread(server.start)
    try:
        async with server.serving():
            await kafka.create_topics(settings_of(server))
            yield server
    finally:
        server.kill()


def settings_of(server: DeafKafka) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=f"127.0.0.1:{server.front}", kafka_idempotent=False)


async def call(server: DeafKafka, seq: int) -> None:
    """Write a call for help of box n1 into the log."""
    async with kafka.producer(settings_of(server), "test") as producer:
        await producer.send_and_wait(ALARM, encoded(event(Sos(by="cord"), seq, time=utc_now())), b"n1")


async def test_a_member_to_whom_nothing_comes_although_there_is_something_ends_and_the_next_one_has_it(
    stack: Stack, deaf: DeafKafka, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIL_STALL_S", "1")
    behind: Any = Behind(stack, deaf)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(COMMUNITY)
        log = tmp_path / "one.log"
        async with member(behind, database, "stalled", log, "alarm") as one:
            await call(deaf, 1)
            await stored(connection, 1, one)
            deaf.deaf = True
            await asyncio.sleep(0.5)  # fetches under way have been answered
            await call(deaf, 2)
            assert await one.wait() != 0
        assert "has not moved" in log.read_text()
        deaf.deaf = False
        async with member(behind, database, "stalled", tmp_path / "next.log", "alarm") as other:
            await stored(connection, 2, other)


async def test_a_member_is_stopped_in_time_although_its_kafka_stands_still(
    stack: Stack, deaf: DeafKafka, database: str, tmp_path: Path
) -> None:
    behind: Any = Behind(stack, deaf)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(COMMUNITY)
        async with member(behind, database, "stopped", tmp_path / "one.log") as one:
            await call(deaf, 1)
            await stored(connection, 1, one)
            assert deaf.pid is not None
            os.kill(deaf.pid, signal.SIGSTOP)
            one.terminate()
            async with asyncio.timeout(STOPPED_S):
                assert await one.wait() == 0
