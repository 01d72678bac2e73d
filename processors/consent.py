"""Whether an event may be looked at: asked before anything is stored or scored.

A known "no" withholds: the event is counted and its content dropped.  No resident known (a
public place, a sensor of nobody) is not a "no"; there the place's legal basis decides.
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
"""Not a resident's consent but the place's recorded legal basis."""

PURPOSE_OF: Final[dict[type[Any], str]] = {
    FallSuspected: FALLS,
    Stillness: FALLS,
    PoseSuspected: CAMERA,
    SensorChanged: ROUTINE,
    Readings: ROUTINE,
}
"""What each kind of event is looked at for.  A call for help, smoke, gas, water, an answer and
a device's own health serve no detection of people and need no consent."""


def withheld_for(device: Device, data: object, now: datetime) -> str | None:
    """Return the purpose for which an event must be withheld, or None if it may be looked at.

    Args:
        device: Whose event it is.
        data: The event's data.
        now: Time at which consent has to be in force.
    """
    purpose = PURPOSE_OF.get(type(data))
    if purpose is None:
        return None
    if purpose == CAMERA and device.public:
        return None if device.legal_basis else PUBLIC
    agreed = all(
        resident.flagged and resident.consents_to(purpose, now) for resident in device.residents(now)
    )
    return None if agreed else purpose
