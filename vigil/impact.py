"""Cut the impacts out of an accelerometer's stream, in the same way live and in training.

Place in the flow: `edge.trigger` feeds samples in as they come, and puts what comes out
into the spool as suspected falls; `processors.falls.recordings` replays it on recordings,
so that a model learns from exactly the windows it will be asked about.  Nothing is
decided here: an impact above 1.8 g is handed on with its surroundings, whatever it was.

Rules
-----
1. The first sample above `THRESHOLD_G` opens a search: the peak is the sample that no
   sample of the second after it exceeds.  A stumble less than a second before the fall
   thus never takes the fall's place.
2. The window runs from 2 s before the peak to 2 s after it, and is out as soon as its
   last sample is in: at most 2 s after the impact.
3. After a peak the trigger rests for `REFRACTORY`; what crosses after that is a new
   window.  A stumble, the fall and a second impact are thus three windows, each
   centred on its own peak.
4. For the 20 s after a window the trigger counts the seconds in which the wearer lay
   still, and reports them on their own.

Samples are numbered from 0 at the start of the stream; the caller maps numbers to time.
A gap in the stream ends it: call `finish`, and begin with a new `State`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

RATE_HZ: Final = 50
"""Samples a second; another rate is resampled before it comes here."""
THRESHOLD_G: Final = 1.8
"""Impact, in g.  All but 6 of 2,148 recorded falls pass it (SisFall waist, WEDA wrist)."""
SEARCH: Final = 1 * RATE_HZ
"""Samples after a peak that must not exceed it."""
HALF: Final = 2 * RATE_HZ
"""Samples of a window on either side of the peak."""
REFRACTORY: Final = 1 * RATE_HZ
"""Samples after a peak in which no new search begins."""
STILL_FOR_S: Final = 20
"""Seconds after the window during which stillness is counted."""
STILL_SD_G: Final = 0.05
"""A second is still when the standard deviation of its acceleration is below this, in g."""


@dataclass(frozen=True, slots=True)
class Window:
    """An impact and its surroundings.

    Attributes:
        peak: Number of the sample with the largest magnitude.
        peak_g: That magnitude, in g.
        accel_g: The 200 samples from `HALF` before the peak, shape (200, 3), in g.
            Where the stream begins or ends inside the window, the missing samples are
            the nearest one at rest (its direction, 1 g).
    """

    peak: int
    peak_g: float
    accel_g: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stillness:
    """How long the wearer lay still after a window.

    Attributes:
        peak: The window's peak, as its `Window` named it.
        still_s: Seconds without movement, out of `watched_s`.
        watched_s: Seconds watched: `STILL_FOR_S`, or fewer where the stream ended.
    """

    peak: int
    still_s: int
    watched_s: int


@dataclass(frozen=True, slots=True)
class State:
    """What the trigger remembers between two chunks.

    Attributes:
        samples: The samples still needed, newest last, in g.
        end: Number of the next sample to come.
        armed: Number of the first sample that may open a search.
        followed: Peaks whose stillness is still being counted, oldest first.
    """

    samples: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 3), np.float32),
    )
    end: int = 0
    armed: int = 0
    followed: tuple[int, ...] = ()


def step(state: State, chunk: ArrayLike) -> tuple[State, tuple[Window | Stillness, ...]]:
    """Take the next samples of a stream.

    Args:
        state: What the last step returned, or `State()` at a stream's beginning.
        chunk: Samples in g, shape (n, 3), n >= 0.  A sample that is not finite
            repeats the one before it: a broken reading is not an impact.

    Returns:
        The state to go on with, and what was found: windows first, in order of time.

    Raises:
        ValueError: The chunk is not of shape (n, 3).
    """
    fresh = np.asarray(chunk, np.float32)
    if fresh.ndim != 2 or fresh.shape[1] != 3:
        raise ValueError(f"a chunk has shape (n, 3), not {fresh.shape}")
    if not len(fresh):
        return state, ()
    samples = _joined(state.samples, fresh)
    end = state.end + len(fresh)
    base = end - len(samples)
    crossings = base + np.flatnonzero(_squared(samples) > THRESHOLD_G**2)
    windows = tuple(_windows(samples, base, crossings, state.armed))
    armed = windows[-1].peak + REFRACTORY if windows else state.armed
    followed = state.followed + tuple(window.peak for window in windows)
    done = [peak for peak in followed if peak + HALF + STILL_FOR_S * RATE_HZ <= end]
    waiting = followed[len(done) :]
    keep = _first_needed(crossings[crossings >= armed], waiting, end)
    # A copy: a slice would keep an hour-long chunk alive for its last two seconds.
    rest = State(samples[max(keep - base, 0) :].copy(), end, armed, waiting)
    return rest, (*windows, *(_stillness(samples, base, peak) for peak in done))


def finish(state: State) -> tuple[Window | Stillness, ...]:
    """End a stream: report what was still waiting for samples.

    Args:
        state: What the last step returned.

    Returns:
        The windows that were not complete, filled up with a device at rest, and every
        stillness not yet reported, over the seconds that were really watched.
    """
    if not len(state.samples):
        return ()
    base = state.end - len(state.samples)
    padded = np.concatenate((state.samples, _at_rest(state.samples[-1], SEARCH + HALF)))
    crossings = base + np.flatnonzero(_squared(state.samples) > THRESHOLD_G**2)
    windows = tuple(_windows(padded, base, crossings, state.armed))
    followed = state.followed + tuple(window.peak for window in windows)
    return (*windows, *(_stillness(state.samples, base, peak) for peak in followed))


def _windows(
    samples: NDArray[np.float32],
    base: int,
    crossings: NDArray[np.int64],
    armed: int,
) -> Iterator[Window]:
    """Yield every window that the samples, numbered from `base`, hold in full."""
    squared = _squared(samples)
    while (at := int(np.searchsorted(crossings, armed))) < len(crossings):
        peak = _peak_from(squared, int(crossings[at]) - base)
        if peak + HALF > len(samples):
            return
        cut = samples[peak - HALF : peak + HALF].copy()
        yield Window(base + peak, float(np.sqrt(squared[peak])), cut)
        armed = base + peak + REFRACTORY


def _peak_from(squared: NDArray[np.float32], first: int) -> int:
    """Climb from a crossing to the sample that none of the second after it exceeds."""
    peak, ahead = -1, first
    while peak != ahead:
        peak, ahead = ahead, ahead + int(squared[ahead : ahead + SEARCH + 1].argmax())
    return peak


def _first_needed(open_: NDArray[np.int64], followed: tuple[int, ...], end: int) -> int:
    """Return the number of the first sample that a later step may ask for."""
    search = int(open_[0]) if len(open_) else end
    return min(search, followed[0] + 2 * HALF if followed else search) - HALF


def _stillness(samples: NDArray[np.float32], base: int, peak: int) -> Stillness:
    """Count the still seconds after the window around `peak`."""
    begin = peak + HALF - base
    after = samples[begin : begin + STILL_FOR_S * RATE_HZ]
    whole = len(after) // RATE_HZ
    seconds = after[: whole * RATE_HZ].reshape(whole, RATE_HZ, 3)
    still = seconds.var(axis=1).sum(axis=1) < STILL_SD_G**2
    return Stillness(peak, int(still.sum()), whole)


def _joined(kept: NDArray[np.float32], fresh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append fresh samples to those kept, or to a device at rest at the beginning."""
    if not np.isfinite(fresh).all():
        fresh = _repaired(fresh, kept)
    before = kept if len(kept) else _at_rest(fresh[0], HALF)
    return np.concatenate((before, fresh))


def _repaired(fresh: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace each sample that is not finite by the last finite one before it."""
    last = kept[-1:] if len(kept) else np.zeros((1, 3), np.float32)
    joined = np.concatenate((last, fresh))
    finite = np.isfinite(joined).all(axis=1)
    source = np.maximum.accumulate(np.where(finite, np.arange(len(joined)), 0))
    repaired: NDArray[np.float32] = joined[source[1:]]
    return repaired


def _at_rest(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` samples of a device that hangs still as it did in `sample`."""
    norm = float(np.linalg.norm(sample))
    direction = sample / norm if norm > 0 else np.array((0, 0, 1), np.float32)
    return np.tile(direction.astype(np.float32), (count, 1))


def _squared(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared magnitude of each sample, in g²."""
    squared: NDArray[np.float32] = np.einsum("ij,ij->i", samples, samples)
    return squared
