"""Make other sensors out of one: what a device of another make would have recorded.

Place in the flow: `processors.falls.train` adds these copies to the windows of
`processors.falls.recordings` before `processors.falls.features` measures them.

A model meets sensors of 2 to 16 g, 20 to 200 Hz, with errors of gain and zero, worn a
little differently.  Turning a window changes no feature, but it decides which part of a
blow a sensor's range cuts off, so each copy is turned at random before it is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from processors.falls.features import PEAK, RATE_HZ, SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN: Final = 0.05
"""Largest relative error of a sensor's gain (datasheets: 3 to 4%, and some wear)."""
OFFSET_G: Final = 0.03
"""Largest error of a sensor's zero on one axis, in g (datasheets: 0.02 to 0.06)."""
NOISE_G: Final = 0.02
"""Largest standard deviation of added noise, in g."""
SLOW: Final = 0.3
"""Share of the copies that come from a slower sensor."""
SLOW_HZ: Final = (20.0, 25.0, 32.0)
CUT: Final = 0.3
"""Share of the copies that come from a sensor of a narrow range."""
CUT_G: Final = (2.0, 3.0, 4.0)
JITTER: Final = 3
"""Largest displacement of the peak, in samples."""


def as_other_sensors(windows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return each window as another sensor might have recorded it.

    Args:
        windows: Shape (n, 200, 3), in g, the peak at sample 100.
        rng: Source of the chances; the same source gives the same copies.

    Returns:
        Copies of the same shape, each again about its own highest sample.
    """
    count = len(windows)
    turned = np.einsum("nij,ntj->nti", _rotations(count, rng), windows, dtype=np.float64)
    seen = turned * rng.uniform(1 - GAIN, 1 + GAIN, (count, 1, 1))
    seen += rng.uniform(-OFFSET_G, OFFSET_G, (count, 1, 3))
    seen = _slowed(seen, rng)
    seen += rng.normal(0, 1, seen.shape) * rng.uniform(0, NOISE_G, (count, 1, 1))
    limits = np.where(rng.random(count) < CUT, rng.choice(CUT_G, count), np.inf)[:, None, None]
    return _recentred(np.clip(seen, -limits, limits), rng).astype(np.float32)


def _rotations(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random rotations, uniformly distributed, shape (count, 3, 3)."""
    quaternions = rng.normal(size=(count, 4))
    a, b, c, d = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    )
    return np.array(rows).transpose(2, 0, 1)


def _slowed(windows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Pass some windows through a slower sensor, half of them with its low-pass filter."""
    slow, rates = rng.random(len(windows)) < SLOW, rng.choice(SLOW_HZ, len(windows))
    filtered = rng.random(len(windows)) < 0.5
    out = windows.copy()
    for rate in SLOW_HZ:
        chosen = slow & (rates == rate)
        out[chosen & filtered] = _low_passed(out[chosen & filtered], 0.4 * rate)
        out[chosen] = _resampled(out[chosen], rate, rng.uniform(0, 1 / rate))
    return out


def _low_passed(windows: NDArray[np.float64], cutoff_hz: float) -> NDArray[np.float64]:
    """Weaken what is faster than `cutoff_hz` like a second-order Butterworth filter, without delay."""
    padded = np.pad(windows, ((0, 0), (28, 28), (0, 0)), mode="edge")
    gain = 1 / (1 + (np.fft.rfftfreq(padded.shape[1], 1 / RATE_HZ) / cutoff_hz) ** 4)
    spectrum = np.fft.rfft(padded, axis=1) * gain[:, None]
    return np.fft.irfft(spectrum, padded.shape[1], axis=1)[:, 28:-28]


def _resampled(windows: NDArray[np.float64], rate_hz: float, delay_s: float) -> NDArray[np.float64]:
    """Sample at `rate_hz`, and interpolate linearly back to 50 Hz."""
    slow = np.arange(delay_s - 1 / rate_hz, SAMPLES / RATE_HZ + 2 / rate_hz, 1 / rate_hz)
    sampled = _between(windows, slow * RATE_HZ)
    return _between(sampled, (np.arange(SAMPLES) / RATE_HZ - slow[0]) * rate_hz)


def _between(series: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate along axis 1 at fractional places; outside, the nearest end holds."""
    places = np.clip(places, 0, series.shape[1] - 1)
    low = np.minimum(places.astype(np.int64), series.shape[1] - 2)
    share = (places - low)[None, :, None]
    mixed: NDArray[np.float64] = series[:, low] * (1 - share) + series[:, low + 1] * share
    return mixed


def _recentred(windows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Move each window so that its highest sample near the middle lies at the peak, give or take."""
    near = np.linalg.norm(windows[:, PEAK - 10 : PEAK + 11], axis=2)
    shift = near.argmax(axis=1) - 10 + rng.integers(-JITTER, JITTER + 1, len(windows))
    places = np.clip(np.arange(SAMPLES)[None] + shift[:, None], 0, SAMPLES - 1)
    return np.take_along_axis(windows, places[..., None], axis=1)
