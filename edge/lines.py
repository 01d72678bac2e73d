"""The line protocol of simple wearables, and how their samples become a stream: no I/O.

Place in the flow: `edge.sources.udp` hands datagrams over.  A line is one of

    A name ms x y z     a sample: milliseconds of the sender's own clock, and milli-g
    S name              the button was pressed
    B name percent      the battery's charge

Samples are put on a grid of 20 ms by the sender's clock.  A few that are missing are left
as gaps, which the trigger fills with the sample before; what comes twice or out of order is
dropped; a longer silence ends the stream, since nobody knows what happened in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from vigil.errors import Rejected
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP_MS: Final = 1000 // RATE_HZ
LONGEST_GAP: Final = RATE_HZ // 4
"""Missing samples, a quarter of a second, that are bridged; more end the stream."""
LIMIT_MG: Final = 32767


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a device: the sender's milliseconds, and milli-g."""

    name: str
    ms: int
    xyz: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pressed:
    """The button of a device was pressed."""

    name: str


@dataclass(frozen=True, slots=True)
class Battery:
    """The charge of a device's battery in percent."""

    name: str
    percent: float


Line = Sample | Pressed | Battery


@dataclass(frozen=True, slots=True)
class Grid:
    """How far a stream has come: the sender's milliseconds of its first and its last sample."""

    first_ms: int
    last_ms: int


def parse(line: str) -> Line:
    """Take a line apart.

    Raises:
        Rejected: `malformed`.
    """
    match line.split():
        case ["A", name, ms, *xyz] if len(xyz) == 3:
            return Sample(name, _whole(ms, line), tuple(_milli(value, line) for value in xyz))  # type: ignore[arg-type]  # three of them
        case ["S", name]:
            return Pressed(name)
        case ["B", name, percent] if percent.isdecimal() and int(percent) <= 100:
            return Battery(name, float(percent))
    raise Rejected("malformed", f"no line of the protocol: {line[:80]!r}")


def join(grid: Grid | None, sample: Sample) -> tuple[Grid, NDArray[np.float32], bool]:
    """Put a sample on the grid.

    Args:
        grid: How far the stream has come; None before its first sample.
        sample: The next one that arrived.

    Returns:
        The grid to go on with; the samples to feed, in g, gaps as NaN, perhaps none; and
        whether a new stream begins with them.
    """
    if grid is None:
        return Grid(sample.ms, sample.ms), _in_g(sample, 0), True
    missing = round((sample.ms - grid.last_ms) / STEP_MS) - 1
    if missing > LONGEST_GAP or sample.ms < grid.first_ms:
        return Grid(sample.ms, sample.ms), _in_g(sample, 0), True
    if missing < 0:
        return grid, np.empty((0, 3), np.float32), False
    # On the grid, not by the sender's own steps: a jitter of its timer must not add up.
    return Grid(grid.first_ms, grid.last_ms + (missing + 1) * STEP_MS), _in_g(sample, missing), False


def _in_g(sample: Sample, missing: int) -> NDArray[np.float32]:
    samples = np.full((missing + 1, 3), np.nan, np.float32)
    samples[-1] = np.array(sample.xyz, np.float32) / 1000
    return samples


def _whole(text: str, line: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Rejected("malformed", f"{text!r} is no whole number in {line[:80]!r}") from None


def _milli(text: str, line: str) -> int:
    value = _whole(text, line)
    if abs(value) > LIMIT_MG:
        raise Rejected("malformed", f"{value} mg is no acceleration, in {line[:80]!r}")
    return value
