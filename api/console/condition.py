"""What a device's health means for who has to act on it: signs in words, the worst first.

Neighbours: `vigil.store.conditions` has what devices said, `api.console.devices` lists it, the words are
`condition.*` of the catalogue.  Pure.  What a device has not measured is never taken for fine.

Weights: 3 it does not watch now, or soon will not; 2 it watches badly, or cannot be relied on; 1 to be
known; 0 nothing is known to be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from vigil.store.conditions import DeviceRow

SILENT_AFTER: Final = timedelta(minutes=5)
"""Boxes and cameras speak of themselves every 10 s: thirty messages in a row are missing."""
TALKS: Final = frozenset({"box", "camera"})
"""What speaks of itself all the time; a sensor on a battery does when something has changed."""
EMPTY_PCT: Final = 10.0
"""As the box calls a battery low (`edge.sensors`)."""
LOW_PCT: Final = 20.0
HOT_C: Final = 80.0
"""From here a Raspberry Pi throttles (its makers' documentation, temp_soft_limit and 80 C)."""
FULL_MB: Final = 200.0
"""As the box calls its disk nearly full (`edge.health`)."""
FILLING_MB: Final = 1000.0
WAITING: Final = 100
"""Rows in the spool: a link that is up empties it within seconds."""
NO_FRAME_S: Final = 10.0
KNOWN: Final[Mapping[str, tuple[str, int]]] = {
    "covered": ("covered", 3),
    "frozen": ("frozen", 3),
    "no_picture": ("no_picture", 3),
    "no_pose_model": ("no_pose_model", 3),
    "turned": ("turned", 3),
    "tampered": ("tampered", 3),
    "out of reach": ("out_of_reach", 3),
    "dark": ("dark", 2),
    "defocused": ("defocused", 2),
    "not worn": ("not_worn", 2),
}
"""Troubles that devices name (`edge.picture`, `edge.camera`, `edge.sensors`, `edge.worn`): words and weight."""
MEASURED: Final = ("battery low", "disk nearly full", "clock ")
"""Beginnings of troubles that the figures beside them say better."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing to know of a device: a key below `condition.`, what is filled in, and how bad it is."""

    key: str
    weight: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """A device and what is to be known of it."""

    device: DeviceRow
    signs: tuple[Sign, ...]

    @property
    def weight(self) -> int:
        """How bad the worst of it is."""
        return max((sign.weight for sign in self.signs), default=0)

    def measured(self, name: str) -> Any:
        """Return a figure that it reported, or None."""
        return (self.device.data or {}).get(name)


def standing(device: DeviceRow, now: datetime) -> Standing:
    """Say what is to be known of a device, the worst first."""
    signs = sorted(_signs(device, now), key=lambda sign: -sign.weight)
    return Standing(device, tuple(signs))


def worst_first(devices: Iterable[DeviceRow], now: datetime) -> list[Standing]:
    """Say it of all, who needs somebody most first."""
    found = [standing(one, now) for one in devices]
    return sorted(
        found, key=lambda one: (-one.weight, -len(one.signs), one.device.estate_name, one.device.id)
    )


def counts(found: Sequence[Standing]) -> dict[str, int]:
    """Count devices by what they need: bad (3), weak (2), the rest."""
    bad, weak = (sum(one.weight == weight for one in found) for weight in (3, 2))
    return {"bad": bad, "weak": weak, "rest": len(found) - bad - weak}


def _signs(device: DeviceRow, now: datetime) -> Iterator[Sign]:
    if device.online is None:
        yield Sign("never", 3)
        return
    if not device.online:
        yield Sign("offline" if device.box else "box_offline", 3, {"since": device.node_seen_at})
    elif device.data is None and device.kind in TALKS:
        yield Sign("says_nothing", 2)
    elif device.kind in TALKS and device.received_at and now - device.received_at > SILENT_AFTER:
        yield Sign("silent", 3, {"since": device.received_at})
    data = device.data or {}
    yield from _troubles(data)
    yield from _figures(data, online=device.online)
    yield from _clock(device)


def _troubles(data: Mapping[str, Any]) -> Iterator[Sign]:
    for trouble in data.get("trouble", ()):
        if trouble in KNOWN:
            yield Sign(*KNOWN[trouble])
        elif trouble == "battery low" and data.get("battery_pct") is None:
            yield Sign("battery_low", 3)
        elif not trouble.startswith(MEASURED):
            yield Sign("other", 2, {"what": trouble})
    if data.get("worn") is False and "not worn" not in data.get("trouble", ()):
        yield Sign("not_worn", 2)


def _figures(data: Mapping[str, Any], *, online: bool) -> Iterator[Sign]:
    battery, free = data.get("battery_pct"), data.get("disk_free_mb")
    if battery is not None and battery <= LOW_PCT:
        yield Sign("battery", 3 if battery <= EMPTY_PCT else 2, {"pct": round(battery)})
    if free is not None and free < FILLING_MB:
        yield Sign("disk", 3 if free < FULL_MB else 2, {"mb": round(free)})
    if (heat := data.get("temperature_c")) is not None and heat >= HOT_C:
        yield Sign("hot", 2, {"degrees": round(heat)})
    if (waiting := data.get("spool_depth") or 0) > WAITING:
        yield Sign("waiting", 2 if online else 1, {"count": waiting})


def _clock(device: DeviceRow) -> Iterator[Sign]:
    """A clock that is not set makes every time of this box a guess."""
    if device.box and device.clock in ("holdover", "unsynced"):
        offset = (device.data or {}).get("clock_offset_s")
        weight = 3 if device.clock == "unsynced" else 2
        yield Sign(f"clock_{device.clock}", weight, {"s": "?" if offset is None else f"{offset:.4g}"})
