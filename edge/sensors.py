"""What a home's sensor says, in the names that Zigbee2MQTT uses, as events: no I/O.

Place in the flow: `edge.sources.brokered` and `edge.sources.http` hand over what they got;
these names (`contact`, `occupancy`, `water_leak`, ...) are what most hubs speak anyway.

A hub repeats everything it knows in each message, so only changes become events.  Of a
sensor's first word, what is in order (no smoke, nobody there) is not news either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from vigil.events import Data, DeviceHealth, Hazard, Readings, SensorChanged, Sos

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.config import Device

HAZARDS: Final[dict[str, Literal["smoke", "gas", "water"]]] = {
    "smoke": "smoke",
    "gas": "gas",
    "carbon_monoxide": "gas",
    "water_leak": "water",
}
PRESSED: Final = frozenset({"", "release", "none"})
"""Actions of a button that are no call for help."""
DRAWS_W: Final = 5.0
"""Watts from which an appliance behind a metering plug is in use; standby takes less."""
QUANTITIES: Final = {
    "temperature": "temperature_c",
    "humidity": "humidity_pct",
    "illuminance": "illuminance_lx",
}
LOW_BATTERY_PCT: Final = 10.0

_OCCUPIED: Final = ("occupancy", "presence", "motion")
_STATES: Final[dict[str, tuple[str, ...]]] = {
    "motion": _OCCUPIED,
    "presence": _OCCUPIED,
    "door": ("contact",),
    "bed": (*_OCCUPIED, "pressure", "contact"),
    "chair": (*_OCCUPIED, "pressure", "contact"),
    "appliance": ("power", "state"),
    "water_use": ("water_flow", "flow", "state"),
}
"""The names that tell a sensor's state, by the kind of device; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a device has said so far.

    Attributes:
        state: Of a binary sensor.
        hazards: Which are active.
        health: Battery in percent and troubles, as last reported.
    """

    state: bool | None = None
    hazards: frozenset[str] = field(default_factory=frozenset)
    health: tuple[float | None, tuple[str, ...]] | None = None


def observed(device: Device, facts: Mapping[str, object], known: Known) -> tuple[Known, list[Data]]:
    """Make events of what a device says.

    Args:
        device: Which one; its kind says how to read the facts.
        facts: By Zigbee2MQTT's names; what is not known here is passed over.
        known: What it has said before.

    Returns:
        What is known now, and the events, calls for help first.
    """
    state, changed = _state(device, facts, known.state)
    hazards, warned = _hazards(device, facts, known.hazards)
    health, told = _health(device, facts, known.health)
    events = [*_calls(device, facts), *warned, *changed, *_readings(device, facts), *told]
    return Known(state, hazards, health), events


def _calls(device: Device, facts: Mapping[str, object]) -> list[Data]:
    pressed = str(facts.get("action") or "") not in PRESSED or facts.get("sos") is True
    return [Sos(by="button", zone=device.zone)] if device.kind == "sos_button" and pressed else []


def _hazards(
    device: Device, facts: Mapping[str, object], active: frozenset[str]
) -> tuple[frozenset[str], list[Data]]:
    events: list[Data] = []
    for name, hazard in HAZARDS.items():
        if (on := facts.get(name)) in (True, False) and bool(on) != (name in active):
            active = active ^ {name}
            events.append(Hazard(hazard=hazard, active=bool(on), zone=device.zone))
    return active, events


def _state(
    device: Device, facts: Mapping[str, object], before: bool | None
) -> tuple[bool | None, list[Data]]:
    name = next((name for name in _STATES.get(device.kind, ()) if name in facts), None)
    state = None if name is None else _on(device, name, facts[name])
    if state is None or state == before:
        return before, []
    if before is None and not state:
        return state, []
    return state, [SensorChanged(sensor=device.kind, state=state, zone=device.zone)]  # type: ignore[arg-type]  # the kinds of _STATES are sensors


def _on(device: Device, name: str, value: object) -> bool | None:
    if isinstance(value, str):
        return {"ON": True, "OFF": False, "TRUE": True, "FALSE": False}.get(value.upper())
    if isinstance(value, bool):
        # Zigbee2MQTT: contact is true while a door is closed, and while a mat is pressed.
        return not value if name == "contact" and device.kind == "door" else value
    if isinstance(value, int | float):
        return value >= DRAWS_W if name == "power" else value > 0
    return None


def _readings(device: Device, facts: Mapping[str, object]) -> list[Data]:
    return [
        Readings(quantity=quantity, interval_s=1.0, values=[float(value)], zone=device.zone)
        for name, quantity in QUANTITIES.items()
        if isinstance(value := facts.get(name), int | float) and not isinstance(value, bool)
    ]


def _health(
    device: Device,
    facts: Mapping[str, object],
    before: tuple[float | None, tuple[str, ...]] | None,
) -> tuple[tuple[float | None, tuple[str, ...]] | None, list[Data]]:
    if not facts.keys() & {"battery", "battery_low", "tamper", "availability"}:
        return before, []
    battery = _percent(facts.get("battery"), before[0] if before else None)
    low = facts.get("battery_low") is True or (battery is not None and battery <= LOW_BATTERY_PCT)
    found = {"battery low": low, "tampered": facts.get("tamper") is True}
    found["unreachable"] = facts.get("availability") == "offline"
    now = (battery, tuple(name for name, there in found.items() if there))
    if now == before:
        return before, []
    return now, [DeviceHealth(battery_pct=battery, trouble=list(now[1]), zone=device.zone)]


def _percent(value: object, before: float | None) -> float | None:
    # Some devices send numbers as text: "100.00".
    try:
        return float(value) if isinstance(value, int | float | str) else before
    except ValueError:
        return before
