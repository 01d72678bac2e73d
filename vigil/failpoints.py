"""Places at which a fault test may end the process, as `kill -9` would, at that very moment.

`VIGIL_FAILPOINT=name:7` ends it the seventh time the place is passed.  Unset, which is always
outside `make faults`, a place costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_NAME, _, _COUNT = os.environ.get("VIGIL_FAILPOINT", "").partition(":")
_left = int(_COUNT or 1)

PLACES: Final = (
    "edge.before_accept",
    "edge.after_accept",
    "edge.after_publish",
    "edge.before_release",
    "edge.after_release",
    "ingest.before_produce",
    "ingest.after_produce",
    "ingest.after_acknowledge",
    "processors.before_commit",
    "processors.after_commit",
    "processors.after_receipts",
)
"""Before and after each commit and acknowledgement on an event's way."""


def passing(place: str) -> None:
    """End the process here, if a fault test has asked for it."""
    global _left  # noqa: PLW0603 - a countdown for the whole process
    if place != _NAME:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
