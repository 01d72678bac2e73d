"""MQTT's packets as a member of ingest needs them: bytes in, packets out, and no I/O.

Place in the flow: `ingest.link` feeds what a socket gave and writes what is encoded here.
3.1.1 and 5, QoS 0 and 1; anything else that a broker sends breaks the agreement and raises
`ProtocolError`.  Nothing that a *publisher* can put into a message does: it would come again at
every connection.  Written for many messages a second; why no client library: decision 0003.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from vigil.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST: Final = 256 * 1024
"""Bytes of a packet that are kept.  An event has a quarter of it; of what is longer (a dead letter
in any case, and Kafka takes no records of 1 MB) the rest is read and dropped."""
PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
REFUSED: Final = 0x80
"""Reasons from here on are refusals."""


class Type(IntEnum):
    """The upper half of a packet's first byte."""

    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBACK = 9
    UNSUBACK = 11
    PINGRESP = 13
    DISCONNECT = 14


class Message(Struct, frozen=True, gc=False):
    """A PUBLISH.

    Attributes:
        session: Number of the connection it came by; an acknowledgement on a later one
            would be taken for another message's.
        mid: Its packet id, for the acknowledgement; 0 at QoS 0, which wants none.
        dropped: Bytes of its payload that were not kept.
    """

    session: int
    mid: int
    topic: str
    payload: bytes
    dropped: int = 0


class Connack(Struct, frozen=True):
    """The broker's answer to CONNECT.

    Attributes:
        reason: 0 is welcome.
        keepalive: What the broker wants instead of what it was told, in seconds (MQTT 5).
        window: Most messages of ours that may wait for its acknowledgement (MQTT 5).
    """

    reason: int
    keepalive: int | None = None
    window: int | None = None


class Puback(Struct, frozen=True, gc=False):
    """The broker has a message of ours; from 0x80 on, the reason why it will not deliver it."""

    mid: int
    reason: int = 0


class Suback(Struct, frozen=True):
    """The broker's answer to SUBSCRIBE: for each, the QoS granted, or a reason from 0x80."""

    granted: tuple[int, ...]


class Unsuback(Struct, frozen=True):
    """The broker's answer to UNSUBSCRIBE: it gives us nothing more of these."""


class Pingresp(Struct, frozen=True):
    """The broker lives."""


class Goodbye(Struct, frozen=True):
    """The broker ends the connection (MQTT 5)."""

    reason: int


Packet: TypeAlias = Message | Puback | Connack | Suback | Unsuback | Pingresp | Goodbye

_REASONS: Final = {
    0x00: "QoS 0",
    0x01: "QoS 1",
    0x80: "unspecified error",
    0x82: "protocol error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8B: "server shutting down",
    0x8D: "keep alive timeout",
    0x8E: "session taken over by a connection of the same client id",
    0x8F: "topic filter invalid",
    0x93: "receive maximum exceeded",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x9E: "shared subscriptions not supported",
}
_REASONS_3: Final = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""MQTT 3.1.1 counts the refusals of a CONNECT from 1."""


def explained(reason: int) -> str:
    """Return a reason code in words."""
    return f"{_REASONS.get(reason, 'reason')} (0x{reason:02x})"


def connect(
    protocol: int,
    client_id: str,
    *,
    keepalive: int,
    username: str | None = None,
    password: str | None = None,
    session_s: int,
    window: int,
    clean: bool = False,
) -> bytes:
    """Return a CONNECT that goes on with the client's session, or begins a new one.

    Args:
        protocol: 4 is MQTT 3.1.1, 5 is 5.
        client_id: Names the session at the broker.
        keepalive: Longest silence from us, in seconds.
        username: None where the broker asks for none.
        password: Likewise; MQTT 3.1.1 has none without a name.
        session_s: How long the broker keeps the session of a client that is away (MQTT 5).
        window: Most messages that wait for our acknowledgement (MQTT 5).
        clean: Whether the session before this is forgotten.
    """
    credentials = [(0x80, username)] if username is not None else []
    credentials += [(0x40, password)] if password is not None else []
    flags = sum(flag for flag, _ in credentials) | (0x02 if clean else 0)
    body = _string("MQTT") + struct.pack("!BBH", protocol, flags, keepalive)
    if protocol == 5:
        properties = struct.pack("!BIBH", 0x11, session_s, 0x21, window)
        body += _varint(len(properties)) + properties
    body += _string(client_id) + b"".join(_string(text) for _, text in credentials)
    return b"\x10" + _varint(len(body)) + body


def subscribe(protocol: int, mid: int, topics: Sequence[str]) -> bytes:
    """Return a SUBSCRIBE to all topics at QoS 1."""
    body = struct.pack("!H", mid) + (b"\x00" if protocol == 5 else b"")
    body += b"".join(_string(topic) + b"\x01" for topic in topics)
    return b"\x82" + _varint(len(body)) + body


def unsubscribe(protocol: int, mid: int, topics: Sequence[str]) -> bytes:
    """Return an UNSUBSCRIBE from all topics."""
    body = struct.pack("!H", mid) + (b"\x00" if protocol == 5 else b"")
    body += b"".join(map(_string, topics))
    return b"\xa2" + _varint(len(body)) + body


def publish(protocol: int, topic: str, payload: bytes, mid: int, *, retain: bool = False) -> bytes:
    """Return a PUBLISH at QoS 1 with a packet id from 1."""
    body = _string(topic) + mid.to_bytes(2, "big") + (b"\x00" if protocol == 5 else b"") + payload
    return (b"\x33" if retain else b"\x32") + _varint(len(body)) + body


def pubacks(mids: Iterable[int]) -> bytes:
    """Return a PUBACK for each packet id; both versions' form for "taken"."""
    return b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes((*encoded, number))


