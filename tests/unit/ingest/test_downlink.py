"""What goes down, to brokers that a test scripts: bounded, in few writes, and nothing left behind."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog

from ingest import downlink as downlinks
from ingest import link as links
from ingest.downlink import Downlink
from tests.making import NOW, raw_record
from tests.unit.ingest.test_inbox import Broker, Peer, serving, until
from tests.unit.ingest.test_wire import packet
from vigil import receipts
from vigil.events import PlatformState, Receipt
from vigil.receipts import StoredReceipt
from vigil.topics import RECEIPT, Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PAUSE_S", 0.001)


def receipt(stored: int, lane: Lane = Lane.ALARM, node: str = "n1") -> StoredReceipt:
    return StoredReceipt(community="c1", estate="e1", node=node, boot="1-0000000a", lane=lane, stored=stored)


def record(*given: StoredReceipt) -> Any:
    return raw_record(receipts.encode(given), topic=RECEIPT)


async def told(peer: Peer, count: int) -> list[tuple[int, int]]:
    """Packet ids and what they say is stored, of so many receipts."""
    found = [await peer.published() for _ in range(count)]
    return [(mid, msgspec.json.decode(payload, type=Receipt).stored) for _, mid, payload in found]


@asynccontextmanager
async def downlink(broker: Broker, hold_s: float = 60.0) -> AsyncIterator[Downlink]:
    async with serving(broker) as at, Downlink(at, "down", hold_s=hold_s) as made:
        yield made


@pytest.mark.parametrize("protocol", [4, 5])
async def test_no_more_is_under_way_than_agreed_and_what_waited_goes_as_the_broker_acknowledges(
    protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downlinks, "WINDOW", 3)
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greeted()
        first = await told(peer, 3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.published(), 0.05)
        await peer.acknowledge(*(mid for mid, _ in first[:2]))
        then = await told(peer, 2)
        assert [stored for _, stored in first + then] == [1, 2, 3, 4, 5]
        await peer.acknowledge(first[2][0], *(mid for mid, _ in then))
        done.set()
        await peer.until_gone()

    async with downlink(Broker(protocol, script)) as down:
        down.put([record(*(receipt(n, node=f"n{n}") for n in range(1, 6)))])
        await done.wait()


async def test_a_broker_that_takes_fewer_at_once_gets_fewer() -> None:
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greeted(packet(0x20, b"\x00\x00\x03\x21\x00\x02"))
        await told(peer, 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.published(), 0.05)
        done.set()

    async with downlink(Broker(5, script)) as down:
        down.put([record(*(receipt(1, node=f"n{n}") for n in range(5)))])
        await done.wait()


async def test_an_alarms_receipt_goes_at_once_and_anothers_when_its_time_has_come() -> None:
    heard: list[int] = []
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greeted()
        for _ in range(2):
            ((mid, stored),) = await told(peer, 1)
            heard.append(stored)
            await peer.acknowledge(mid)
        done.set()
        await peer.until_gone()

    async with downlink(Broker(4, script), hold_s=0.05) as down:
        down.put([record(receipt(5, Lane.EVENT)), record(receipt(6, Lane.EVENT), receipt(1))])
        while not done.is_set():
            down.put([])
            await asyncio.sleep(0.001)
    assert heard == [1, 6]


async def test_what_is_held_is_passed_down_before_the_process_ends() -> None:
    heard: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.greeted()
        for mid, stored in await told(peer, 2):
            heard.append(stored)
            await peer.acknowledge(mid)
        await peer.until_gone()

    async with downlink(Broker(5, script)) as down:
        await until(lambda: down.trouble() is None)
        down.put([record(receipt(7, Lane.EVENT), receipt(8, Lane.HEALTH))])
        assert heard == []
    assert sorted(heard) == [7, 8]


async def test_what_a_broken_connection_may_have_lost_is_published_again_unless_there_is_a_newer_one() -> (
    None
):
    broken, done = asyncio.Event(), asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.greeted()
        assert [stored for _, stored in await told(peer, 2)] == [1, 2]
        await broken.wait()

    async def second(peer: Peer) -> None:
        await peer.greeted()
        assert sorted(stored for _, stored in await told(peer, 2)) == [2, 9]
        done.set()
        await peer.until_gone()

    async with downlink(Broker(4, first, second)) as down:
        down.put([record(receipt(1, node="n1"), receipt(2, node="n2"))])
        await until(lambda: len(down._in_flight) == 2)
        broken.set()
        await until(lambda: down.trouble() is not None)
        down.put([record(receipt(9, node="n1"))])
        await done.wait()


async def test_the_newest_state_of_the_platform_waits_for_a_broker_and_is_told_retained() -> None:
    said = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.greeted()
        while (sent := await peer.packet())[0] == 0xC0:  # a sign of life
            pass
        said.set_result(sent)
        await peer.until_gone()

    async with downlink(Broker(4, script)) as down:
        for storing in (False, True):
            down.announce("c1", PlatformState(up=True, storing=storing, at=NOW, incarnation="log-1"))
        head, body = await said
    assert head == 0x33
    assert b'"storing":true' in body


async def test_what_the_broker_will_not_deliver_is_told_and_makes_room() -> None:
    async def script(peer: Peer) -> None:
        await peer.greeted()
        ((mid, _),) = await told(peer, 1)
        await peer.send(packet(0x40, struct.pack("!HB", mid, 0x87) + b"\x00"))
        await peer.until_gone()

    with structlog.testing.capture_logs() as logs:
        async with downlink(Broker(5, script)) as down:
            down.put([record(receipt(1))])
            await until(down._empty.is_set)
    assert [line["reason"] for line in logs if line["event"] == "broker does not deliver"] == [
        "not authorized (0x87)"
    ]


async def test_an_unreadable_record_does_not_hold_up_the_others() -> None:
    bad = [raw_record(value, topic=RECEIPT) for value in (b"{", b"\xff", b"", None, b"[" * 20_000)]
    said = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.greeted()
        said.set_result([stored for _, stored in await told(peer, 1)])
        await peer.until_gone()

    async with downlink(Broker(4, script)) as down:
        down.put([*bad, record(receipt(3))])
        assert await said == [3]


async def test_of_two_configs_that_wait_on_a_topic_the_last_goes_and_receipts_keep_half_of_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downlinks, "WINDOW", 3)
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greeted()
        first = [await peer.published() for _ in range(3)]
        found = [(topic, payload) for topic, _, payload in first]
        assert found[:2] == [("a/config", b"newer"), ("b/config", b"1")]
        assert found[2][0].endswith("/receipt"), "no letter before it"
        await peer.acknowledge(*(mid for _, mid, _ in first))
        topic, mid, _ = await peer.published()
        assert topic == "c/config"
        await peer.acknowledge(mid)
        done.set()
        await peer.until_gone()

    async with downlink(Broker(4, script)) as down:
        down.put([record(receipt(1))])
        for topic, payload in (("a", b"older"), ("b", b"1"), ("c", b"1"), ("a", b"newer")):
            down.send(f"{topic}/config", payload, retain=True)
        await done.wait()
    assert down.connections == 1
