"""Train, calibrate and package the fall model of one placement.

Place in the flow: `python -m processors train falls` calls `main`; what it writes is what
`processors.falls.model` loads.  `tests/accuracy/wearable.py` calls `cross_validated` for
the figures by subject, which are made by this very code.

Rules
-----
1. A recorded fall is an episode: a stumble, the fall, a second impact.  Its hardest
   window is the fall; the windows beside it are neither fall nor daily life, and nothing
   is learned from them.  A second look adds the window that a first model, which never
   saw that wearer, finds likeliest.
2. Copies as other sensors would have seen them (`processors.falls.augment`) are learned
   from, and never tested on.
3. Recordings of another placement may be learned from beside, at a lower weight: they
   show more people, more ways to fall and more of daily life.  Scores out of fold,
   calibration and figures are of the placement's own recordings alone.
4. Calibration is fitted on scores out of fold, once by subject and once by activity
   (each kind of fall and of daily life scored by a model that never saw it), since both
   the people and what they do will be new: Platt's or the isotonic one, whichever
   surprises less where it was not fitted.
5. The same data, seed and package versions give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lightgbm as lgb
import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from processors import drift
from processors.falls import calibration as cal
from processors.falls import features
from processors.falls.augment import as_other_sensors
from processors.falls.manifest import PLACEMENTS, Manifest, Metrics, Reported, Thresholds
from processors.falls.packaging import package, training_set, versions, write_reference
from processors.falls.recordings import Recordings, activity_folds, folds_of, per_recording, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FOLDS: Final = 5
BOOSTING: Final = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_child_samples": 30,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "extra_trees": True,  # one random threshold a feature: smoother, and surer on people and activities never seen
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made.

    Attributes:
        trees: Trees of the boosted model.
        copies: Copies of every window as other sensors would have seen it.
        folds: Folds by subject for the out-of-fold scores.
        beside: Weight of a window of another placement's recordings; the own ones weigh 1.
        seed: Of everything that is left to chance.
    """

    trees: int = 700
    copies: int = 3
    folds: int = FOLDS
    beside: float = 0.1
    seed: int = 0


QUICK: Final = Recipe(trees=200, copies=0, folds=3)
"""For a look within seconds; its figures are a little lower."""
BESIDE: Final = {"waist": 0.1, "chest": 0.1, "wrist": 0.4}
"""Weight of the other placements' windows.

The trunk has 1,798 falls of its own, the wrist 350.  Chosen by what activities never seen
and people never seen score (docs/models/wearable.md).
"""
COPIES: Final = {"waist": 3, "chest": 3, "wrist": 6}
"""Copies of a window as other sensors: the fewer people, the more.  On the wrist six surprise less than
three on people never seen (docs/models/wearable.md)."""
OTHERS_COPIES: Final = 1
"""Copies of the windows of other placements as other sensors: they are many already."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Recordings, and what `features.measure` made of their windows.

    Attributes:
        recordings: The recordings.
        original: Features of the windows, shape (n, features).
        copies: The same for the copies as other sensors, shape (copies, n, features).
    """

    recordings: Recordings
    original: NDArray[np.float32]
    copies: NDArray[np.float32]

    def of(self, wanted: NDArray[np.bool_]) -> Measured:
        """Return only the recordings that `wanted`, shape (m,), marks."""
        kept = wanted[self.recordings.owner]
        return Measured(self.recordings.of(wanted), self.original[kept], self.copies[:, kept])


