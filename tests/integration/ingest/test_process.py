"""`python -m ingest`, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.making import mqtt_topic
from vigil import events
from vigil.topics import ALARM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.ingest.conftest import Buses

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.asyncio]
REPOSITORY = Path(__file__).parents[3]


@asynccontextmanager
async def ingest(buses: Buses, dsn: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, connected to the broker; killed at the end if it still runs."""
    environment = {**os.environ, **buses.stack.addresses.environment(), "VIGIL_DATABASE_DSN": dsn}
    environment["VIGIL_INGEST_MEMBER"] = buses.community
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ingest", cwd=REPOSITORY, env=environment, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def connected(log: Path, process: asyncio.subprocess.Process, times: int) -> None:
    """Return when both its connections have been made so often."""
    while (await asyncio.to_thread(log.read_bytes)).count(b"connected to broker") < 2 * times:
        assert process.returncode is None, "ingest ended"
        await asyncio.sleep(0.02)


async def test_an_ingest_killed_with_unacknowledged_messages_loses_none_of_them(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "ingest.log"
    sent = [buses.event(seq=seq) for seq in range(1, 31)]
    messages = [(mqtt_topic(envelope), events.encode(envelope)) for envelope in sent]
    kafka = buses.stack.kafka
    async with ingest(buses, database, log) as first:
        await connected(log, first, 1)
        await asyncio.to_thread(kafka.kill)
        try:
            await buses.publish(*messages)
            first.send_signal(signal.SIGKILL)
            assert await first.wait() == -signal.SIGKILL
        finally:
            await asyncio.to_thread(kafka.start)
    async with ingest(buses, database, log) as second:
        await connected(log, second, 2)
        records = await buses.in_log(ALARM, 30)
        assert {record.value for record in records} == {payload for _, payload in messages}
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_a_port_that_is_taken_ends_the_process_with_one_line(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "ingest.log"
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    os.environ["VIGIL_OPS_PORT"] = str(server.sockets[0].getsockname()[1])
    try:
        async with server, ingest(buses, database, log) as process:
            assert await process.wait() == 1
    finally:
        del os.environ["VIGIL_OPS_PORT"]
    assert log.read_text().splitlines()[-1].startswith("ingest: VIGIL_OPS_PORT")
