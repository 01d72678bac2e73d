"""Somebody who reads everything that leaves a home: every topic and every table, and looks for people in it.

Names, telephone numbers, identity numbers and pictures have no business on the way of an event;
a resident's id has none on the bus.  The tables that are there to know people are named here,
each with the reason.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paho.mqtt.client as paho
import psycopg
from aiokafka import AIOKafkaConsumer
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.conftest import Stack

KNOW_PEOPLE: Final = {
    "resident": "whom the platform watches over",
    "account": "staff, by whom it is answered",
    "contact": "how staff are told",
    "register_change": "how the register was before a change, so that it can be taken back",
}
"""Table -> why it may hold names and telephone numbers."""
IDENTITY_NUMBER: Final = re.compile(rb"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])\d{5}[\dXx](?!\d)")
"""As China's national identity cards have it: region, date of birth, order, check digit."""
PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"/9j/", b"iVBORw0KGgo", b"ftypmp4", b"ftypisom")
"""How JPEG, PNG and MP4 begin, as bytes and in base64."""


@dataclass(frozen=True, slots=True)
class People:
    """What would give somebody away."""

    told: frozenset[str]
    ids: frozenset[str]

    def found(self, content: bytes, *, bus: bool) -> Iterator[str]:
        """Return what a message or a row says of people."""
        yield from (word for word in self.told if word.encode() in content)
        if IDENTITY_NUMBER.search(content):
            yield "an identity number"
        if bus:
            yield from (
                id_ for id_ in self.ids if re.search(rb"(?<![\w-])%b(?![\w-])" % id_.encode(), content)
            )
            yield from (f"a picture ({start!r})" for start in PICTURES if start in content)


def people(dsn: str) -> People:
    """Read who is known, and by which names, numbers and ids."""
    with psycopg.connect(dsn) as connection:
        residents = connection.execute("SELECT id, name, phone, profile FROM resident").fetchall()
        staff = connection.execute("SELECT name, phone FROM account").fetchall()
    told = {word for _, name, phone, _ in residents for word in (name, phone)}
    told |= {word for row in staff for word in row}
    for *_, profile in residents:
        for contact in (*profile.get("key_holders", ()), *profile.get("family", ())):
            told |= {contact["name"], contact.get("phone")}
    return People(frozenset(word for word in told if word), frozenset(row[0] for row in residents))


@contextmanager
def listening(stack: Stack) -> Iterator[list[tuple[str, bytes]]]:
    """Hear every message at the broker while the context lasts: topic and payload."""
    heard: list[tuple[str, bytes]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "story-bystander")

    def subscribe(*_: object) -> None:
        client.subscribe("#", qos=1)

    client.on_message = lambda _client, _data, message: heard.append((message.topic, bytes(message.payload)))
    client.on_connect = subscribe
    client.connect(stack.addresses.mqtt_host, stack.addresses.mqtt_port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
        client._reset_sockets()  # paho leaves its wake-up sockets to the garbage collector


async def records(bootstrap: str) -> list[tuple[str, bytes]]:
    """Read every Kafka topic from its beginning: topic, then key and value."""
    consumer = AIOKafkaConsumer(*KAFKA_TOPICS, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            return await _read_all(consumer)
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's own, of the task that it ends when it stops
            await consumer.stop()


async def _read_all(consumer: AIOKafkaConsumer) -> list[tuple[str, bytes]]:
    """Read from the beginning to where the log ends now."""
    ends = await consumer.end_offsets(list(consumer.assignment()))
    found: list[tuple[str, bytes]] = []
    while any([await consumer.position(each) < end for each, end in ends.items()]):
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            found += [(one.topic, (one.key or b"") + b"\n" + (one.value or b"")) for one in batch]
    return found


def rows(dsn: str) -> Iterator[tuple[str, bytes]]:
    """Read every table but those that are there to know people: table and row, as text."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            if table not in KNOW_PEOPLE:
                query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
                yield from ((table, row[0].encode()) for row in connection.execute(query))


def leaks(known: People, content: Iterable[tuple[str, bytes]], *, bus: bool) -> list[str]:
    """Return each thing that gives somebody away, once a place."""
    return sorted({f"{place}: {what}" for place, said in content for what in known.found(said, bus=bus)})