@dataclass(frozen=True, slots=True)
class Rows:
    """Windows to learn from, measured.

    Attributes:
        features: Shape (n, features).
        is_fall: Shape (n,).
        weight: Shape (n,).
    """

    features: NDArray[np.float32]
    is_fall: NDArray[np.bool_]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model before it is packaged.

    Attributes:
        booster: The trees.
        calibration: From its scores to probabilities.
        is_fall: The windows that were learned as falls, shape (n,).
        raw: Out-of-fold scores of the training windows, shape (2, n): first without the
            wearer, then without the activity.
        likely: The same, calibrated by a calibration of other subjects.
        losses: Surprise by calibration method, cross-fitted.
    """

    booster: lgb.Booster
    calibration: cal.Calibration
    is_fall: NDArray[np.bool_]
    raw: NDArray[np.float64]
    likely: NDArray[np.float64]
    losses: dict[str, float]

    def score(self, measured: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return calibrated probabilities."""
        return self.calibration.apply(np.asarray(self.booster.predict(measured, num_threads=1)))


def recipe_for(placement: str, *, quick: bool = False, seed: int = 0) -> Recipe:
    """Return how the model of a placement is made."""
    recipe = QUICK if quick else Recipe(copies=COPIES[placement])
    return replace(recipe, beside=BESIDE[placement], seed=seed)


NOTHING: Final = Rows(
    np.empty((0, len(features.names())), np.float32), np.empty(0, np.bool_), np.empty(0, np.float64)
)


def prepare(recordings: Recordings, recipe: Recipe) -> Measured:
    """Measure the windows, and their copies as other sensors."""
    rng = np.random.default_rng(recipe.seed)
    copies = [features.measure(as_other_sensors(recordings.windows, rng)) for _ in range(recipe.copies)]
    original = features.measure(recordings.windows)
    return Measured(recordings, original, np.array(copies).reshape(-1, *original.shape))


def beside(others: Sequence[Measured], recipe: Recipe) -> Rows:
    """Collect what is learned from recordings of other placements: their hardest windows and daily life."""
    chosen = [_judged(each, hardest(each.recordings)) for each in others]
    return Rows(
        np.concatenate([NOTHING.features, *(rows.features for rows in chosen)]),
        np.concatenate([NOTHING.is_fall, *(rows.is_fall for rows in chosen)]),
        np.concatenate([NOTHING.weight, *(recipe.beside * rows.weight for rows in chosen)]),
    )


