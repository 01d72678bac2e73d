"""`python -m ingest`, killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from tests.making import mqtt_topic
from vigil import events, kafka, receipts
from vigil.events import MAX_PAYLOAD, Readings
from vigil.receipts import StoredReceipt
from vigil.topics import ALARM, DEAD, RECEIPT, TELEMETRY, Kind, Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.ingest.conftest import Buses

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.asyncio]
REPOSITORY = Path(__file__).parents[3]


@asynccontextmanager
async def ingest(
    buses: Buses, dsn: str, log: Path, name: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, connected to the broker; killed at the end if it still runs."""
    environment = {**os.environ, **buses.stack.addresses.environment(), "VIGIL_DATABASE_DSN": dsn}
    environment["VIGIL_INGEST_MEMBER"] = buses.community + name
    environment["VIGIL_INGEST_SHARED"] = "false"  # members that earlier tests killed would take their share
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
    """Return when its three connections, one of them down to the edges, have been made so often."""
    while (await asyncio.to_thread(log.read_bytes)).count(b"connected to broker") < 3 * times:
        assert process.returncode is None, "ingest ended"
        await asyncio.sleep(0.02)


async def test_an_ingest_killed_with_unacknowledged_messages_loses_none_of_them(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "ingest.log"
    sent = [buses.event(seq=seq) for seq in range(1, 31)]
    messages = [(mqtt_topic(envelope), events.encode(envelope)) for envelope in sent]
    async with ingest(buses, database, log) as first:
        await connected(log, first, 1)
        await asyncio.to_thread(buses.stack.kafka.kill)
        try:
            await buses.publish(*messages)
            first.send_signal(signal.SIGKILL)
            assert await first.wait() == -signal.SIGKILL
        finally:
            await asyncio.to_thread(buses.stack.kafka.start)
    async with ingest(buses, database, log) as second:
        await connected(log, second, 2)
        records = await buses.in_log(ALARM, 30)
        assert {record.value for record in records} == {payload for _, payload in messages}
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_an_alarm_does_not_wait_for_the_telemetry_that_came_before_it(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "ingest.log"
    readings = Readings(quantity="activity", interval_s=1.0, values=[1.0])
    many = [buses.event(readings, seq) for seq in range(1, 2001)]
    async with ingest(buses, database, log) as process:
        await connected(log, process, 1)
        process.send_signal(signal.SIGSTOP)
        await buses.publish(*((mqtt_topic(one), events.encode(one)) for one in [*many, buses.event()]))
        process.send_signal(signal.SIGCONT)
        (alarm,) = await buses.in_log(ALARM, 1)
        telemetry = await buses.in_log(TELEMETRY, 2000)
    assert alarm.timestamp < max(record.timestamp for record in telemetry)


async def test_while_kafka_is_away_the_broker_holds_what_comes_and_not_our_memory(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "ingest.log"
    message = (
        mqtt_topic(buses.event()),
        b"x" * (2 * MAX_PAYLOAD),
    )  # 40 MB of it, and dead letters in the end
    os.environ["VIGIL_INGEST_WINDOW"] = "40"
    try:
        async with ingest(buses, database, log) as process:
            await connected(log, process, 1)
            await buses.publish(*[message] * 5)
            await buses.in_log(DEAD, 5)
            before = resident(process)
            await asyncio.to_thread(buses.stack.kafka.kill)
            try:
                await buses.publish(*[message] * 300)
                grown = resident(process) - before
            finally:
                process.send_signal(signal.SIGSTOP)
                buses.restart_kafka()
                process.send_signal(signal.SIGCONT)
            await buses.in_log(DEAD, 300)
    finally:
        del os.environ["VIGIL_INGEST_WINDOW"]
    assert grown < 20e6


def resident(process: asyncio.subprocess.Process) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)


async def test_whichever_member_is_alive_passes_receipts_down(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    async with (
        ingest(buses, database, logs[0], "-one") as one,
        ingest(buses, database, logs[1], "-two") as two,
        buses.heard(buses.node.topic(Kind.RECEIPT)) as heard,
        kafka.producer(buses.settings, "processors") as producer,
    ):
        await connected(logs[0], one, 1)
        await connected(logs[1], two, 1)
        one.send_signal(signal.SIGKILL)
        async with asyncio.timeout(60):
            for stored in itertools.count(1):
                for partition in range(kafka.PARTITIONS):  # whoever had it
                    receipt = StoredReceipt(
                        community=buses.community, estate="e1", node=buses.node.node, boot=f"{partition}-0000abcd",
                        lane=Lane.ALARM, stored=stored,
                    )  # fmt: skip
                    await producer.send_and_wait(RECEIPT, receipts.encode(receipt), partition=partition)
                await asyncio.sleep(0.2)
                told = {msgspec.json.decode(heard.get_nowait()[1])["boot"] for _ in range(heard.qsize())}
                if len(told) == kafka.PARTITIONS:
                    break


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
