"""How late it is, how long ago something was, and how far the clock is to be trusted.

Place in the flow: `edge.__main__` builds one `TimeKeeper` and passes its `now` to
`edge.intake` and `edge.publisher`.  Two clocks are kept apart: the wall clock stamps
events and may jump; the monotonic one measures ages and begins anew with the machine.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.events import Clock

TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""
SYNCED_WITHIN_S: Final = 1.0
"""A kernel that claims to be synchronised but bounds its error by more is not believed."""
DRIFT: Final = 1e-4
"""Seconds a second that a free crystal may be off: 100 ppm, generous for boxes in the cold."""
UNKNOWN_S: Final = 3600.0
"""Bound given for a clock that was never synchronised; 16 s is the kernel's own 'unknown'."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks.

    Attributes:
        utc: Wall clock, aware and in UTC.
        mono: Seconds since the machine started, going on while it sleeps.
        machine: The machine's start; `mono` of different starts cannot be compared.
        clock: How far `utc` is to be trusted.
        clockerr: Bound of its error in seconds.
    """

    utc: datetime
    mono: float
    machine: str
    clock: Clock = "unsynced"
    clockerr: float = 0.0


Now = Callable[[], Instant]


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel says of its clock: synchronised or not, and the error's bound in s."""

    synced: bool
    error_s: float


class TimeKeeper:
    """Tells the time, and remembers when the clock was last known to be right."""

    def __init__(
        self,
        utc: Callable[[], datetime],
        mono: Callable[[], float],
        machine: str,
        kernel: Callable[[], Kernel],
    ) -> None:
        self._utc, self._mono, self._machine, self._kernel = utc, mono, machine, kernel
        self._right_at: tuple[float, float] | None = None

    def now(self) -> Instant:
        """Return the present moment."""
        mono = self._mono()
        clock, error = self._trust(mono, self._kernel())
        return Instant(self._utc(), mono, self._machine, clock, error)

    def _trust(self, mono: float, kernel: Kernel) -> tuple[Clock, float]:
        if kernel.synced and kernel.error_s <= SYNCED_WITHIN_S:
            self._right_at = (mono, kernel.error_s)
            return "synced", kernel.error_s
        if self._right_at is None:
            return "unsynced", UNKNOWN_S
        at, error = self._right_at
        return "holdover", error + DRIFT * (mono - at)


class _Timex(ctypes.Structure):
    """Struct timex of adjtimex(2) up to what is read here, with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_long * 32),
    )


def kernel_clock() -> Kernel:
    """Ask the kernel whether something keeps its clock right; where it cannot say, it is not."""
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return Kernel(synced=False, error_s=UNKNOWN_S)
    return Kernel(synced=0 <= state < TIME_ERROR, error_s=timex.maxerror / 1e6)


def machine_start() -> str:
    """Return the id that the kernel gave to this start of the machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - a kernel's file
            return file.read().strip()
    except OSError:
        # Without one, every start of this process counts as a start of the machine.
        return os.urandom(16).hex()
