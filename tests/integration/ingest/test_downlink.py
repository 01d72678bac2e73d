"""What goes down to the edges: receipts, and whether anybody stores."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ingest.downlink import Downlink
from ingest.watch import SILENT, Watch
from tests.making import BOOT, NOW
from vigil import kafka, receipts
from vigil.events import PlatformState, Receipt
from vigil.receipts import StoredReceipt
from vigil.store import heartbeats
from vigil.store.pool import open_pool
from vigil.topics import RECEIPT, Kind, Lane, platform_state

if TYPE_CHECKING:
    from tests.integration.ingest.conftest import Buses

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def test_receipts_are_passed_down_to_their_node_the_newest_of_each_lane(buses: Buses) -> None:
    given = [(Lane.ALARM, 3), (Lane.ALARM, 7), (Lane.ALARM, 5), (Lane.EVENT, 2)]
    async with (
        Downlink(buses.settings, f"down-{buses.community}") as downlink,
        kafka.consumer(buses.settings, "down") as consumer,
        kafka.producer(buses.settings, "processors") as producer,
        buses.heard(buses.node.topic(Kind.RECEIPT)) as heard,
    ):
        passing = asyncio.create_task(downlink.pass_receipts(consumer))
        for lane, stored in given:
            receipt = StoredReceipt(
                community=buses.community,
                estate="e1",
                node=buses.node.node,
                boot=BOOT,
                lane=lane,
                stored=stored,
            )
            await producer.send_and_wait(RECEIPT, receipts.encode(receipt), buses.node.node.encode())
        newest: dict[str, int] = {}
        while newest != {Lane.ALARM: 7, Lane.EVENT: 2}:
            _, payload = await heard.get()
            told = msgspec.json.decode(payload, type=Receipt)
            assert told.boot == BOOT
            newest[told.lane] = max(told.stored, newest.get(told.lane, 0))
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)


async def state(heard: asyncio.Queue[tuple[str, bytes]], *, storing: bool) -> PlatformState:
    """Return the next announcement that says so."""
    while True:
        said = msgspec.json.decode((await heard.get())[1], type=PlatformState)
        if said.storing is storing:
            return said


async def test_the_platform_says_retained_whether_it_is_storing(buses: Buses, database: str) -> None:
    topic = platform_state(buses.community)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as direct:
        await direct.execute("INSERT INTO community (id, name) VALUES (%s, 'C')", [buses.community])
        await direct.execute(
            "INSERT INTO estate (id, community, name) VALUES ('e1', %s, 'E')", [buses.community]
        )
        await direct.execute("INSERT INTO node (id, estate) VALUES (%s, 'e1')", [buses.node.node])
        async with (
            Downlink(buses.settings, f"down-{buses.community}") as downlink,
            open_pool(SecretStr(database), "watch", 1, timeout_s=1) as pool,
            buses.heard(topic) as heard,
        ):
            watch = Watch(pool, downlink, "log-1", "ingest-1", lambda: NOW)
            assert watch.registry() is None
            await watch.step({"carried": 3})
            watch._announce()
            assert (await state(heard, storing=False)).incarnation == "log-1"
            assert watch.registry() is None

            await heartbeats.beat(direct, "processors-1", NOW, {})
            await watch.step({"carried": 4})
            watch._announce()
            assert await state(heard, storing=True)
            known = watch.registry()
            assert known is not None
            assert set(known.nodes) == {buses.node.node}

            await heartbeats.beat(direct, "processors-1", NOW - SILENT - timedelta(seconds=1), {})
            await watch.step({"carried": 5})
            assert not watch.storing
            row = await direct.execute("SELECT progress FROM heartbeat WHERE process = 'ingest-1'")
            assert await row.fetchone() == ({"carried": 5},)
        async with buses.heard(topic) as late:
            assert (await state(late, storing=True)).up


async def test_without_a_database_the_platform_stores_nothing_and_checks_nothing(buses: Buses) -> None:
    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    downlink: Any = None
    async with open_pool(nowhere, "watch", 1, timeout_s=0.05) as pool:
        watch = Watch(pool, downlink, "log-1", "ingest-1", lambda: NOW)
        watch.storing = True
        await watch.step({})
        assert not watch.storing
        assert watch.registry() is None
    assert buses


async def test_what_is_missing_for_longer_than_a_look_is_counted_until_it_comes(database: str) -> None:
    downlink: Any = None

    def counted(lane: Lane) -> float | None:
        return REGISTRY.get_sample_value("vigil_ingest_missing", {"lane": lane})

    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as direct,
        open_pool(SecretStr(database), "watch", 1, timeout_s=1) as pool,
    ):

        async def accounted(ranges: str) -> None:
            await direct.execute(
                "INSERT INTO watermark (node, boot, lane, accounted, changed_at) VALUES ('n1', %s, 'alarm', %s, %s)"
                " ON CONFLICT (node, boot, lane) DO UPDATE SET accounted = excluded.accounted",
                [BOOT, ranges, NOW],
            )

        watch = Watch(pool, downlink, "log-1", "ingest-1", lambda: NOW)
        await accounted("{[0,3),[7,9)}")
        first = await watch.look_for_gaps([])
        assert counted(Lane.ALARM) == 0  # may be on its way
        await accounted("{[0,4),[6,9)}")
        second = await watch.look_for_gaps(first)
        assert counted(Lane.ALARM) == 2
        assert counted(Lane.EVENT) == 0
        await accounted("{[0,9)}")
        assert await watch.look_for_gaps(second) == []
        assert counted(Lane.ALARM) == 0
