"""The packets of MQTT: any cut of the stream gives the same ones, and garbage one clear error."""

from __future__ import annotations

import itertools
import socket
import struct
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest import wire
from ingest.wire import LONGEST, Connack, Goodbye, Message, Packet, Pingresp, Puback, Reader, Suback
from vigil.errors import ProtocolError, Unavailable

WELCOME = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}
protocols = st.sampled_from([4, 5])
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@dataclass(frozen=True)
class Sent:
    """A packet as a broker writes it, and as we are to read it."""

    raw: bytes
    read: Packet


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + varint(len(body)) + body


def publish(protocol: int, topic: bytes, payload: bytes, mid: int, *, flags: int = 0) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.UserProperty = ("k", "v")
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if mid else b"")
    body += properties.pack() if protocol == 5 else b""  # type: ignore[no-untyped-call]
    return packet(0x30 | flags | (2 if mid else 0), body + payload)


@st.composite
def published(draw: st.DrawFn, protocol: int) -> Sent:
    topic, payload = draw(topics), draw(st.binary(max_size=300))
    mid = draw(st.integers(0, 65535))
    flags = draw(st.sampled_from([0, 1, 8, 9]))  # retained, sent again: of no interest here
    raw = publish(protocol, topic.encode(), payload, mid, flags=flags)
    return Sent(raw, Message(7, mid, topic, payload))


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[Sent]]:
    protocol = draw(protocols)
    granted = draw(st.lists(st.sampled_from([0, 1, 0x80, 0x87]), min_size=1, max_size=6))
    none = b"\x00" if protocol == 5 else b""
    others = [
        Sent(b"\xd0\x00", Pingresp()),
        Sent(packet(0x90, b"\x00\x01" + none + bytes(granted)), Suback(tuple(granted))),
        Sent(b"\x40\x02\x01\x02", Puback(0x102)),
    ]
    if protocol == 5:
        others += [Sent(b"\x40\x03\x01\x02\x10", Puback(0x102, 0x10))]
        others += [Sent(packet(0x40, b"\x01\x02\x87\x00"), Puback(0x102, 0x87))]
        others += [Sent(b"\xe0\x00", Goodbye(0)), Sent(b"\xe0\x02\x8b\x00", Goodbye(0x8B))]
    body = draw(st.lists(published(protocol) | st.sampled_from(others), max_size=12))
    return protocol, [Sent(WELCOME[protocol], Connack(0)), *body]


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


def read(protocol: int, chunks: list[bytes]) -> list[Packet]:
    reader = Reader(protocol, 7, publishes=True)
    return [got for chunk in chunks for got in reader.feed(chunk)]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=20))
def test_however_a_stream_is_cut_the_same_packets_come_out(
    stream: tuple[int, list[Sent]], cuts: list[int]
) -> None:
    protocol, sent = stream
    whole = b"".join(one.raw for one in sent)
    assert read(protocol, pieces(whole, cuts)) == [one.read for one in sent]


def test_byte_by_byte_is_a_cut_too() -> None:
    whole = WELCOME[4] + publish(4, b"t/1", b"x" * 20_000, 3) + b"\xd0\x00"
    assert read(4, [bytes([byte]) for byte in whole]) == [
        Connack(0),
        Message(7, 3, "t/1", b"x" * 20_000),
        Pingresp(),
    ]


@given(protocols, st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.booleans())
@example(4, [b"\x20\xff\xff\xff\xff\x01"], False)
@example(5, [b"\x20\x05\x00\x00\x02\x13\x00"], False)
@example(5, [b"\x20\x03\x00\x00\x09"], False)
@example(4, [b"\x32\x03\x00\x01t"], True)
def test_garbage_is_packets_or_a_protocol_error_and_nothing_else(
    protocol: int, garbage: list[bytes], greeted: bool
) -> None:
    reader = Reader(protocol, publishes=True)
    if greeted:
        reader.feed(WELCOME[protocol])
    try:
        for chunk in garbage:
            assert all(isinstance(got, Packet) for got in reader.feed(chunk))
            assert len(reader._rest) <= LONGEST + 5
    except ProtocolError as error:
        assert isinstance(error, Unavailable)  # noqa: PT017 - so that it is tried again


