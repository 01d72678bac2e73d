"""A small made-up set of recordings in the folders' format, for tests of reading and training."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UPRIGHT = np.array((0.0, 1.0, 0.0), np.float32)
LYING = np.array((0.3, 0.0, 0.95), np.float32)


def fall(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return 6 s: standing, tipping over with a drop, a blow at 3 s that dies away, lying still."""
    tipped = np.clip((np.arange(300) - 120) / 30, 0, 1)[:, None]
    samples = UPRIGHT * (1 - tipped) + LYING * tipped
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    samples[130:148] *= 0.4
    samples[148:152] *= rng.uniform(3, 6) * np.array((0.6, 0.8, 1.0, 0.7))[:, None]
    ringing = rng.normal(0, 0.6, (40, 3)) * np.exp(-np.arange(40) / 12)[:, None]
    samples[152:192] += ringing
    noise = rng.normal(0, 0.02, samples.shape)
    return (samples + noise).astype(np.float32)


def walk(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return 6 s of hard steps, twice a second, each long enough to trigger."""
    pace = np.clip(np.sin(np.arange(300) * 2 * np.pi * 2 / 50), 0, 1) ** 4
    samples = UPRIGHT * (1 + rng.uniform(0.9, 1.4) * pace)[:, None]
    return (samples + rng.normal(0, 0.05, samples.shape)).astype(np.float32)


def write(folder: Path, name: str = "made_up", subjects: int = 6, each: int = 4, seed: int = 0) -> Path:
    """Write a folder with as many falls as walks, and one quiet recording without a trigger."""
    rng = np.random.default_rng(seed)
    people = [f"P{number:02d}" for number in range(subjects)]
    half = each // 2
    kinds = [("F01", "1", fall), ("F02", "1", fall)] * half + [("D01", "0", walk), ("D02", "0", walk)] * half
    parts = [(code, who, flag, make(rng)) for who in people for code, flag, make in kinds]
    parts.append(("D01", people[0], "0", np.tile(UPRIGHT, (100, 1))))
    folder.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([len(samples) for *_, samples in parts])
    accel = np.concatenate([samples for *_, samples in parts])
    np.savez(folder / f"{name}_50hz.npz", acc_mg=np.round(1000 * accel).astype(np.int16))
    with (folder / f"{name}_index.csv").open("w", newline="", encoding="utf-8") as lines:
        out = csv.writer(lines)
        out.writerow(("code", "subject", "trial", "is_fall", "start", "end"))
        for trial, ((code, who, flag, samples), end) in enumerate(zip(parts, ends, strict=True)):
            out.writerow((code, who, trial, flag, end - len(samples), end))
    return folder
