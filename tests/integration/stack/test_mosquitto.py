"""mosquitto with our configuration: who may say and hear what, and pitfalls 1 to 4."""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.conftest import lacking
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from vigil.events import MAX_PAYLOAD
from vigil.topics import Address, Kind, platform_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.stack]

WAIT_S = 10
"""Longest wait for something that must come; nothing waits for what must not come."""
OURS = Address("c1", "e1", "n1")
THEIRS = Address("c1", "e1", "n2")
NEXT_DOOR = Address("c2", "e1", "n1")
REFUSED = 0x80
"""MQTT 5: reason codes from here on mean that nobody will get the message."""
NOT_AUTHORIZED = 0x87
DROPPED = b"x" * (256 * 1024 + 1)
"""One byte more than `message_size_limit`."""
UNREAD = b"x" * (384 * 1024)
"""With its topic, more than `max_packet_size`."""
USERS = {user: f"{user} secret" for user in ("n1", "n2", "+", "#", "ingest", "fallback", "metrics")}
NODE_KINDS = [
    (Kind.STATE, None),
    (Kind.BIRTH, "d1"),
    (Kind.ALARM, "d1"),
    (Kind.EVENT, "d1"),
    (Kind.TELEMETRY, "d1"),
    (Kind.HEALTH, "d1"),
    (Kind.REPLY, None),
]
PLATFORM_KINDS = [(Kind.RECEIPT, None), (Kind.CONFIG, None), (Kind.CMD, "d1")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker of community c1 with the shipped access list."""
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(tmp_path_factory.mktemp("guarded"), users=USERS, community="c1")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that a test may end, open to everybody."""
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(tmp_path / "mqtt")
    server.start()
    yield server
    server.stop()


class Client:
    """A user's connection (MQTT 5 unless said otherwise) whose answers are waited for."""

    def __init__(
        self,
        server: Mosquitto,
        user: str | None,
        *,
        session: str = "",
        manual_ack: bool = False,
        will: str | None = None,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.received: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._answers: queue.Queue[tuple[str, int]] = queue.Queue()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, session, protocol=protocol, manual_ack=manual_ack
        )
        if user is not None:
            self._client.username_pw_set(user, USERS.get(user, "a guess"))
        if will is not None:
            self._client.will_set(will, b"gone", qos=1)
        self._client.on_connect = lambda *a: self._answers.put(("connect", a[3].value))
        self._client.on_disconnect = lambda *a: self._answers.put(("disconnect", a[3].value))
        self._client.on_subscribe = lambda *a: self._answers.put(("subscribe", a[3][0].value))
        self._client.on_publish = lambda *a: self._answers.put(("publish", a[3].value))
        self._client.on_message = lambda *a: self.received.put(a[2])
        if protocol is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's is untyped
            properties.SessionExpiryInterval = 3600 if session else 0
            self._client.connect("127.0.0.1", server.port, clean_start=not session, properties=properties)
        else:
            self._client.connect("127.0.0.1", server.port)
        self._client.loop_start()
        self.refusal = self._answer("connect")

    def _answer(self, to: str) -> int:
        what, code = self._answers.get(timeout=WAIT_S)
        assert what == to
        return code

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> int:
        """Publish at QoS 1 and return the broker's reason code."""
        self._client.publish(topic, payload, qos=1, retain=retain)
        return self._answer("publish")

    def publish_and_be_cut_off(self, topic: str, payload: bytes) -> None:
        """Publish what the broker does not even read."""
        self._client.publish(topic, payload, qos=1)
        self._answer("disconnect")

    def subscribe(self, *filters: str) -> None:
        for name in filters:
            self._client.subscribe(name, options=SubscribeOptions(qos=1))
            assert self._answer("subscribe") == 1

    def topics_before(self, last: str) -> list[str]:
        """Return the topics that came, up to the one that is known to be the last."""
        topics = []
        while (topic := self.received.get(timeout=WAIT_S).topic) != last:
            topics.append(topic)
        return topics

    def subscribe_and_leave(self, name: str) -> None:
        """Leave a session behind that messages queue up in."""
        self.subscribe(name)
        self.close()

    def vanish(self) -> None:
        """Break the connection off without a word, as a lost power supply does."""
        self._client._reset_sockets()
        self._client.loop_stop()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # paho leaves the pair of sockets that wakes its thread to the garbage collector.
        self._client._reset_sockets()


@contextlib.contextmanager
def connected(server: Mosquitto, user: str | None = None, **options: Any) -> Iterator[Client]:
    client = Client(server, user, **options)
    try:
        assert client.refusal == 0
        yield client
    finally:
        client.close()


def test_nobody_is_anonymous_and_a_password_is_checked(broker: Mosquitto) -> None:
    for user in (None, "stranger"):
        client = Client(broker, user)
        client.close()
        assert client.refusal == NOT_AUTHORIZED


@pytest.mark.parametrize(("kind", "device"), NODE_KINDS)
def test_a_node_publishes_each_of_its_kinds(broker: Mosquitto, kind: Kind, device: str | None) -> None:
    topic = OURS.topic(kind, device)
    with connected(broker, "ingest") as ingest, connected(broker, "n1") as node:
        ingest.subscribe(topic)
        assert node.publish(topic) < REFUSED
        assert ingest.received.get(timeout=WAIT_S).topic == topic


@pytest.mark.parametrize("kind_and_device", NODE_KINDS + PLATFORM_KINDS)
@pytest.mark.parametrize("other", [THEIRS, NEXT_DOOR])
def test_a_node_publishes_nothing_for_another(
    broker: Mosquitto, other: Address, kind_and_device: tuple[Kind, str | None]
) -> None:
    with connected(broker, "n1") as node:
        assert node.publish(other.topic(*kind_and_device)) == NOT_AUTHORIZED


@pytest.mark.parametrize(
    "topic",
    [
        *(OURS.topic(*kind) for kind in PLATFORM_KINDS),
        OURS.topic(Kind.ALARM),
        OURS.topic(Kind.ALARM, "d1/deeper"),
        platform_state("c1"),
        "vigil/v1/c1/e1/n1",
        "vigil/v2/c1/e1/n1/alarm/d1",
        "frigate/events",
        "$SYS/broker/uptime",
    ],
)
def test_a_node_does_not_speak_for_the_platform_or_outside_its_kinds(broker: Mosquitto, topic: str) -> None:
    with connected(broker, "n1") as node:
        assert node.publish(topic) == NOT_AUTHORIZED


@pytest.mark.parametrize("user", ["+", "#"])
def test_a_user_name_that_is_a_wildcard_opens_nothing(broker: Mosquitto, user: str) -> None:
    client = Client(broker, user)
    refused = client.refusal != 0 or client.publish(OURS.topic(Kind.ALARM, "d1")) == NOT_AUTHORIZED
    client.close()
    assert refused


@pytest.mark.parametrize(
    "wildcards",
    [
        ["#"],
        ["vigil/v1/#"],
        [
            "vigil/v1/c1/+/+/receipt",
            "vigil/v1/c1/+/+/config",
            "vigil/v1/c1/+/+/cmd/+",
            "vigil/v1/+/platform/state",
        ],
        ["$share/thieves/vigil/v1/c1/#"],
    ],
)
def test_a_node_hears_its_own_and_the_platforms_state_whatever_it_subscribes_to(
    broker: Mosquitto, wildcards: list[str]
) -> None:
    for_us = [OURS.topic(*kind) for kind in PLATFORM_KINDS]
    for_others = [THEIRS.topic(*kind) for kind in PLATFORM_KINDS]
    with (
        connected(broker, "n1") as node,
        connected(broker, "n2") as other,
        connected(broker, "ingest") as ingest,
    ):
        node.subscribe(*wildcards)
        for topic in [*for_others, *for_us]:
            assert ingest.publish(topic) < REFUSED
        for kind in NODE_KINDS:
            assert other.publish(THEIRS.topic(*kind)) < REFUSED
        assert ingest.publish(platform_state("c1")) < REFUSED
        assert node.topics_before(platform_state("c1")) == for_us


def test_a_node_does_not_see_what_is_retained_for_another(broker: Mosquitto) -> None:
    with connected(broker, "ingest") as ingest, connected(broker, "n1") as node:
        ingest.publish(THEIRS.topic(Kind.CONFIG), retain=True)
        ingest.publish(OURS.topic(Kind.CONFIG), retain=True)
        node.subscribe(THEIRS.topic(Kind.CONFIG), OURS.topic(Kind.CONFIG))
        assert node.topics_before(OURS.topic(Kind.CONFIG)) == []
        for address in (THEIRS, OURS):
            ingest.publish(address.topic(Kind.CONFIG), b"", retain=True)


def test_a_will_cannot_say_what_its_node_may_not(broker: Mosquitto) -> None:
    with connected(broker, "ingest") as ingest:
        ingest.subscribe("vigil/v1/c1/+/+/state")
        for will in (THEIRS.topic(Kind.STATE), OURS.topic(Kind.STATE)):
            Client(broker, "n1", will=will).vanish()
        assert ingest.topics_before(OURS.topic(Kind.STATE)) == []


def test_the_watchdog_sees_states_and_sends_canaries_but_reads_no_alarms(broker: Mosquitto) -> None:
    canary = Address("c1", "e1", "fallback")
    with connected(broker, "fallback") as watchdog, connected(broker, "n1") as node:
        watchdog.subscribe("vigil/v1/#")
        assert watchdog.publish(canary.topic(Kind.ALARM, "canary")) < REFUSED
        assert watchdog.publish(OURS.topic(Kind.ALARM, "d1")) == NOT_AUTHORIZED
        assert node.publish(OURS.topic(Kind.ALARM, "d1")) < REFUSED
        assert node.publish(OURS.topic(Kind.STATE)) < REFUSED
        assert watchdog.topics_before(OURS.topic(Kind.STATE)) == []


def test_the_exporter_reads_the_brokers_figures_alone(broker: Mosquitto) -> None:
    with connected(broker, "metrics") as exporter, connected(broker, "n1") as node:
        exporter.subscribe("vigil/v1/#", "$SYS/broker/publish/messages/dropped")
        node.publish(OURS.topic(Kind.ALARM, "d1"))
        assert exporter.received.get(timeout=WAIT_S).topic == "$SYS/broker/publish/messages/dropped"


def test_an_oversize_event_reaches_ingest_and_may_become_a_dead_letter(own_broker: Mosquitto) -> None:
    payload = b"x" * (MAX_PAYLOAD + 1)
    with connected(own_broker) as ingest, connected(own_broker) as node:
        ingest.subscribe("vigil/v1/#")
        assert node.publish(OURS.topic(Kind.EVENT, "d1"), payload) < REFUSED
        assert ingest.received.get(timeout=WAIT_S).payload == payload


def test_mqtt_3_tells_the_sender_of_what_no_event_can_be_that_it_was_delivered(own_broker: Mosquitto) -> None:
    """Pitfall 3: the message is dropped, the handshake completes all the same."""
    topic = OURS.topic(Kind.EVENT, "d1")
    with (
        connected(own_broker) as ingest,
        connected(own_broker, protocol=MQTTProtocolVersion.MQTTv311) as node,
    ):
        ingest.subscribe("vigil/v1/#")
        assert node.publish(topic, DROPPED) == 0
        assert node.publish(topic, b"the next one") == 0
        assert ingest.received.get(timeout=WAIT_S).payload == b"the next one"


def test_mqtt_5_cuts_the_sender_of_what_no_event_can_be_off(own_broker: Mosquitto) -> None:
    """Pitfall 3: mosquitto answers "packet too large", which no PUBACK may say, and paho hangs up.

    It would send the same message again after each reconnection, so an edge rejects it itself.
    """
    with connected(own_broker) as node:
        node.publish_and_be_cut_off(OURS.topic(Kind.EVENT, "d1"), DROPPED)


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_packet_that_is_not_even_read_ends_the_connection(
    own_broker: Mosquitto, protocol: MQTTProtocolVersion
) -> None:
    with connected(own_broker, protocol=protocol) as node:
        node.publish_and_be_cut_off(OURS.topic(Kind.EVENT, "d1"), UNREAD)


def test_the_queue_of_an_absent_ingest_is_longer_than_mosquittos_default(own_broker: Mosquitto) -> None:
    """Pitfall 2: past 1,000 messages the default configuration drops without a word."""
    count = 1500
    Client(own_broker, None, session="ingest").subscribe_and_leave("vigil/v1/#")
    with connected(own_broker) as node:
        for number in range(count):
            node.publish(OURS.topic(Kind.EVENT, "d1"), str(number).encode())
    with connected(own_broker, session="ingest") as ingest:
        received = [int(ingest.received.get(timeout=WAIT_S).payload) for _ in range(count)]
    assert received == list(range(count))


def test_more_than_twenty_messages_come_before_the_first_is_acknowledged(own_broker: Mosquitto) -> None:
    count = 500
    with connected(own_broker, manual_ack=True) as ingest, connected(own_broker) as node:
        ingest.subscribe("vigil/v1/#")
        for number in range(count):
            node.publish(OURS.topic(Kind.EVENT, "d1"), str(number).encode())
        assert [int(ingest.received.get(timeout=WAIT_S).payload) for _ in range(count)] == list(range(count))


def test_sessions_queues_and_retained_messages_survive_a_restart(own_broker: Mosquitto) -> None:
    Client(own_broker, None, session="ingest").subscribe_and_leave("vigil/v1/#")
    with connected(own_broker) as node:
        node.publish(OURS.topic(Kind.ALARM, "d1"), b"queued")
        node.publish(OURS.topic(Kind.STATE), b"online", retain=True)
    own_broker.stop()
    own_broker.start()
    with connected(own_broker, session="ingest") as ingest, connected(own_broker) as other:
        payloads = [ingest.received.get(timeout=WAIT_S).payload for _ in range(2)]
        assert payloads == [b"queued", b"online"]
        other.subscribe(OURS.topic(Kind.STATE))
        assert other.received.get(timeout=WAIT_S).payload == b"online"


def test_a_killed_broker_loses_what_it_had_acknowledged(own_broker: Mosquitto) -> None:
    """Pitfall 1: why an edge keeps its row until the platform's own receipt."""
    Client(own_broker, None, session="ingest").subscribe_and_leave("vigil/v1/#")
    with connected(own_broker) as node:
        assert node.publish(OURS.topic(Kind.ALARM, "d1"), b"acknowledged, then lost") < REFUSED
        own_broker.kill()
    own_broker.start()
    with connected(own_broker, session="ingest") as ingest, connected(own_broker) as node:
        ingest.subscribe("vigil/v1/#")
        assert node.publish(OURS.topic(Kind.ALARM, "d1"), b"after the restart") < REFUSED
        assert ingest.received.get(timeout=WAIT_S).payload == b"after the restart"
