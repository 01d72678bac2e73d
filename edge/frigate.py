"""What Frigate says of its cameras, as presence and motion: no I/O.

Place in the flow: `edge.sources.brokered` hands over messages of `frigate/events`,
`frigate/reviews` and `frigate/available`.  A device of kind `presence` follows the people
that Frigate tracks; one of kind `motion` follows its review items.  A device's address is
the camera, or `camera/zone`.  Snapshots, names and plates are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from vigil.errors import Rejected
from vigil.events import Data, DeviceHealth, SensorChanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.config import Device

PERSON: Final = "person"


class _Tracked(Struct):
    """The part of a tracked object that is looked at."""

    id: str
    camera: str
    label: str
    false_positive: bool = False
    current_zones: list[str] = []


class _Event(Struct):
    type: Literal["new", "update", "end"]
    after: _Tracked


class _ReviewData(Struct):
    zones: list[str] = []


class _Reviewed(Struct):
    """The part of a review item that is looked at."""

    id: str
    camera: str
    data: _ReviewData = msgspec.field(default_factory=_ReviewData)


class _Review(Struct):
    type: Literal["new", "update", "end"]
    after: _Reviewed


_events = msgspec.json.Decoder(_Event)
_reviews = msgspec.json.Decoder(_Review)


@dataclass(frozen=True, slots=True)
class Seen:
    """Which of Frigate's objects are in a device's view now."""

    ids: dict[str, frozenset[str]] = field(default_factory=dict)


def topics(prefix: str) -> list[str]:
    """Return what is to be subscribed."""
    return [f"{prefix}/{name}" for name in ("events", "reviews", "available")]


def observed(
    devices: Iterable[Device], name: str, payload: bytes, seen: Seen
) -> tuple[Seen, list[tuple[Device, Data]]]:
    """Make events of a message.

    Args:
        devices: Those that Frigate observes.
        name: The topic below Frigate's prefix.
        payload: As it came.
        seen: What was in view before.

    Raises:
        Rejected: `malformed`; it is not what Frigate documents.
    """
    if name == "available":
        return seen, _available(devices, online=payload == b"online")
    try:
        if name == "events":
            event = _events.decode(payload)
            counts = event.after.label == PERSON and not event.after.false_positive
            zones = event.after.current_zones
            return _followed(
                devices,
                "presence",
                event.after.id,
                event.after.camera,
                zones,
                seen,
                here=counts and event.type != "end",
            )
        review = _reviews.decode(payload)
    except msgspec.DecodeError as error:
        raise Rejected("malformed", f"{name} of Frigate: {error}") from None
    item = review.after
    return _followed(
        devices, "motion", item.id, item.camera, item.data.zones, seen, here=review.type != "end"
    )


def _followed(
    devices: Iterable[Device],
    kind: Literal["presence", "motion"],
    id_: str,
    camera: str,
    zones: list[str],
    seen: Seen,
    *,
    here: bool,
) -> tuple[Seen, list[tuple[Device, Data]]]:
    ids, found = dict(seen.ids), []
    places = {camera, *(f"{camera}/{zone}" for zone in zones)} if here else set()
    for device in (device for device in devices if device.kind == kind):
        before = ids.get(device.id, frozenset())
        now = before | {id_} if (device.address or device.id) in places else before - {id_}
        ids[device.id] = now
        if bool(now) != bool(before):
            found.append((device, SensorChanged(sensor=kind, state=bool(now), zone=device.zone)))
    return Seen(ids), [*found]


def _available(devices: Iterable[Device], *, online: bool) -> list[tuple[Device, Data]]:
    trouble = [] if online else ["Frigate is offline"]
    return [(device, DeviceHealth(trouble=trouble, zone=device.zone)) for device in devices]
