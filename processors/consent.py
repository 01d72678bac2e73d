"""Whether an event may be looked at: asked before anything is stored or scored.

A known "no" withholds: the event is counted and its content dropped.  The rule itself stands in
`vigil.purposes`, since boxes go by it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.purposes import CAMERA, FALLS, PUBLIC, PURPOSE_OF, ROUTINE, withheld_as

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.registry import Device

__all__ = ["CAMERA", "FALLS", "PUBLIC", "ROUTINE", "withheld_for"]


def withheld_for(device: Device, data: object, now: datetime) -> str | None:
    """Return the purpose for which an event must be withheld, or None if it may be looked at.

    Args:
        device: Whose event it is.
        data: The event's data.
        now: Time at which consent has to be in force.
    """
    purpose = PURPOSE_OF.get(type(data))
    return None if purpose is None else withheld_as(device, purpose, now)