@given(streams(), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_damage_never_changes_what_came_before_it(
    stream: tuple[int, list[Sent]], place: int, damage: bytes
) -> None:
    protocol, sent = stream
    whole = b"".join(one.raw for one in sent)
    at = place % (len(whole) + 1)
    complete, length = 0, 0
    while complete < len(sent) and length + len(sent[complete].raw) <= at:
        length += len(sent[complete].raw)
        complete += 1
    reader = Reader(protocol, 7, publishes=True)
    got = reader.feed(whole[:at])
    assert got == [one.read for one in sent[:complete]]
    try:
        got += reader.feed(damage + whole[at + len(damage) :])
    except ProtocolError:
        return
    assert got[:complete] == [one.read for one in sent[:complete]]


BROKEN: dict[str, tuple[int, bytes]] = {
    "a message before the welcome": (4, publish(4, b"t", b"x", 1)),
    "a second welcome": (4, WELCOME[4] * 2),
    "a packet of ours": (4, WELCOME[4] + b"\x10\x00"),
    "a packet of type 0": (4, WELCOME[4] + b"\x00\x00"),
    "a goodbye that 3.1.1 does not have": (4, WELCOME[4] + b"\xe0\x00"),
    "an acknowledgement of what we never published": (4, WELCOME[4] + b"\x40\x02\x00\x01"),
    "a length without end": (4, WELCOME[4] + b"\x30\xff\xff\xff\xff\xff"),
    "QoS 2, which nobody subscribed to": (4, WELCOME[4] + packet(0x34, b"\x00\x01t\x00\x01x")),
    "QoS 3": (4, WELCOME[4] + packet(0x36, b"\x00\x01t\x00\x01x")),
    "a packet id of 0": (4, WELCOME[4] + packet(0x32, b"\x00\x01t\x00\x00x")),
    "no packet id": (4, WELCOME[4] + packet(0x32, b"\x00\x01t")),
    "no topic": (4, WELCOME[4] + packet(0x30, b"\x00\x00x")),
    "a topic longer than its packet": (4, WELCOME[4] + packet(0x30, b"\x00\x09t")),
    "an empty message packet": (4, WELCOME[4] + packet(0x30, b"")),
    "properties longer than their packet": (5, WELCOME[5] + packet(0x30, b"\x00\x01t\x7f")),
    "a SUBACK of one byte's properties": (5, WELCOME[5] + packet(0x90, b"\x00\x01")),
    "a welcome of one byte": (4, packet(0x20, b"\x00")),
    "a welcome with an unknown property": (5, packet(0x20, b"\x00\x00\x02\x7f\x00")),
    "a welcome whose property is cut off": (5, packet(0x20, b"\x00\x00\x03\x1f\x00\x05")),
    "a SUBACK of a megabyte": (4, WELCOME[4] + packet(0x90, b"\x00" * (LONGEST + 1))),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_agreement_is_an_error_that_says_so(what: str) -> None:
    protocol, stream = BROKEN[what]
    with pytest.raises(ProtocolError, match="breaks the protocol"):
        Reader(protocol).feed(stream)


def test_a_topic_that_is_no_text_ends_nothing_since_a_publisher_could_have_made_it() -> None:
    (_, message) = read(4, [WELCOME[4] + publish(4, b"vigil/\xff\xfe/x", b"p", 9)])
    assert message == Message(7, 9, "vigil/\ufffd\ufffd/x", b"p")


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("chunk", [1000, 65_536, 10_000_000])
def test_of_an_endless_message_the_beginning_is_kept_and_the_next_one_is_read(
    protocol: int, chunk: int
) -> None:
    huge = publish(protocol, b"t", b"x" * (3 * LONGEST), 1)
    stream = WELCOME[protocol] + huge + publish(protocol, b"t", b"next", 2)
    reader = Reader(protocol, 7)
    got: list[Any] = []
    for start in range(0, len(stream), chunk):
        got += reader.feed(stream[start : start + chunk])
        assert len(reader._rest) <= LONGEST + 5
    _, first, second = got
    assert len(first.payload) + first.dropped == 3 * LONGEST
    assert len(first.payload) <= LONGEST
    assert (first.mid, second) == (1, Message(7, 2, "t", b"next"))


def test_the_broker_may_want_more_signs_of_life_than_we_offered() -> None:
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    properties.ServerKeepAlive = 4
    properties.ReceiveMaximum = 20
    properties.ReasonString = "since"
    properties.UserProperty = [("a", "b"), ("c", "d")]
    properties.AssignedClientIdentifier = "x"
    properties.RetainAvailable = 1
    properties.MaximumPacketSize = 100_000
    welcome = packet(0x20, b"\x01\x00" + properties.pack())  # type: ignore[no-untyped-call]
    assert Reader(5).feed(welcome) == [Connack(0, 4, 20)]


def test_a_broker_without_mqtt_5_refuses_in_3_1_1() -> None:
    (refusal,) = Reader(5).feed(b"\x20\x02\x00\x01")
    assert refusal == Connack(0x84)
    assert wire.explained(0x84) == "unsupported protocol version (0x84)"
    assert wire.explained(0x87) == "not authorized (0x87)"
    assert wire.explained(0xA3) == "reason (0xa3)"


class Listener:
    """A port that takes what a client sends first, and answers."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(10)
        self.port = self._server.getsockname()[1]

    def first_packets(self, answer: bytes, size: int) -> bytes:
        connection, _ = self._server.accept()
        with connection:
            hello = connection.recv(65536)
            connection.sendall(answer)
            more = b""
            while len(more) < size:
                more += connection.recv(65536)
        self._server.close()
        return hello + more


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("credentials", [(None, None), ("box", None), ("box", "secret")])
def test_our_connect_subscribe_and_unsubscribe_are_the_bytes_that_paho_sends(
    protocol: int, credentials: tuple[str | None, str | None]
) -> None:
    username, password = credentials
    ours = wire.connect(
        protocol, "one", keepalive=10, username=username, password=password, session_s=30, window=1000
    )
    wishes = wire.subscribe(protocol, 1, ["$share/ingest/a/+", "b/é"])
    wishes += wire.unsubscribe(protocol, 2, ["$share/ingest/a/+", "b/é"])
    listener = Listener()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, "one", clean_session=None if protocol == 5 else False,
        protocol=MQTTProtocolVersion(protocol), reconnect_on_failure=False,
    )  # fmt: skip
    if username is not None:
        client.username_pw_set(username, password)
    lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    lasting.SessionExpiryInterval, lasting.ReceiveMaximum = 30, 1000

    def subscribe(*_told: object) -> None:
        client.subscribe([("$share/ingest/a/+", 1), ("b/é", 1)])
        client.unsubscribe(["$share/ingest/a/+", "b/é"])

    client.on_connect = subscribe
    extra: dict[str, Any] = {"clean_start": False, "properties": lasting} if protocol == 5 else {}
    client.connect_async("127.0.0.1", listener.port, 10, **extra)
    client.loop_start()
    try:
        theirs = listener.first_packets(WELCOME[protocol], len(wishes))
    finally:
        client.loop_stop()
    assert ours + wishes == theirs


@given(st.lists(st.integers(1, 65535), max_size=50))
def test_acknowledgements_are_four_bytes_each_and_in_order(mids: list[int]) -> None:
    raw = wire.pubacks(mids)
    assert [struct.unpack("!HH", raw[i : i + 4]) for i in range(0, len(raw), 4)] == [
        (0x4002, m) for m in mids
    ]


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("retain", [False, True])
def test_our_clean_connect_and_publish_are_the_bytes_that_paho_sends(protocol: int, retain: bool) -> None:
    payload = b"x" * 300
    ours = wire.connect(protocol, "one", keepalive=10, session_s=0, window=500, clean=True)
    told = wire.publish(protocol, "a/é", payload, 1, retain=retain)
    listener = Listener()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, "one", clean_session=None if protocol == 5 else True,
        protocol=MQTTProtocolVersion(protocol), reconnect_on_failure=False,
    )  # fmt: skip
    passing = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    passing.SessionExpiryInterval, passing.ReceiveMaximum = 0, 500

    def publish_it(*_told: object) -> None:
        client.publish("a/é", payload, qos=1, retain=retain)

    client.on_connect = publish_it
    extra: dict[str, Any] = {"clean_start": True, "properties": passing} if protocol == 5 else {}
    client.connect_async("127.0.0.1", listener.port, 10, **extra)
    client.loop_start()
    try:
        theirs = listener.first_packets(WELCOME[protocol], len(told))
    finally:
        client.loop_stop()
    assert ours + told == theirs
