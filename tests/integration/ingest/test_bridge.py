"""From a real broker to a real Kafka: acknowledged only when Kafka has it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from ingest.bridge import Bridge, partition_of
from ingest.inbox import Inbox
from tests.making import Wearer, device, encoded, fall, mqtt_topic
from vigil import events, kafka
from vigil.clock import utc_now
from vigil.events import MAX_PAYLOAD
from vigil.progress import Work
from vigil.registry import Node, Registry
from vigil.topics import ALARM, DEAD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.integration.ingest.conftest import Buses
    from vigil.events import Envelope

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@asynccontextmanager
async def bridge(buses: Buses, name: str = "one", registry: Registry | None = None) -> AsyncIterator[Bridge]:
    """A bridge for the community's alarms; the test steps it."""
    async with AsyncExitStack() as stack:
        inbox = Inbox(buses.settings, f"{buses.community}-{name}", [buses.alarms], 100)
        producer = await stack.enter_async_context(kafka.producer(buses.settings, name))
        await stack.enter_async_context(inbox)
        await until(lambda: inbox.trouble() is None)
        yield Bridge(inbox, producer, lambda: registry, utc_now)


@asynccontextmanager
async def running(*bridges: Bridge) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in bridges]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def message(envelope: Envelope) -> tuple[str, bytes]:
    return mqtt_topic(envelope), events.encode(envelope)


def calls(buses: Buses, first: int, last: int) -> list[tuple[str, bytes]]:
    return [message(buses.event(seq=seq)) for seq in range(first, last + 1)]


def values(records: list[Any]) -> set[bytes]:
    return {record.value for record in records}


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - a counter tells nobody
        await asyncio.sleep(0.01)


async def test_events_arrive_in_kafka_as_the_bytes_that_were_sent_keyed_by_node(buses: Buses) -> None:
    sent = [message(buses.event(fall(), 1)), *calls(buses, 2, 20)]
    async with bridge(buses) as one, running(one):
        await buses.publish(*sent)
        records = await buses.in_log(ALARM, 20)
    assert values(records) == {payload for _, payload in sent}
    assert {record.key for record in records} == {buses.node.node.encode()}
    assert len({record.partition for record in records}) == 1


async def test_bad_messages_are_dead_letters_with_their_bytes_and_leave_their_neighbours_alone(
    buses: Buses,
) -> None:
    topic = mqtt_topic(buses.event())
    bad = {
        b"{": b"malformed",
        b"\xff\x00": b"malformed",
        b"[" * 20_000: b"malformed",
        b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}": b"malformed",
        b"x" * (3 * MAX_PAYLOAD): b"oversize",
        Random(1).randbytes(250_000): b"oversize",  # as long as mosquitto lets pass, and no codec helps
        encoded(buses.event(), type="vigil.alarm.sos.v9"): b"unknown_type",
        encoded(buses.event(), source="//vigil/c/e/other"): b"wrong_topic",
    }
    sent = calls(buses, 1, len(bad) + 1)
    mixed = [
        pair for call, payload in zip(sent, [*bad, b"{"], strict=True) for pair in ((topic, payload), call)
    ]
    async with bridge(buses) as one, running(one):
        await buses.publish(*mixed)
        dead = await buses.in_log(DEAD, len(bad) + 1)
        good = await buses.in_log(ALARM, len(sent))
    assert values(good) == {payload for _, payload in sent}
    assert {record.value: dict(record.headers)["reason"] for record in dead} == bad
    assert {dict(record.headers)["origin"] for record in dead} == {topic.encode()}


async def test_a_device_that_nobody_registered_is_a_dead_letter(buses: Buses) -> None:
    node = Node(buses.node.node, buses.community, "e1", None, None, retired=False)
    known = Registry(1, {node.id: node}, {"pendant": device(Wearer(), node=node.id)})
    async with bridge(buses, registry=known) as one, running(one):
        await buses.publish(message(buses.event(device="stranger")), message(buses.event(seq=2)))
        (dead,) = await buses.in_log(DEAD, 1)
        (good,) = await buses.in_log(ALARM, 1)
    assert dict(dead.headers)["reason"] == b"unregistered"
    assert events.decode(good.value).seq == 2


async def test_with_two_members_each_message_arrives_and_where_the_broker_can_they_share_the_load(
    buses: Buses,
) -> None:
    sent = calls(buses, 1, 60)
    async with bridge(buses, "one") as one, bridge(buses, "other") as other, running(one, other):
        await buses.publish(*sent)
        records = await buses.in_log(ALARM, 60)
        wanted = 60 if buses.shares else 120
        await until(lambda: one.carried + other.carried >= wanted)
    assert values(records) == {payload for _, payload in sent}
    assert one.carried + other.carried == wanted
    assert min(one.carried, other.carried) > 0


async def test_what_a_member_took_and_did_not_acknowledge_comes_again_to_it(buses: Buses) -> None:
    sent = calls(buses, 1, 5)
    async with bridge(buses) as one:
        await buses.publish(*sent)
        taken: list[Any] = []
        while len(taken) < 5:
            taken += await one._inbox.take(10)
    async with bridge(buses) as one, running(one):
        assert values(await buses.in_log(ALARM, 5)) == {payload for _, payload in sent}


async def test_while_kafka_is_away_nothing_is_acknowledged_and_then_all_arrives(
    buses: Buses, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = calls(buses, 1, 30)
    acknowledged: list[Any] = []
    async with bridge(buses) as one, AsyncExitStack() as stack:
        acknowledge = one._inbox.acknowledge

        def note(messages: Any) -> None:
            acknowledged.extend(messages)
            acknowledge(messages)

        taken: list[Any] = []
        take = one._inbox.take

        async def note_taken(most: int, gather_s: float) -> Any:
            messages = await take(most, gather_s)
            taken.extend(messages)
            return messages

        monkeypatch.setattr(one._inbox, "acknowledge", note)
        monkeypatch.setattr(one._inbox, "take", note_taken)
        await stack.enter_async_context(running(one))
        await asyncio.to_thread(buses.stack.kafka.kill)
        try:
            await buses.publish(*sent)
            await until(lambda: len(taken) + len(one._inbox._waiting) >= 30 and bool(taken))
            assert acknowledged == []
            assert one.work() == Work(0, 30)
        finally:
            buses.restart_kafka()
        assert values(await buses.in_log(ALARM, 30)) == {payload for _, payload in sent}
        await until(lambda: one.carried >= 30)
    assert {m.payload for m in acknowledged} == {payload for _, payload in sent}


async def test_a_message_is_never_acknowledged_on_another_connection(buses: Buses) -> None:
    async with bridge(buses) as one:
        inbox = one._inbox
        await buses.publish(*calls(buses, 1, 1))
        (first,) = await inbox.take(1)
        session = inbox._session
        assert inbox._link is not None
        inbox._link._transport.abort()
        await until(lambda: inbox._session > session)
        inbox.acknowledge([first])
        (again,) = await inbox.take(1)
    assert (again.payload, again.session) == (first.payload, session + 1)


@pytest.mark.parametrize("partitions", [1, 4, 6, 12])
async def test_the_partition_of_a_key_is_the_one_that_every_kafka_client_computes(partitions: int) -> None:
    from aiokafka.partitioner import DefaultPartitioner

    every = list(range(partitions))
    choose = DefaultPartitioner()
    for number in range(200):
        key = f"node-{number}".encode()
        assert partition_of(key, partitions) == choose(key, every, every)
