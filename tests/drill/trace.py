"""What a watchdog saw over some minutes, recorded by `record` and replayed by the tests."""

from __future__ import annotations

from msgspec import Struct

from fallback.canary import Stage
from vigil.progress import Work

STAGES = tuple(Stage)


class SeenLook(Struct, frozen=True, array_like=True):
    """One look at a process or a server, seconds after the trace began."""

    service: str
    at_s: float
    wrong: str | None
    answers: bool
    progress: dict[str, Work]


class SeenRun(Struct, frozen=True, array_like=True):
    """One canary: its estate's number, when it was made, and the seconds to each stage it passed."""

    estate: int
    made_s: float
    stages: dict[Stage, float]


class Trace(Struct, frozen=True):
    """What was seen while one kind of thing was done to the platform.

    Attributes:
        seconds: How long it lasts.
    """

    kind: str
    seconds: float
    runs: list[SeenRun]
    looks: list[SeenLook]
