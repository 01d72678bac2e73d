"""Describe an impact window by numbers that do not depend on how the device was worn.

Place in the flow: `edge.trigger` cuts the window, this module measures it, and
`processors.falls.model` scores what was measured.  Everything here is computed from
magnitudes, angles between directions and projections onto the wearer's own gravity, so
turning the device in its holder changes nothing.

Many windows are measured at once: every group takes shape (n, 200, 3) or (n, 200), in g,
with the peak at sample 100, and returns columns of length n by name.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

Floats: TypeAlias = NDArray[np.float32]
Columns: TypeAlias = dict[str, Floats]

RATE_HZ: Final = 50
SAMPLES: Final = 200
PEAK: Final = 100
"""Index of the peak in the window."""
SEGMENT: Final = 25
"""Samples of the half-second segments that follow the course of a fall."""
RANGE_G: Final = 4.0
"""Magnitudes are cut to this, in g, so that a sensor of 4 g and one of 16 g measure alike."""
FORMULAS: Final = 1
"""Raised by hand whenever a formula changes under an unchanged name."""
BEFORE: Final = slice(0, 50)
"""The first second: what the wearer did before anything happened."""
AFTER: Final = slice(150, 200)
"""The last second: how the wearer ended up."""
_pack = struct.Struct(f"{3 * SAMPLES}h").pack


def windows_of(samples: Iterable[Sequence[int]]) -> Floats:
    """Return windows in g, shape (n, 200, 3), of what wearables send.

    Args:
        samples: Each 200 samples of x, y, z in milli-g, flattened.  Packed first, they take half of what
            numpy takes for lists.
    """
    packed = b"".join([_pack(*one) for one in samples])
    return np.frombuffer(packed, np.int16).reshape(-1, SAMPLES, 3).astype(np.float32) / np.float32(1000)


def measure(windows: ArrayLike) -> Floats:
    """Measure windows.

    Args:
        windows: Acceleration in g at 50 Hz, shape (n, 200, 3), the peak at sample 100.

    Returns:
        One row a window and one column a feature, in the order of `names()`.

    Raises:
        ValueError: The windows have another shape, or hold a value that is not finite.
    """
    raw = np.asarray(windows, np.float32)
    if raw.ndim != 3 or raw.shape[1:] != (SAMPLES, 3):
        raise ValueError(f"windows have shape (n, {SAMPLES}, 3), not {raw.shape}")
    if not np.isfinite(raw).all():
        raise ValueError("a window holds a value that is not finite")
    return np.column_stack(tuple(_columns(raw).values()))


@cache
def names() -> tuple[str, ...]:
    """Return the features' names in the order of `measure`'s columns."""
    return tuple(_columns(np.zeros((1, SAMPLES, 3), np.float32)))


@cache
def schema_hash() -> str:
    """Return what a model must have been trained on for its scores to mean anything."""
    text = "\n".join((str(FORMULAS), str(RATE_HZ), str(SAMPLES), str(RANGE_G), *names()))
    return hashlib.sha256(text.encode()).hexdigest()


def _columns(raw: Floats) -> Columns:
    """Return every feature by name."""
    accel = _within_range(raw)
    planes = _planes(accel)
    size = _norm(accel)
    smooth = _smoothed(accel)
    calm = _norm(smooth)
    return (
        _course(size, planes)
        | _impact(size, calm)
        | _free_fall(calm)
        | _posture(smooth)
        | _rhythm(size)
        | _quiet(planes)
        | _spread(calm)
    )


def _within_range(raw: Floats) -> Floats:
    """Shorten each sample to at most `RANGE_G`, in its own direction."""
    size = np.maximum(_norm(raw), np.float32(1e-6))
    short: Floats = raw * np.minimum(np.float32(1), np.float32(RANGE_G) / size)[..., None]
    return short


def _norm(vectors: Floats) -> Floats:
    """Return the lengths of vectors along the last axis."""
    lengths: Floats = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return lengths


def _planes(vectors: Floats) -> Floats:
    """Return x, y and z by themselves, shape (3, n, 200): sums along a window take a third of the time."""
    return np.ascontiguousarray(vectors.transpose(2, 0, 1))


def _restlessness(planes: Floats) -> Floats:
    """Return the standard deviation over all axes, along the last dimension of planes."""
    restless: Floats = np.sqrt(planes.var(axis=-1).sum(axis=0))
    return restless


def _unit(vectors: Floats) -> Floats:
    """Return vectors at length 1; one of no length stays so."""
    lengths: Floats = np.maximum(_norm(vectors), np.float32(1e-6))
    return vectors / lengths[..., None]


def _degrees(one: Floats, other: Floats) -> Floats:
    """Return the angle between unit vectors."""
    cosine = np.einsum("...i,...i->...", one, other)
    angles: Floats = np.degrees(np.arccos(np.clip(cosine, -1, 1))).astype(np.float32)
    return angles


def _smoothed(accel: Floats) -> Floats:
    """Return the samples under a binomial filter of five (about 7 Hz): no more than slow sensors pass."""
    padded = np.pad(accel, ((0, 0), (2, 2), (0, 0)), mode="edge")
    inner = padded[:, 1:-1]
    pairs = inner[:, :-2] + inner[:, 2:]
    smooth: Floats = (padded[:, :-4] + padded[:, 4:] + 4 * pairs + 6 * accel) / np.float32(16)
    return smooth


def _numbered(prefix: str, values: Floats) -> Columns:
    """Name the columns of shape (n, k) by their place."""
    return {f"{prefix}_{place}": values[:, place] for place in range(values.shape[1])}


def _segments(values: Floats) -> Floats:
    """Cut the 200 samples of each window into eight half seconds."""
    return values.reshape(len(values), SAMPLES // SEGMENT, SEGMENT, *values.shape[2:])


def _course(size: Floats, planes: Floats) -> Columns:
    """Follow the window by half seconds: level, movement, extremes."""
    parts = _segments(size)
    shake = _restlessness(planes.reshape(3, len(size), SAMPLES // SEGMENT, SEGMENT))
    return (
        _numbered("mean_g", parts.mean(axis=2))
        | _numbered("max_g", parts.max(axis=2))
        | _numbered("min_g", parts.min(axis=2))
        | _numbered("sd_g", parts.std(axis=2))
        | _numbered("shake_g", shake)
        | _numbered("jerk_g", np.abs(np.diff(parts, axis=2)).mean(axis=2))
    )


def _impact(size: Floats, calm: Floats) -> Columns:
    """Measure the blow itself: how hard, how sharp, how alone."""
    near = size[:, PEAK - 25 : PEAK + 25]
    excess = np.maximum(calm - 1, 0)
    return {
        "peak_g": size[:, PEAK - 2 : PEAK + 3].max(axis=1),
        "peak_smooth_g": calm[:, PEAK - 10 : PEAK + 10].max(axis=1),
        "peak_core_g": size[:, PEAK - 5 : PEAK + 6].mean(axis=1),
        "jerk_max_g": np.abs(np.diff(near, axis=1)).max(axis=1),
        "blow_before_gs": excess[:, PEAK - 25 : PEAK].sum(axis=1) / RATE_HZ,
        "blow_after_gs": excess[:, PEAK : PEAK + 25].sum(axis=1) / RATE_HZ,
        "above_15_s": (near > 1.5).sum(axis=1, dtype=np.float32) / RATE_HZ,
        "above_20_s": (near > 2.0).sum(axis=1, dtype=np.float32) / RATE_HZ,
        "other_before_g": size[:, : PEAK - 15].max(axis=1),
        "other_after_g": size[:, PEAK + 15 :].max(axis=1),
        "crossings": ((size[:, 1:] > 1.3) & (size[:, :-1] <= 1.3)).sum(axis=1, dtype=np.float32),
    }


def _free_fall(calm: Floats) -> Columns:
    """Measure the drop before the blow: how light, how long, how soon."""
    drop = calm[:, PEAK - 50 : PEAK]
    lack = np.maximum(1 - drop, 0)
    lowest = drop.argmin(axis=1)
    return {
        "drop_min_g": drop.min(axis=1),
        "drop_to_peak_s": (50 - lowest).astype(np.float32) / RATE_HZ,
        "drop_gs": lack.sum(axis=1) / RATE_HZ,
        "drop_late_gs": lack[:, 25:].sum(axis=1) / RATE_HZ,
        "drop_below_08_s": (drop < 0.8).sum(axis=1, dtype=np.float32) / RATE_HZ,
        "drop_below_05_s": (drop < 0.5).sum(axis=1, dtype=np.float32) / RATE_HZ,
        "rebound_min_g": calm[:, PEAK : PEAK + 50].min(axis=1),
    }


def _posture(smooth: Floats) -> Columns:
    """Measure turns: between before and after, by half seconds, and along the way."""
    halves = _planes(smooth).reshape(3, len(smooth), SAMPLES // SEGMENT, SEGMENT)
    lean = _unit(np.moveaxis(halves.mean(axis=3), 0, 2))
    before, after = _unit(smooth[:, BEFORE].mean(axis=1)), _unit(smooth[:, AFTER].mean(axis=1))
    blow = _unit(smooth[:, PEAK - 3 : PEAK + 4].mean(axis=1))
    upright = np.einsum("nti,ni->nt", smooth, before)
    settled = np.einsum("nti,ni->nt", smooth, after)
    turns = _degrees(lean[:, 1:], lean[:, :-1])
    aside = np.sqrt(np.maximum(np.einsum("nti,nti->nt", smooth, smooth) - upright**2, 0))
    return (
        {
            "turn_deg": _degrees(before, after),
            "turn_blow_before_deg": _degrees(blow, before),
            "turn_blow_after_deg": _degrees(blow, after),
            "turn_path_deg": turns.sum(axis=1),
            "turn_max_deg": turns.max(axis=1),
        }
        | _numbered("turn_step_deg", turns)
        | _numbered("from_before_deg", _degrees(lean[:, 2:], before[:, None]))
        | _numbered("from_after_deg", _degrees(lean[:, :6], after[:, None]))
        | _numbered("upright_g", _segments(upright).mean(axis=2))
        | _numbered("upright_sd_g", _segments(upright).std(axis=2))
        | _numbered("settled_g", _segments(settled).mean(axis=2))
        | _numbered("aside_g", _segments(aside).mean(axis=2))
    )


def _rhythm(size: Floats) -> Columns:
    """Measure steps: how well the magnitude repeats itself, and at which pace."""
    centred = np.minimum(size, np.float32(2.5))
    centred = centred - centred.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, axis=1)).astype(np.float32) ** 2
    total = np.maximum(power.sum(axis=1), np.float32(1e-6))
    edges = (1, 4, 8, 12, 20, 32, 101)  # bins of 0.25 Hz: to 1, 2, 3, 5, 8 and 25 Hz
    bands = [power[:, low:high].sum(axis=1) / total for low, high in pairwise(edges)]
    repeats = np.fft.irfft(power, axis=1).astype(np.float32)
    echo = repeats[:, 15:75] / np.maximum(repeats[:, :1], np.float32(1e-6))
    return {
        "echo": echo.max(axis=1),
        "echo_s": (15 + echo.argmax(axis=1)).astype(np.float32) / RATE_HZ,
    } | _numbered("band", np.stack(bands, axis=1))


def _quiet(planes: Floats) -> Columns:
    """Measure rest: how still before and after, and how soon after the blow."""
    tenths = _restlessness(planes.reshape(3, -1, 20, 10))
    late = tenths[:, 11:]
    loud = late > 0.15
    last = np.where(loud.any(axis=1), late.shape[1] - loud[:, ::-1].argmax(axis=1), 0)
    return {
        "still_before_g": _restlessness(planes[:, :, BEFORE]),
        "still_after_g": _restlessness(planes[:, :, AFTER]),
        "stillest_before_g": tenths[:, :8].min(axis=1),
        "stillest_after_g": late.min(axis=1),
        "loud_after_s": loud.sum(axis=1, dtype=np.float32) / 5,
        "rest_after_s": last.astype(np.float32) / 5,
    }


def _spread(calm: Floats) -> Columns:
    """Return quantiles of the magnitude before and after the blow."""
    marks = np.array((4, 18, 37, 56, 70))
    before = np.sort(calm[:, :75], axis=1)[:, marks]
    after = np.sort(calm[:, 125:], axis=1)[:, marks]
    return _numbered("before_q_g", before) | _numbered("after_q_g", after)
