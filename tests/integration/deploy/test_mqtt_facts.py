"""What our MQTT code relies on, shown on the broker itself (the embedded one or mosquitto)."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from deploy.embedded.servers import HOST, MAX_PACKET_BYTES, Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Stack

pytestmark = pytest.mark.integration
LIMIT_S = 10.0
SLOT_S = 0.05
"""rumqttd gives the slot of an ended connection to the next one, and the late end of the old one
then ends the new one right after its CONNACK.  Clients that connect again do not care."""


class Client:
    """A paho client that keeps what it receives."""

    def __init__(
        self,
        port: int,
        name: str,
        protocol: int,
        *,
        clean: bool,
        will: tuple[str, bytes] | None,
        by_hand: bool,
    ) -> None:
        self.received: list[paho.MQTTMessage] = []
        self.session_present = False
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._lost = threading.Event()
        v5 = protocol == MQTTProtocolVersion.MQTTv5
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=MQTTProtocolVersion(protocol),
            clean_session=None if v5 else clean,
            manual_ack=by_hand,
            reconnect_on_failure=False,
        )
        self.paho.username_pw_set(name, "any")
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = lambda *_: self._subscribed.set()
        self.paho.on_disconnect = lambda *_: self._lost.set()
        self.paho.on_message = lambda _client, _user, message: self.received.append(message)
        if will:
            self.paho.will_set(*will, qos=1, retain=True)
        while not self._open(port, clean=clean):
            time.sleep(SLOT_S)

    def _open(self, port: int, *, clean: bool) -> bool:
        """Connect, and say whether the connection outlived its first question."""
        self._connected.clear()
        self._subscribed.clear()
        self._lost.clear()
        if self.paho.protocol == MQTTProtocolVersion.MQTTv5:
            lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own gap
            lasting.SessionExpiryInterval = 0 if clean else 3600
            self.paho.connect(HOST, port, clean_start=clean, properties=lasting)
        else:
            self.paho.connect(HOST, port)
        self.paho.loop_start()
        assert self._connected.wait(LIMIT_S)
        self.paho.subscribe("first/question", qos=1)
        until(lambda: self._subscribed.is_set() or self._lost.is_set())
        if self._lost.is_set():
            self.paho.loop_stop()
        return not self._lost.is_set()

    def _on_connect(self, _c: object, _u: object, flags: paho.ConnectFlags, *_: object) -> None:
        self.session_present = flags.session_present
        self._connected.set()

    def subscribe(self, topic: str) -> None:
        self._subscribed.clear()
        self.paho.subscribe(topic, qos=1)
        assert self._subscribed.wait(LIMIT_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.paho.publish(topic, payload, qos=1, retain=retain).wait_for_publish(LIMIT_S)

    def payloads(self, wait_for: int) -> list[bytes]:
        """Return what came, once at least so many messages did."""
        until(lambda: len(self.received) >= wait_for)
        return [bytes(message.payload) for message in self.received]

    def leave(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()
        time.sleep(SLOT_S)

    def cut(self) -> None:
        """Lose the connection without a word, as with a pulled cable."""
        connection = self.paho.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        self.paho.loop_stop()
        time.sleep(SLOT_S)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Connect:
    """Makes clients that are closed at the end of the test."""

    def __init__(self, port: int, protocol: int, prefix: str) -> None:
        self.port = port
        self.protocol = protocol
        self.prefix = prefix
        self.clients: list[Client] = []

    def __call__(
        self,
        name: str,
        *,
        clean: bool = True,
        will: tuple[str, bytes] | None = None,
        by_hand: bool = False,
    ) -> Client:
        client = Client(
            self.port, f"{self.prefix}-{name}", self.protocol, clean=clean, will=will, by_hand=by_hand
        )
        self.clients.append(client)
        return client


@pytest.fixture(params=[4, 5], ids=["3.1.1", "5"])
def connect(request: pytest.FixtureRequest, stack: Stack, community: str) -> Iterator[Connect]:
    v5 = request.param == MQTTProtocolVersion.MQTTv5
    port = stack.broker.port_v5 if v5 and isinstance(stack.broker, Broker) else stack.broker.port
    made = Connect(port, request.param, community)
    yield made
    for client in made.clients:
        client.leave()


def test_a_later_subscriber_gets_the_retained_message_and_an_emptied_one_is_gone(
    connect: Connect, community: str
) -> None:
    publisher = connect("node")
    publisher.publish(f"{community}/n1/state", b"online", retain=True)
    publisher.publish(f"{community}/n2/state", b"online", retain=True)
    publisher.publish(f"{community}/n2/state", b"", retain=True)
    late = connect("late")
    late.subscribe(f"{community}/+/state")
    assert late.payloads(1) == [b"online"]
    assert late.received[0].retain


def test_a_lost_connection_publishes_the_will_and_keeps_it_retained(connect: Connect, community: str) -> None:
    topic = f"{community}/n1/state"
    watcher = connect("watcher")
    watcher.subscribe(topic)
    connect("node", will=(topic, b"offline")).cut()
    assert watcher.payloads(1) == [b"offline"]
    late = connect("late")
    late.subscribe(topic)
    assert late.payloads(1) == [b"offline"]


def test_a_clean_farewell_publishes_no_will(connect: Connect, community: str) -> None:
    topic = f"{community}/n1/state"
    watcher = connect("watcher")
    watcher.subscribe(f"{community}/#")
    connect("node", will=(topic, b"offline")).leave()
    connect("other").publish(f"{community}/end", b"end")
    assert watcher.payloads(1) == [b"end"]


def test_what_was_published_while_a_session_was_away_is_there_when_it_returns(
    connect: Connect, community: str
) -> None:
    away = connect("away", clean=False)
    away.subscribe(f"{community}/#")
    away.leave()
    publisher = connect("node")
    sent = [f"{number}".encode() for number in range(300)]
    for payload in sent:
        publisher.publish(f"{community}/n1", payload)
    back = connect("away", clean=False)
    assert back.session_present
    assert back.payloads(300) == sent


def test_unacknowledged_messages_come_again_after_a_reconnect_and_acknowledged_ones_do_not(
    connect: Connect, community: str
) -> None:
    first = connect("ingest", clean=False, by_hand=True)
    first.subscribe(f"{community}/#")
    publisher = connect("node")
    for number in range(10):
        publisher.publish(f"{community}/n1", f"{number}".encode())
    first.payloads(10)
    for message in first.received[:3]:
        first.paho.ack(message.mid, message.qos)
    first.subscribe(f"{community}/another")  # its answer shows that the broker has read so far
    first.cut()
    again = connect("ingest", clean=False, by_hand=True)
    assert again.payloads(7) == [f"{number}".encode() for number in range(3, 10)]


def test_members_of_a_shared_subscription_get_each_message_once_between_them(
    connect: Connect, community: str
) -> None:
    members = [connect(f"ingest-{number}") for number in range(2)]
    for member in members:
        member.subscribe(f"$share/ingest/{community}/#")
    publisher = connect("node")
    for number in range(50):
        publisher.publish(f"{community}/n{number % 5}", f"{number}".encode())
    until(lambda: sum(len(member.received) for member in members) >= 50)
    got = [message.payload for member in members for message in member.received]
    assert sorted(got) == sorted(f"{number}".encode() for number in range(50))


@pytest.mark.embedded_only
def test_an_oversize_packet_ends_its_senders_connection_and_nobody_gets_it(
    connect: Connect, community: str
) -> None:
    watcher = connect("watcher")
    watcher.subscribe(f"{community}/#")
    sender = connect("node")
    gone = threading.Event()
    sender.paho.on_disconnect = lambda *_: gone.set()
    sender.paho.publish(f"{community}/n1", b"x" * MAX_PACKET_BYTES, qos=1)
    assert gone.wait(LIMIT_S)
    sender.leave()
    largest = b"y" * (MAX_PACKET_BYTES - 100)
    connect("other").publish(f"{community}/n2", largest)
    assert watcher.payloads(1) == [largest]


@pytest.mark.embedded_only
def test_the_embedded_broker_forgets_sessions_and_retained_messages_when_it_is_killed(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    try:
        connect = Connect(broker.port, 4, "memory")
        away = connect("away", clean=False)
        away.subscribe("t/#")
        away.publish("t/state", b"online", retain=True)
        away.payloads(1)
        away.leave()
        broker.kill()
        broker.start()
        back = connect("away", clean=False)
        back.subscribe("t/#")
        back.publish("t/end", b"end")
        assert not back.session_present
        assert back.payloads(1) == [b"end"]
        back.leave()
    finally:
        broker.stop()


@pytest.mark.embedded_only
def test_the_embedded_broker_sends_a_lasting_session_no_retained_message_a_second_time(
    connect: Connect, community: str
) -> None:
    topic = f"{community}/n1/state"
    connect("node").publish(topic, b"online", retain=True)
    first = connect("ingest", clean=False)
    first.subscribe(topic)
    assert first.payloads(1) == [b"online"]
    first.leave()
    again = connect("ingest", clean=False)
    again.subscribe(topic)
    connect("other").publish(topic, b"live")
    assert again.payloads(1) == [b"live"]
