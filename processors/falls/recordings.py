"""Read recordings of falls and daily life, and cut them as the edge would.

Place in the flow: `processors.falls.train` and the accuracy runs read folders through
this module; `vigil.impact` cuts the windows, exactly as it does live on the edge.

A folder holds `<name>_50hz.npz` with `acc_mg` (milli-g at 50 Hz, all recordings end to
end, shape (samples, 3)) and `<name>_index.csv` with the columns code, subject, trial,
is_fall, start, end: one line a recording, [start, end) in samples.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.impact import RATE_HZ, State, Window, finish, step

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recordings:
    """What a folder holds, cut into windows.

    Attributes:
        name: The folder's `<name>`.
        sha256: Of the file of samples, so that the very data can be recognised.
        codes: Activity of each recording, shape (m,).
        subjects: Who wore the device, shape (m,).
        is_fall: Whether the recording holds a fall, shape (m,).
        hours: Length of each recording in hours, shape (m,).
        windows: Every window of every recording, shape (n, 200, 3), in g.
        owner: Number of the recording that each window belongs to, shape (n,).
    """

    name: str
    sha256: str
    codes: NDArray[np.str_]
    subjects: NDArray[np.str_]
    is_fall: NDArray[np.bool_]
    hours: NDArray[np.float64]
    windows: NDArray[np.float32]
    owner: NDArray[np.int64]

    def of(self, wanted: NDArray[np.bool_]) -> Recordings:
        """Return only the recordings that `wanted`, shape (m,), marks."""
        place = np.cumsum(wanted) - 1
        kept = wanted[self.owner]
        return Recordings(
            self.name,
            self.sha256,
            self.codes[wanted],
            self.subjects[wanted],
            self.is_fall[wanted],
            self.hours[wanted],
            self.windows[kept],
            place[self.owner[kept]],
        )


def read(folder: Path) -> Recordings:
    """Read a folder and cut its recordings.

    Args:
        folder: Holds one `<name>_50hz.npz` and its `<name>_index.csv`.

    Raises:
        FileNotFoundError: The folder does not hold exactly one such pair.
    """
    found = sorted(folder.glob("*_50hz.npz"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} holds {len(found)} files named <name>_50hz.npz; one is wanted")
    name = found[0].name.removesuffix("_50hz.npz")
    with np.load(found[0], allow_pickle=False) as arrays:
        accel = arrays["acc_mg"]
    with (folder / f"{name}_index.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    spans = [(int(row["start"]), int(row["end"])) for row in rows]
    cuts = [windows_of(accel[start:end].astype(np.float32) / 1000) for start, end in spans]
    return Recordings(
        name,
        hashlib.sha256(found[0].read_bytes()).hexdigest(),
        np.array([row["code"] for row in rows]),
        np.array([row["subject"] for row in rows]),
        np.array([row["is_fall"].strip().lower() in {"1", "true"} for row in rows]),
        np.array([end - start for start, end in spans]) / RATE_HZ / 3600,
        np.concatenate(cuts),
        np.repeat(np.arange(len(rows)), [len(cut) for cut in cuts]),
    )


def windows_of(accel_g: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut one recording, shape (samples, 3) in g, into its windows, shape (n, 200, 3)."""
    state, found = step(State(), accel_g)
    cuts = [each.accel_g for each in (*found, *finish(state)) if isinstance(each, Window)]
    return np.stack(cuts) if cuts else np.empty((0, 200, 3), np.float32)


def per_recording(recordings: Recordings, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the highest score of each recording's windows; 0 for one without a window."""
    highest = np.zeros(len(recordings.is_fall))
    np.maximum.at(highest, recordings.owner, scores)
    return highest


def folds_of(groups: NDArray[np.str_], count: int, seed: int) -> NDArray[np.int64]:
    """Deal groups, such as subjects, out over `count` folds; all of one group is in one fold.

    Args:
        groups: Group of each recording, shape (m,).
        count: Folds.
        seed: Order in which the groups are dealt out.

    Returns:
        Each recording's fold, shape (m,).
    """
    names, which = np.unique(groups, return_inverse=True)
    dealt = np.empty(len(names), np.int64)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % count
    return dealt[which]


def activity_folds(recordings: Recordings, count: int, seed: int) -> NDArray[np.int64]:
    """Deal the kinds of falls and the kinds of daily life out over folds, so that each holds both.

    Where the folder tells too few kinds apart for two folds, its subjects are dealt out instead.

    Returns:
        Each recording's fold, shape (m,).
    """
    falls = recordings.is_fall
    kinds = min(len(np.unique(recordings.codes[falls])), len(np.unique(recordings.codes[~falls])), count)
    if kinds < 2:
        return folds_of(recordings.subjects, count, seed)
    folds = np.empty(len(falls), np.int64)
    for half in (falls, ~falls):
        folds[half] = folds_of(recordings.codes[half], kinds, seed)
    return folds