def _judged(measured: Measured, is_fall: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> Rows:
    """Return the windows that are fall or daily life, with their copies."""
    recordings = measured.recordings
    use = is_fall | ~recordings.is_fall[recordings.owner]
    if among is not None:
        use &= among
    features_ = np.concatenate([measured.original[use], *measured.copies[:, use]])
    truth = np.tile(is_fall[use], 1 + len(measured.copies))
    return Rows(features_, truth, np.ones(len(truth)))


def train(measured: Measured, recipe: Recipe, others: Rows | None = None) -> Trained:
    """Train and calibrate a model.

    Args:
        measured: What `prepare` returned.
        recipe: How.
        others: What `beside` collected.

    Raises:
        ValueError: There are fewer subjects than folds, or no falls.
    """
    recordings, others = measured.recordings, others or NOTHING
    _refuse_too_few(recordings, recipe)
    by_subject = folds_of(recordings.subjects, recipe.folds, recipe.seed)[recordings.owner]
    by_activity = activity_folds(recordings, recipe.folds, recipe.seed)[recordings.owner]
    first = hardest(recordings)
    is_fall = first | fall_windows(recordings, _out_of_fold(measured, first, by_subject, recipe, others))
    ways = (by_subject, by_activity)
    raw = np.stack([_out_of_fold(measured, is_fall, folds, recipe, others) for folds in ways])
    judged = is_fall | ~recordings.is_fall[recordings.owner]
    likely, losses = _cross_calibrated(raw, is_fall, judged, by_subject)
    method = min(losses, key=lambda name: losses[name])
    calibration = _calibrated(method, raw, is_fall, judged)
    booster = _fit((_judged(measured, is_fall), others), recipe)
    return Trained(booster, calibration, is_fall, raw, likely[method], losses)


def _refuse_too_few(recordings: Recordings, recipe: Recipe) -> None:
    """Raise unless every fold gets a subject and there is something to tell apart."""
    people = len(np.unique(recordings.subjects))
    if people < recipe.folds:
        raise ValueError(f"{people} subjects are too few for {recipe.folds} folds")
    if not recordings.is_fall.any() or recordings.is_fall.all():
        raise ValueError("training needs recordings of falls and of daily life")


def fall_windows(recordings: Recordings, rank: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mark the window of each fall recording that ranks highest.

    Args:
        recordings: The recordings.
        rank: A number for each window, shape (n,).

    Returns:
        Shape (n,).
    """
    order = np.lexsort((rank, recordings.owner))
    owner = recordings.owner[order]
    last = np.append(owner[1:] != owner[:-1], [True] * bool(len(owner)))
    marked = np.zeros(len(order), np.bool_)
    marked[order[last]] = True
    chosen: NDArray[np.bool_] = marked & recordings.is_fall[recordings.owner]
    return chosen


def hardest(recordings: Recordings) -> NDArray[np.bool_]:
    """Mark the window of each fall recording with the hardest blow, shape (n,)."""
    return fall_windows(recordings, np.linalg.norm(recordings.windows[:, features.PEAK], axis=1))


def _fit(parts: Sequence[Rows], recipe: Recipe) -> lgb.Booster:
    """Boost trees on rows."""
    data = lgb.Dataset(
        np.concatenate([rows.features for rows in parts]),
        np.concatenate([rows.is_fall for rows in parts]).astype(np.float32),
        weight=np.concatenate([rows.weight for rows in parts]),
    )
    return lgb.train(BOOSTING | {"seed": recipe.seed}, data, recipe.trees)


def _out_of_fold(
    measured: Measured, is_fall: NDArray[np.bool_], folds: NDArray[np.int64], recipe: Recipe, others: Rows
) -> NDArray[np.float64]:
    """Score the windows of each fold by a model of the others."""
    scores = np.zeros(len(folds))
    for fold in np.unique(folds):
        inside = folds == fold
        booster = _fit((_judged(measured, is_fall, ~inside), others), recipe)
        scores[inside] = booster.predict(measured.original[inside], num_threads=1)
    return scores


def fit_calibration(method: str, raw: NDArray[np.float64], truth: NDArray[np.bool_]) -> cal.Calibration:
    """Fit Platt's calibration or the isotonic one (`platt` or `isotonic`)."""
    if method == "platt":
        line = LogisticRegression(C=1e6).fit(cal.log_odds(raw)[:, None], truth)
        return cal.Calibration(
            method=method, slope=float(line.coef_[0, 0]), intercept=float(line.intercept_[0])
        )
    stairs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw, truth)
    return cal.Calibration(
        method=method,
        raw=tuple(float(x) for x in stairs.X_thresholds_),
        probability=tuple(float(y) for y in stairs.y_thresholds_),
    )


def _calibrated(
    method: str, raw: NDArray[np.float64], truth: NDArray[np.bool_], among: NDArray[np.bool_]
) -> cal.Calibration:
    """Fit a calibration on both kinds of out-of-fold scores of the windows in `among`."""
    return fit_calibration(method, raw[:, among].ravel(), np.tile(truth[among], len(raw)))


def _cross_calibrated(
    raw: NDArray[np.float64],
    truth: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    folds: NDArray[np.int64],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Calibrate each fold by the others, in both ways; return probabilities and surprise."""
    likely = {method: np.zeros(raw.shape) for method in ("platt", "isotonic")}
    for method, values in likely.items():
        for fold in np.unique(folds):
            inside, others = folds == fold, (folds != fold) & judged
            values[:, inside] = _calibrated(method, raw, truth, others).apply(raw[:, inside])
    losses = {method: cal.log_loss(values[:, judged], truth[judged]) for method, values in likely.items()}
    return likely, losses


def cross_validated(measured: Measured, recipe: Recipe, others: Rows | None = None) -> NDArray[np.float64]:
    """Score every window by a model trained *and calibrated* without its wearer.

    Returns:
        Calibrated probabilities, shape (n,).
    """
    recordings = measured.recordings
    fold_of = folds_of(recordings.subjects, FOLDS, recipe.seed)
    scores = np.zeros(len(recordings.owner))
    for fold in range(FOLDS):
        inside = (fold_of == fold)[recordings.owner]
        scores[inside] = train(measured.of(fold_of != fold), recipe, others).score(measured.original[inside])
    return scores


def metrics(trained: Trained, measured: Measured, thresholds: Thresholds) -> Metrics:
    """Count what the out-of-fold probabilities would have reported."""
    recordings = measured.recordings
    # The windows beside a fall's own are not judged, as in training.
    judged = trained.is_fall | ~recordings.is_fall[recordings.owner]
    truth, (people, activities) = trained.is_fall[judged], trained.likely
    return Metrics(
        new_people=_reported(recordings, people, thresholds.review),
        new_people_alert=_reported(recordings, people, thresholds.alert),
        new_activities=_reported(recordings, activities, thresholds.review),
        new_activities_alert=_reported(recordings, activities, thresholds.alert),
        brier=round(cal.brier(people[judged], truth), 5),
        brier_new_activities=round(cal.brier(activities[judged], truth), 5),
        log_loss={method: round(loss, 5) for method, loss in trained.losses.items()},
        reliability=cal.reliability(trained.likely[:, judged].ravel(), np.tile(truth, 2)),
    )


def _reported(recordings: Recordings, likely: NDArray[np.float64], threshold: float) -> Reported:
    """Count recordings with a window at or above a threshold."""
    reported = per_recording(recordings, likely) >= threshold
    falls, daily = recordings.is_fall, ~recordings.is_fall
    found, false = int((reported & falls).sum()), int((reported & daily).sum())
    return Reported(
        sens=round(100 * found / int(falls.sum()), 2),
        spec=round(100 - 100 * false / int(daily.sum()), 2),
        precision=round(100 * found / max(found + false, 1), 2),
        f1=round(200 * found / (found + false + int(falls.sum())), 2),
        false_alarms=false,
        false_alarms_per_h=round(false / float(recordings.hours[daily].sum()), 3),
    )


def main(argv: Sequence[str]) -> Manifest:
    """Run the command: `--data DIR [--beside DIR ...] --placement P --out DIR [--seed N] [--quick]`.

    Returns:
        The manifest of the packaged model.
    """
    parser = argparse.ArgumentParser(prog="processors train falls", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--placement", choices=PLACEMENTS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the packaged model")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another placement's folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer trees and no copies")
    wanted = parser.parse_args(argv)
    recipe = recipe_for(wanted.placement, quick=wanted.quick, seed=wanted.seed)
    measured = prepare(read(wanted.data), recipe)
    others = [prepare(read(folder), replace(recipe, copies=OTHERS_COPIES)) for folder in wanted.beside]
    trained = train(measured, recipe, beside(others, recipe))
    manifest = Manifest(
        placement=wanted.placement,
        version="",
        sample_rate_hz=features.RATE_HZ,
        feature_schema=features.names(),
        feature_schema_sha256=features.schema_hash(),
        onnx_sha256="",
        trained_on=(
            training_set(measured.recordings, 1.0),
            *(training_set(each.recordings, recipe.beside) for each in others),
        ),
        seed=recipe.seed,
        thresholds=Thresholds(),
        calibration=trained.calibration,
        metrics=metrics(trained, measured, Thresholds()),
        versions=versions(),
    )
    packaged = package(trained.booster, manifest, measured.original, wanted.out)
    daily = ~measured.recordings.is_fall[measured.recordings.owner]
    shown = drift.measured(measured.recordings.windows[daily], trained.likely[0, daily])
    write_reference(drift.reference(packaged.version, shown), packaged.placement, wanted.out)
    return packaged
