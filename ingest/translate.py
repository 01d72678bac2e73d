"""Turn an MQTT message into a Kafka record: the pure half of `ingest.bridge`.

What is valid goes on as the bytes it came in; what is not becomes a dead letter with the
reason, the untouched bytes, and the sequence number where one could be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
from msgspec import Struct

from vigil import events, topics
from vigil.errors import Rejected
from vigil.topics import KAFKA_OF_KIND, Kind

if TYPE_CHECKING:
    from vigil.events import Claims
    from vigil.registry import Registry
    from vigil.topics import Topic

Headers = tuple[tuple[str, bytes], ...]

_SHAPES: Final[dict[Kind, msgspec.json.Decoder[Any]]] = {
    Kind.STATE: msgspec.json.Decoder(events.NodeState),
    Kind.BIRTH: msgspec.json.Decoder(events.Birth),
    Kind.REPLY: msgspec.json.Decoder(events.Reply),
}


class Record(Struct, frozen=True, gc=False):
    """What is to be produced: to which topic, under which key.

    Attributes:
        reason: Why it is a dead letter; None for what is valid.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    reason: str | None = None


def translate(topic: str, payload: bytes, registry: Registry | None, dropped: int = 0) -> Record:
    """Return the record for a message, whatever it holds.

    Args:
        topic: MQTT topic it came by.
        payload: Its bytes.
        registry: Nodes and devices, or None where it cannot be read: processors, who check
            again, then have the last word.
        dropped: Bytes that the message had beyond its payload's, and nobody kept.
    """
    envelope: Claims | None = None
    try:
        parsed = topics.parse(topic)
        if dropped:
            _refuse_cut(payload, dropped)
        if parsed.kind in _SHAPES:
            return _state(parsed, topic, payload, registry)
        whole = events.read(payload)
        envelope = whole or events.decode(payload)
        events.check_origin(envelope, parsed)
        if registry is not None:
            registry.device(parsed.address, envelope.subject)
        if whole is None:  # which of its parts is wrong
            events.decode_data(events.decode(payload))
        return Record(KAFKA_OF_KIND[parsed.kind], parsed.address.node.encode(), payload)
    except Rejected as rejected:
        return dead_letter(topic, payload, rejected, envelope)


def _refuse_cut(payload: bytes, dropped: int) -> NoReturn:
    raise Rejected("oversize", f"{len(payload) + dropped} bytes, of which {len(payload)} are kept")


def _state(parsed: Topic, topic: str, payload: bytes, registry: Registry | None) -> Record:
    try:
        _SHAPES[parsed.kind].decode(payload)
    except events.UNREADABLE as error:
        raise Rejected("malformed", f"{parsed.kind}: {error}") from None
    if registry is not None:
        registry.node(parsed.address)
    return Record(topics.STATE, parsed.address.node.encode(), payload, (("topic", topic.encode()),))


def dead_letter(topic: str, payload: bytes, why: Rejected, envelope: Claims | None) -> Record:
    """Return the dead letter of a message.

    Args:
        topic: Where it came from.
        payload: Its bytes, untouched.
        why: Reason and detail.
        envelope: Where it could be decoded; accounts for its sequence number if it is the
            topic's own (nobody can account for another node's).
    """
    levels = topic.split("/")
    node = levels[4] if len(levels) > 4 else ""
    headers = [("reason", why.reason), ("detail", why.detail[:1000]), ("origin", topic[:1000])]
    if envelope is not None and envelope.source.endswith(f"/{node}"):
        headers += [
            ("node", node),
            ("boot", envelope.boot),
            ("lane", envelope.lane),
            ("seq", str(envelope.seq)),
        ]
    encoded = tuple((name, value.encode("utf-8", "replace")) for name, value in headers)
    return Record(topics.DEAD, node.encode(), payload, encoded, why.reason)