class Reader:
    """Takes a broker's bytes apart, however they are cut.

    After a `ProtocolError` it is of no more use: the connection must end.
    """

    def __init__(self, protocol: int, session: int = 0, *, publishes: bool = False) -> None:
        """Name the protocol (4 or 5), the connection's number for its messages, and whether we send any."""
        self._five = protocol == 5
        self._publishes = publishes
        self._session = session
        self._greeted = False
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that are complete with these bytes.

        Raises:
            ProtocolError: The broker broke the protocol.  Packets of the same bytes are lost
                with it, which is as well: what is not acknowledged comes again.
        """
        packets: list[Packet] = []
        buffer = self._rest + data
        at = self._skipped(buffer, 0)
        while (header := _header(buffer, at)) is not None:
            head, start, length = header
            end = start + min(length, LONGEST)
            if end > len(buffer):
                break
            packets.append(self._packet(head, buffer[start:end], start + length - end))
            at = end
            if length > LONGEST:
                self._skip = start + length - end
                at = self._skipped(buffer, at)
        self._rest = buffer[at:]
        return packets

    def _skipped(self, buffer: bytes, at: int) -> int:
        """Return where reading goes on after what is to be dropped."""
        skipped = min(self._skip, len(buffer) - at)
        self._skip -= skipped
        return at + skipped

    def _packet(self, head: int, body: bytes, dropped: int) -> Packet:
        try:
            if head >> 4 == Type.PUBLISH and self._greeted:
                return self._publish(head, body, dropped)
            if dropped:
                raise ProtocolError(f"a packet of type {head >> 4} has {len(body) + dropped} bytes")
            return self._control(head, body)
        except (IndexError, struct.error):
            raise ProtocolError(f"a packet of type {head >> 4} ends too early") from None

    def _publish(self, head: int, body: bytes, dropped: int) -> Message:
        at = 2 + (body[0] << 8 | body[1])
        topic = body[2:at].decode("utf-8", "replace")  # a bad one is a dead letter, not an end
        mid = 0
        if quality := head >> 1 & 3:
            mid = body[at] << 8 | body[at + 1]
            at += 2
        if self._five:
            at = _after_properties(body, at)
        if at > len(body) or not topic or quality > 1 or (quality and not mid):
            raise ProtocolError(f"PUBLISH without topic or id, too short, or of QoS {quality}")
        return Message(self._session, mid, topic, body[at:], dropped)

    def _control(self, head: int, body: bytes) -> Packet:
        match (self._greeted, head):
            case (False, 0x20):
                self._greeted = True
                numbers = _properties(body[2:]) if body[2:] else {}  # none where MQTT 5 is refused in 3.1.1
                reason = _REASONS_3.get(body[1], body[1])
                return Connack(reason, numbers.get(_SERVER_KEEP_ALIVE), numbers.get(_RECEIVE_MAXIMUM))
            case (True, 0x40) if self._publishes:
                return Puback(body[0] << 8 | body[1], body[2] if self._five and len(body) > 2 else 0)
            case (True, 0x90):
                return Suback(tuple(body[_after_properties(body, 2) if self._five else 2 :]))
            case (True, 0xB0):
                return Unsuback()
            case (True, 0xD0):
                return Pingresp()
            case (True, 0xE0) if self._five:
                return Goodbye(body[0] if body else 0)
            case _:
                raise ProtocolError(f"packet 0x{head:02x} does not belong here")


def _header(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """Return a packet's first byte, where its body begins and its length; None if more must come."""
    if len(buffer) - at < 2:
        return None
    if buffer[at + 1] < 128:
        return buffer[at], at + 2, buffer[at + 1]
    try:
        length, start = _number(buffer, at + 1)
    except IndexError:
        return None
    return buffer[at], start, length


def _after_properties(body: bytes, at: int) -> int:
    """Return where a packet goes on after its properties, of which there mostly are none."""
    if not body[at]:
        return at + 1
    length, at = _number(body, at)
    return at + length


def _number(buffer: bytes, at: int) -> tuple[int, int]:
    """Return a variable byte integer and where it ends.

    Raises:
        IndexError: It goes on beyond the buffer.
    """
    number = 0
    for shift in (0, 7, 14, 21):
        byte = buffer[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
    raise ProtocolError("a length of more than four bytes")


_SERVER_KEEP_ALIVE: Final = 0x13
_RECEIVE_MAXIMUM: Final = 0x21
_FIXED: Final = {
    **dict.fromkeys((0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22), 2),
    **dict.fromkeys((0x11, 0x27), 4),
}
"""Bytes of a CONNACK's properties that are numbers (MQTT 5, 3.2.2.3); the others are texts."""
_TEXTS: Final = {0x12: 1, 0x15: 1, 0x16: 1, 0x1A: 1, 0x1C: 1, 0x1F: 1, 0x26: 2}


def _properties(body: bytes) -> dict[int, int]:
    """Return a CONNACK's properties that are numbers."""
    length, at = _number(body, 0)
    if at + length != len(body):
        raise ProtocolError("CONNACK's properties are not as long as it says")
    numbers: dict[int, int] = {}
    while at < len(body):
        name, at = body[at], at + 1
        if size := _FIXED.get(name):
            numbers[name] = int.from_bytes(body[at : at + size], "big")
            at += size
        elif texts := _TEXTS.get(name):
            for _ in range(texts):
                at += 2 + (body[at] << 8 | body[at + 1])
        else:
            raise ProtocolError(f"CONNACK has a property 0x{name:02x}")
    if at != len(body):
        raise ProtocolError("CONNACK's last property is cut off")
    return numbers
