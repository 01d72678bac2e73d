"""Dead letters put back, and gaps shown, with the processes that do it in production."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.household import ROOT, Household
from tests.making import BOOT, event, mqtt_topic
from vigil import events
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingest.conftest import Buses

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.asyncio]
PATIENCE_S = 60.0


class Platform:
    """Ingest and processors as processes, and what their database says."""

    def __init__(self, buses: Buses, dsn: str, folder: Path) -> None:
        self.buses, self.dsn = buses, dsn
        addresses = buses.stack.addresses.environment()
        self.environment = {**os.environ, **addresses, "VIGIL_DATABASE_DSN": dsn}
        self.household = Household(self.environment, folder)

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def register(self, *devices: str) -> None:
        community, node = self.buses.community, self.buses.node.node
        self.query("INSERT INTO community (id, name) VALUES (%s, 'C') ON CONFLICT DO NOTHING", community)
        self.query(
            "INSERT INTO estate (id, community, name) VALUES ('e1', %s, 'E') ON CONFLICT DO NOTHING",
            community,
        )
        self.query("INSERT INTO node (id, estate) VALUES (%s, 'e1') ON CONFLICT DO NOTHING", node)
        for device in devices:
            self.query("INSERT INTO device (id, node, kind) VALUES (%s, %s, 'button')", device, node)

    async def until(self, wanted: list[tuple[Any, ...]], text: str, *values: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(self.query, text, *values) != wanted:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.05)

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "ingest", *arguments], env=self.environment, cwd=ROOT,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    async def replay(self, *arguments: str) -> dict[str, int]:
        done = await self.command("replay", *arguments)
        assert done.returncode == 0, done.stderr
        counts: dict[str, int] = json.loads(done.stdout)
        return counts


@contextmanager
def platform(buses: Buses, dsn: str, folder: Path, *devices: str) -> Iterator[Platform]:
    """The processes, with these devices registered before they start: they read the registry every second."""
    made = Platform(buses, dsn, folder)
    made.register(*devices)
    with made.household as household:
        household.start("ingest", "ingest", VIGIL_INGEST_MEMBER=buses.community, VIGIL_INGEST_SHARED="false")
        household.start("processors", "processors")
        household.wait_ready()
        yield made


def call(buses: Buses, device: str, seq: int) -> tuple[str, bytes]:
    envelope = event(None, seq, device=device, address=buses.node, time=utc_now())
    return mqtt_topic(envelope), events.encode(envelope)


DEAD = "SELECT seq::int, replayed_at IS NOT NULL FROM dead_letter WHERE node = %s AND reason = 'unregistered' ORDER BY seq"
STORED = "SELECT seq::int FROM event WHERE node = %s ORDER BY seq"


async def test_what_a_late_registration_repaired_is_put_back_and_stored_once(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    node = buses.node.node
    before = (utc_now() - timedelta(hours=1)).isoformat()
    with platform(buses, database, tmp_path) as here:
        topic, _ = call(buses, "button", 1)
        await buses.publish(*(call(buses, "button", seq) for seq in (1, 2, 3)), (topic, b"{"))
        await here.until([(1, False), (2, False), (3, False)], DEAD, node)
        await here.until(
            [(1,)], "SELECT count(*)::int FROM dead_letter WHERE origin = %s AND reason = 'malformed'", topic
        )
        assert await here.replay("--since", before, "--reason", "unregistered") == {"unregistered": 3}
        assert here.query(DEAD, node) == [(1, False), (2, False), (3, False)]

        here.register("button")
        assert await here.replay("--since", before, "--reason", "malformed") == {"malformed": 1}
        assert await here.replay("--since", before, "--reason", "unregistered", "--dry-run") == {
            "replayed": 3
        }
        assert here.query(STORED, node) == []
        assert await here.replay("--since", (utc_now() + timedelta(hours=1)).isoformat()) == {}
        while here.query(STORED, node) != [(1,), (2,), (3,)]:  # again and again changes nothing
            assert await here.replay("--since", before, "--reason", "unregistered") in ({"replayed": 3}, {})
        assert here.query(DEAD, node) == [(1, True), (2, True), (3, True)]
        assert await here.replay("--since", before, "--reason", "unregistered") == {}

        await buses.publish(*(call(buses, "button", seq) for seq in (1, 2, 3)), call(buses, "button", 4))
        await here.until([(1,), (2,), (3,), (4,)], STORED, node)


async def test_what_never_came_is_a_line_that_an_operator_sees(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    node = buses.node.node
    with platform(buses, database, tmp_path, "button") as here:
        await buses.publish(call(buses, "button", 1), call(buses, "button", 5))
        await here.until([(1,), (5,)], STORED, node)
        told = await here.command("gaps")
        assert [json.loads(line) for line in told.stdout.splitlines()] == [
            {"node": node, "boot": BOOT, "lane": "alarm", "first": 2, "last": 4}
        ]
        await buses.publish(*(call(buses, "button", seq) for seq in (2, 3, 4)))
        await here.until([(seq,) for seq in range(1, 6)], STORED, node)
        assert (await here.command("gaps")).stdout == ""


async def test_a_command_that_there_is_not_and_servers_that_are_away_are_one_line(
    buses: Buses, database: str, tmp_path: Path
) -> None:
    here = Platform(buses, database, tmp_path)
    wrong = await here.command("repair")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.splitlines()[-1].startswith("ingest: there is no 'repair'")
    here.environment["VIGIL_KAFKA_BOOTSTRAP"] = "127.0.0.1:1"
    away = await here.command("replay", "--since", "2026-01-01")
    assert away.returncode == 1
    assert away.stderr.splitlines()[-1].startswith("ingest: Kafka is unavailable")
