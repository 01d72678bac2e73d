"""What each kind of event is looked at for, and what a device may not be used for now: one rule for all.

Neighbours: `processors.consent` withholds by it, `vigil.store.configs` compiles what boxes are told of
it, `edge.gate` drops by that before anything is kept.  Pure.

A known "no" withholds.  No resident known (a public place, a sensor of nobody) is not a "no"; in public
places the place's legal basis decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vigil.events import FallSuspected, PoseSuspected, Readings, SensorChanged, Stillness

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.registry import Device

FALLS: Final = "fall_detection"
CAMERA: Final = "home_camera"
ROUTINE: Final = "routine_monitoring"
PUBLIC: Final = "public_place"
"""Not a resident's consent but the place's recorded legal basis (PIPL 26)."""

PURPOSE_OF: Final[dict[type[Any], str]] = {
    FallSuspected: FALLS,
    Stillness: FALLS,
    PoseSuspected: CAMERA,
    SensorChanged: ROUTINE,
    Readings: ROUTINE,
}
"""What each kind of event is looked at for.  A call for help, smoke, gas, water, an answer and
a device's own health serve no detection of people and need no consent."""
NEED_NONE: Final = frozenset({"hub", "sos_button", "smoke", "gas", "water"})
"""Kinds of devices that observe nobody."""


def withheld_as(device: Device, purpose: str, now: datetime) -> str | None:
    """Return what stands against using a device for a purpose, or None where nothing does.

    Args:
        device: As the register knows it.
        purpose: One of `PURPOSE_OF`.
        now: Time at which consent has to be in force.

    Returns:
        The purpose itself, or `PUBLIC` for a camera in a public place without a legal basis.
    """
    if purpose == CAMERA and device.public:
        return None if device.legal_basis else PUBLIC
    agreed = all(
        resident.flagged and resident.consents_to(purpose, now) for resident in device.residents(now)
    )
    return None if agreed else purpose


def refused(device: Device, now: datetime) -> frozenset[str]:
    """Return the purposes that a box may not use a device for now.

    A camera is switched on by a yes alone, of those who live where it looks, or by a public place's legal
    basis: where it is nobody's, or its place is not known, nobody has said one.
    """
    if device.retired or device.kind in NEED_NONE:
        return frozenset()
    camera = device.kind == "camera"
    asked = (FALLS, CAMERA, ROUTINE) if camera else (FALLS, ROUTINE)
    found = frozenset(purpose for purpose in asked if withheld_as(device, purpose, now))
    nobodys = camera and not device.public and not device.residents(now)
    return found | {CAMERA} if nobodys else found
