"""Events, records and a small registry, as tests of the core need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import ConsumerRecord

from vigil import events
from vigil.events import FallSuspected, Sos
from vigil.modes import DETECTORS, Modes, Word
from vigil.registry import Assignment, Consent, Device, Node, Registry, Resident
from vigil.topics import ALARM, DEAD, Address, Kind, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.events import Data, Envelope

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
ALERTING = Modes(Word(name, "any", None, None, alerts=True, at=NOW) for name in DETECTORS)
"""Every detector may alert, in whichever version is there."""
EVERYTHING_ALERTS = """
    INSERT INTO detector_mode (detector, version, mode, actor, reason, at)
    SELECT unnest(ARRAY['falls-waist', 'falls-chest', 'falls-wrist', 'falls-pose', 'routines']),
           'any', 'alert', 'person:tests', 'the models of tests alert, whatever their version', '2020-01-01'
    ON CONFLICT DO NOTHING
"""
"""What a database needs, for a version that is there to stand in for the one that may alert."""
EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
BOOT = "1-0000abcd"
ADDRESS = Address("c1", "e1", "n1")
PENDANT = "pendant"
TOPIC_OF = {Lane.ALARM: ALARM, Lane.EVENT: "vigil.event.v1"}
TOPIC_OF |= {Lane.TELEMETRY: "vigil.telemetry.v1", Lane.HEALTH: "vigil.health.v1"}


def event(data: Data | None = None, seq: int = 1, **changes: Any) -> Envelope:
    """Make an event of the pendant; a call for help unless told otherwise."""
    fields: dict[str, Any] = {"time": NOW, "boot": BOOT, "seq": seq, "clock": "synced"}
    address, device = changes.pop("address", ADDRESS), changes.pop("device", PENDANT)
    age = changes.pop("age", None)
    made = events.envelope_of(address, device, data or Sos(by="button"), **(fields | changes))
    return made if age is None else msgspec.structs.replace(made, age=age)


def fall(placement: Any = "waist", episode: str = "e", accel_mg: list[int] | None = None) -> FallSuspected:
    """Make a suspected fall: free fall, an impact of 4 g, then lying still."""
    lying = [0, 0, 1000]
    window = lying * 60 + [0, 0, 100] * 38 + [2500, 2500, 2000] * 4 + [1000, 0, 0] * 98
    return FallSuspected(accel_mg=accel_mg or window, peak_g=4.0, placement=placement, episode=episode)


def mqtt_topic(envelope: Envelope) -> str:
    """Return the MQTT topic that an event is published on."""
    return events.address_of(envelope.source).topic(Kind(envelope.lane.value), envelope.subject)


def encoded(envelope: Envelope, **changes: Any) -> bytes:
    """Return an event's JSON, with some fields replaced by whatever is wanted."""
    fields = msgspec.json.decode(events.encode(envelope)) | changes
    return events.encode({name: value for name, value in fields.items() if value is not ...})


def raw_record(
    value: bytes | None,
    *,
    topic: str = ALARM,
    partition: int = 0,
    offset: int = 0,
    headers: Mapping[str, bytes] | None = None,
    at: datetime = NOW,
) -> ConsumerRecord[Any, Any]:
    """Make a record as it comes out of Kafka."""
    stamp = int(at.timestamp() * 1000)
    items = tuple((headers or {}).items())
    return ConsumerRecord(topic, partition, offset, stamp, 0, b"n1", value, None, 0, 0, items)


def record(envelope: Envelope, **place: Any) -> ConsumerRecord[Any, Any]:
    """Make the record of an event."""
    return raw_record(events.encode(envelope), topic=TOPIC_OF[envelope.lane], **place)


def dead_record(payload: bytes, headers: Mapping[str, bytes], **place: Any) -> ConsumerRecord[Any, Any]:
    """Make the record of a dead letter."""
    return raw_record(payload, topic=DEAD, headers=headers, **place)


@dataclass(slots=True)
class Wearer:
    """A resident and what they consented to."""

    id: str = "r1"
    flagged: bool = True
    purposes: tuple[str, ...] = ("fall_detection", "home_camera", "routine_monitoring")
    refused: tuple[str, ...] = field(default=())
    profile: dict[str, Any] = field(default_factory=dict)

    def resident(self) -> Resident:
        """Return the resident as the registry knows them."""
        words = [Consent(purpose, True, *EVER) for purpose in self.purposes]
        words += [Consent(purpose, False, *EVER) for purpose in self.refused]
        return Resident(self.id, self.flagged, self.profile, tuple(words))


def device(*wearers: Wearer, **changes: Any) -> Device:
    """Make a device of node n1, assigned to residents for ever."""
    fields: dict[str, Any] = {
        "id": PENDANT,
        "node": "n1",
        "zone": "home1",
        "public": False,
        "legal_basis": None,
        "kind": "pendant",
        "placement": "waist",
        "retired": False,
        "assignments": tuple(Assignment(w.resident(), *EVER) for w in wearers),
    }
    return Device(**(fields | changes))


def registry(*devices: Device, **node: Any) -> Registry:
    """Make a registry of node n1 in estate e1 with these devices."""
    fields: dict[str, Any] = {"id": "n1", "community": "c1", "estate": "e1"}
    fields |= {"zone": "home1", "synthetic": None, "retired": False}
    known = devices or (device(Wearer()),)
    return Registry(1, {"n1": Node(**(fields | node))}, {d.id: d for d in known})
