"""Measure the wearable fall models on a folder of recordings.

    python tests/accuracy/wearable.py DIR --placement waist                    the packaged model
    python tests/accuracy/wearable.py DIR --placement waist --cross-validate   by subject
    python tests/accuracy/wearable.py DIR --placement waist --held-out SE      leave people out
    ... --quick                                                                fewer trees, no copies

Place in the flow: reads what `processors.falls.recordings` describes, trains with
`processors.falls.train` or loads `processors.falls.model`; `make accuracy` calls it.

What the packaged model learned from beside its own placement's recordings, training here
learns from too, where it lies next to DIR; `--beside` with no folder leaves it out.  None
of it is ever tested on.

Protocol: a recording is reported when any of its windows scores at or above the review
threshold, 0.5 of a calibrated probability, which is chosen on no data at all.  A fall
without any trigger is a miss.  Cross-validation: five folds by subject, seed 0, pooled;
model *and calibration* are made without the test fold.  The confidence interval of F1 is
a bootstrap over subjects (1,000 draws, seed 0).

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

# Run as a script from anywhere, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from processors.falls.manifest import PLACEMENTS, Thresholds
from processors.falls.model import FallModel
from processors.falls.recordings import Recordings, per_recording, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DRAWS: Final = 1000
INNER_FOLDS: Final = 3
"""Folds within the training folds, which choose windows and calibrate; all else is as packaged."""


def count(is_fall: NDArray[np.bool_], reported: NDArray[np.bool_]) -> dict[str, float]:
    """Return sensitivity, specificity, precision and F1 in %; NaN where nothing was to be counted."""
    found, false = float((reported & is_fall).sum()), float((reported & ~is_fall).sum())
    falls, daily = float(is_fall.sum()), float((~is_fall).sum())
    return {
        "sens": _percent(found, falls),
        "spec": _percent(daily - false, daily),
        "precision": _percent(found, found + false),
        "f1": _percent(2 * found, found + false + falls),
    }


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else float("nan")


def interval(recordings: Recordings, reported: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95% interval of F1, in %, from draws of whole subjects.

    A folder without falls has no F1: there the interval is of specificity.
    """
    key = "f1" if recordings.is_fall.any() else "spec"
    people = [np.flatnonzero(recordings.subjects == each) for each in np.unique(recordings.subjects)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([people[at] for at in rng.integers(0, len(people), len(people))])
        drawn.append(count(recordings.is_fall[rows], reported[rows])[key])
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def summary(recordings: Recordings, scores: NDArray[np.floating]) -> dict[str, object]:
    """Return the figures of the last line."""
    reported = per_recording(recordings, scores) >= Thresholds().review
    daily = ~recordings.is_fall
    hours = float(recordings.hours[daily].sum())
    false_alarms = int((reported & daily).sum())
    figures = {name: _rounded(value) for name, value in count(recordings.is_fall, reported).items()}
    return figures | {
        "false_alarms": false_alarms,
        "false_alarms_per_h": round(false_alarms / hours, 3) if hours else None,
        "hours": round(hours, 2),
        "n": len(recordings.is_fall),
        "ci95": [_rounded(bound) for bound in interval(recordings, reported)],
    }


def _rounded(value: float) -> float | None:
    """Round for JSON, which knows no NaN."""
    return None if np.isnan(value) else round(value, 2)


def table(recordings: Recordings, scores: NDArray[np.floating]) -> None:
    """Print a line for each activity: how many recordings, how many were reported."""
    highest = per_recording(recordings, scores)
    limits = Thresholds()
    print(f"{'activity':10} {'kind':6} {'n':>5} {'>= 0.5':>7} {'>= 0.95':>8} {'no trigger':>11}")
    triggered = np.bincount(recordings.owner, minlength=len(highest)) > 0
    for code in np.unique(recordings.codes):
        rows = recordings.codes == code
        kind = "fall" if recordings.is_fall[rows].any() else "daily"
        review, alert = (int((highest[rows] >= bound).sum()) for bound in (limits.review, limits.alert))
        print(f"{code:10} {kind:6} {rows.sum():5} {review:7} {alert:8} {(~triggered[rows]).sum():11}")


def packaged(recordings: Recordings, placement: str) -> NDArray[np.float64]:
    """Score with the packaged model, and say how fast."""
    model = FallModel.load(placement)
    if recordings.name in {each.name for each in model.manifest.trained_on}:
        print(
            "NOTE: the packaged model was trained on this set; these figures say nothing about other people"
        )
    began = time.process_time()
    scores = model.score(recordings.windows)
    spent = time.process_time() - began
    print(
        f"{len(scores)} windows in {spent:.2f} s of one core: {len(scores) / max(spent, 1e-9):,.0f} a second"
    )
    return scores


def trained_here(
    recordings: Recordings, beside: Sequence[Path], placement: str, held_out: str | None, *, quick: bool
) -> NDArray[np.float64]:
    """Score by subject, in five folds or with the people left out whose name begins so."""
    from processors.falls import train

    recipe = replace(train.recipe_for(placement, quick=quick), folds=INNER_FOLDS)
    once = replace(recipe, copies=train.OTHERS_COPIES)
    others = train.beside([train.prepare(read(folder), once) for folder in beside], recipe)
    measured = train.prepare(recordings, recipe)
    if held_out is None:
        return train.cross_validated(measured, recipe, others)
    known = ~np.char.startswith(recordings.subjects, held_out)
    return train.train(measured.of(known), recipe, others).score(measured.original)


def learned_beside(folder: Path, placement: str) -> list[Path]:
    """Return the folders next to `folder` that the packaged model learned from beside its own."""
    sets = FallModel.load(placement).manifest.trained_on
    names = [each.name for each in sets[1:]]
    return [folder.parent / name for name in names if (folder.parent / name / f"{name}_50hz.npz").exists()]


def main(argv: Sequence[str]) -> dict[str, object]:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--placement", choices=PLACEMENTS, required=True)
    parser.add_argument("--cross-validate", action="store_true", help="train by subject on this folder")
    parser.add_argument("--held-out", metavar="PREFIX", help="train on all but these subjects, test on them")
    parser.add_argument(
        "--beside",
        type=Path,
        nargs="*",
        metavar="DIR",
        help="folders of other placements to learn from as well (default: those of the packaged model, next to DIR)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer trees, no copies, three inner folds")
    wanted = parser.parse_args(argv)
    recordings = read(wanted.folder)
    if wanted.cross_validate or wanted.held_out:
        beside = (
            learned_beside(wanted.folder.resolve(), wanted.placement)
            if wanted.beside is None
            else wanted.beside
        )
        print("learned from beside:", ", ".join(path.name for path in beside) or "nothing")
        scores = trained_here(recordings, beside, wanted.placement, wanted.held_out, quick=wanted.quick)
    else:
        scores = packaged(recordings, wanted.placement)
    if wanted.held_out:
        chosen = np.char.startswith(recordings.subjects, wanted.held_out)
        recordings, scores = recordings.of(chosen), scores[chosen[recordings.owner]]
    table(recordings, scores)
    result = summary(recordings, scores)
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
