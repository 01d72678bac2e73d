"""Real processes that share the log, one of them killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.processors.conftest import COMMUNITY
from tests.making import event
from vigil import events, kafka
from vigil.clock import utc_now
from vigil.events import SensorChanged, Sos
from vigil.settings import KafkaSettings
from vigil.topics import ALARM, EVENT, Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.asyncio]
REPOSITORY = Path(__file__).parents[3]
NODES = [f"m{number}" for number in range(12)]


@asynccontextmanager
async def member(
    stack: Stack, dsn: str, group: str, log: Path, lanes: str = "alarm,bulk,state,dead"
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        **stack.addresses.environment(),
        "VIGIL_DATABASE_DSN": dsn,
        "VIGIL_PROCESSOR_GROUP": group,
        "VIGIL_PROCESSOR_LANES": lanes,
        "VIGIL_BATCH_EVENTS": "5",
    }
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "processors", cwd=REPOSITORY, env=environment, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def said(topic: str, node: str, seq: int) -> bytes:
    """A call for help, or something that happened at home."""
    data = Sos(by="cord") if topic == ALARM else SensorChanged(sensor="motion", state=True)
    at = Address("c1", "e1", node)
    return events.encode(event(data, seq, address=at, device=f"d-{node}", time=utc_now()))


async def write(settings: KafkaSettings, seqs: range, topic: str = ALARM) -> None:
    async with kafka.producer(settings, "test") as producer:
        sent = [
            await producer.send(topic, said(topic, node, seq), node.encode())
            for seq in seqs
            for node in NODES
        ]
        await asyncio.gather(*sent)


async def stored(connection: Any, count: int, *alive: asyncio.subprocess.Process) -> None:
    """Return when so many rows are there."""
    while True:
        ((found,),) = await (await connection.execute("SELECT count(*) FROM event")).fetchall()
        if found >= count:
            return
        assert all(process.returncode is None for process in alive), "a member ended"
        await asyncio.sleep(0.05)


async def registered(connection: Any) -> None:
    """Register the boxes."""
    await connection.execute(COMMUNITY)
    for node in NODES:
        await connection.execute("INSERT INTO node (id, estate) VALUES (%s, 'e1')", [node])
        await connection.execute(
            "INSERT INTO device (id, node, kind) VALUES (%s, %s, 'cord')", [f"d-{node}", node]
        )


async def test_alarms_and_the_rest_may_have_a_process_each(
    stack: Stack, topics: tuple[str, ...], database: str, community: str, tmp_path: Path
) -> None:
    assert {ALARM, EVENT} <= set(topics)
    settings = KafkaSettings(
        kafka_bootstrap=stack.addresses.kafka_bootstrap, kafka_idempotent=stack.addresses.kafka_idempotent
    )
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        member(stack, database, community, tmp_path / "alarms.log", "alarm,state,dead") as alarms,
    ):
        await registered(connection)
        await write(settings, range(1, 3))
        await write(settings, range(1, 3), EVENT)
        await stored(connection, 2 * len(NODES), alarms)
        rows = await connection.execute("SELECT DISTINCT lane FROM event")
        assert await rows.fetchall() == [("alarm",)]
        async with member(stack, database, community, tmp_path / "bulk.log", "bulk") as bulk:
            await stored(connection, 4 * len(NODES), alarms, bulk)
            ours, behind = (os.getpriority(os.PRIO_PROCESS, process.pid) for process in (alarms, bulk))
            assert behind == min(ours + 10, 19), "who takes no alarms steps back"
        rows = await connection.execute("SELECT lane, count(*) FROM event GROUP BY 1 ORDER BY 1")
        assert await rows.fetchall() == [("alarm", 2 * len(NODES)), ("event", 2 * len(NODES))]


async def test_of_two_members_one_is_killed_and_nothing_is_lost_or_done_twice(
    stack: Stack, topics: tuple[str, ...], database: str, community: str, tmp_path: Path
) -> None:
    assert ALARM in topics
    addresses = stack.addresses
    settings = KafkaSettings(
        kafka_bootstrap=addresses.kafka_bootstrap, kafka_idempotent=addresses.kafka_idempotent
    )
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await registered(connection)
        async with (
            member(stack, database, community, tmp_path / "one.log") as one,
            member(stack, database, community, tmp_path / "other.log") as other,
        ):
            await write(settings, range(1, 11))
            await stored(connection, 40, one, other)
            one.send_signal(signal.SIGKILL)
            await write(settings, range(11, 16))
            await stored(connection, 15 * len(NODES), other)
            other.send_signal(signal.SIGTERM)
            assert await other.wait() == 0
        rows = await connection.execute("SELECT node, seq FROM event ORDER BY node, seq")
        assert await rows.fetchall() == [(node, seq) for node in sorted(NODES) for seq in range(1, 16)]
        rows = await connection.execute("SELECT count(*), sum(evidence) FROM alert")
        assert await rows.fetchall() == [(len(NODES), 15 * len(NODES))]
        rows = await connection.execute("SELECT DISTINCT stored(accounted) FROM watermark")
        assert await rows.fetchall() == [(15,)]
