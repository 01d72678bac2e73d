"""Names on both buses: MQTT topics (edge <-> platform) and Kafka topics (inside it).

`vigil/v1/{community}/{estate}/{node}/{kind}[/{device}]`; ids are opaque, globally unique,
and never names of people or places.  `ingest.translate` parses, `edge.publisher` builds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from vigil.errors import Rejected

ROOT: Final = "vigil/v1"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Kind(StrEnum):
    """The sixth level of an MQTT topic: what a message is."""

    STATE = "state"
    BIRTH = "birth"
    ALARM = "alarm"
    EVENT = "event"
    TELEMETRY = "telemetry"
    HEALTH = "health"
    RECEIPT = "receipt"
    CONFIG = "config"
    CMD = "cmd"
    REPLY = "reply"


class Lane(StrEnum):
    """A stream with sequence numbers of its own; an alarm never queues behind telemetry."""

    ALARM = "alarm"
    EVENT = "event"
    TELEMETRY = "telemetry"
    HEALTH = "health"


ALARM: Final = "vigil.alarm.v1"
EVENT: Final = "vigil.event.v1"
TELEMETRY: Final = "vigil.telemetry.v1"
HEALTH: Final = "vigil.health.v1"
STATE: Final = "vigil.state.v1"
DEAD: Final = "vigil.dead.v1"
RECEIPT: Final = "vigil.receipt.v1"
KAFKA_TOPICS: Final = (ALARM, EVENT, TELEMETRY, HEALTH, STATE, DEAD, RECEIPT)

KAFKA_OF_KIND: Final = {
    Kind.ALARM: ALARM,
    Kind.EVENT: EVENT,
    Kind.TELEMETRY: TELEMETRY,
    Kind.HEALTH: HEALTH,
    Kind.STATE: STATE,
    Kind.BIRTH: STATE,
    Kind.REPLY: STATE,
}
"""Where ingest puts what a node publishes; the remaining kinds are the platform's own."""

_DEVICE_KINDS: Final = frozenset(
    {Kind.BIRTH, Kind.ALARM, Kind.EVENT, Kind.TELEMETRY, Kind.HEALTH, Kind.CMD},
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an edge node stands: the three levels that every topic of it shares."""

    community: str
    estate: str
    node: str

    @property
    def source(self) -> str:
        """The node as the `source` of a CloudEvent."""
        return f"//vigil/{self.community}/{self.estate}/{self.node}"

    def topic(self, kind: Kind, device: str | None = None) -> str:
        """Return this node's topic of a kind, with a device where the kind has one."""
        levels = [ROOT, self.community, self.estate, self.node, kind]
        return "/".join(levels + ([device] if device else []))


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed MQTT topic."""

    address: Address
    kind: Kind
    device: str | None


@lru_cache(maxsize=65536)
def parse(topic: str) -> Topic:
    """Take an MQTT topic apart.

    Raises:
        Rejected: `wrong_topic`; the levels, an id or the kind are not ours.
    """
    levels = topic.split("/")
    if len(levels) not in (6, 7) or "/".join(levels[:2]) != ROOT:
        raise Rejected("wrong_topic", f"{topic!r} is not {ROOT}/community/estate/node/kind[/device]")
    kind = _kind(levels[5], topic)
    ids = levels[2:5] + levels[6:]
    if not all(_ID.fullmatch(id_) for id_ in ids):
        raise Rejected("wrong_topic", f"{topic!r} holds an id that is empty or not of [A-Za-z0-9_.-]")
    if (len(levels) == 7) != (kind in _DEVICE_KINDS):
        wants = "names" if kind in _DEVICE_KINDS else "does not name"
        raise Rejected("wrong_topic", f"{topic!r}: {kind} {wants} a device")
    return Topic(Address(*levels[2:5]), kind, levels[6] if len(levels) == 7 else None)


def _kind(level: str, topic: str) -> Kind:
    try:
        return Kind(level)
    except ValueError:
        kinds = ", ".join(Kind)
        raise Rejected("wrong_topic", f"{topic!r}: {level!r} is none of {kinds}") from None


def platform_state(community: str) -> str:
    """Return the retained topic that says whether the platform is up and storing."""
    return f"{ROOT}/{community}/platform/state"


def has_device(kind: Kind) -> bool:
    """Return whether the topic of a kind ends with a device."""
    return kind in _DEVICE_KINDS


def every_node(kind: Kind) -> str:
    """Return the subscription for one kind from every node of every community."""
    return f"{ROOT}/+/+/+/{kind}" + ("/+" if kind in _DEVICE_KINDS else "")
