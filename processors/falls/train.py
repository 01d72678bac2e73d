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
3. Calibration is fitted on scores out of fold, by subject: Platt's or the isotonic one,
   whichever surprises less on subjects it was not fitted on.
4. The same data, seed and package versions give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lightgbm as lgb
import msgspec
import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from processors.falls import calibration as cal
from processors.falls import features
from processors.falls.augment import as_other_sensors
from processors.falls.manifest import PLACEMENTS, Manifest, Metrics, Thresholds, TrainingSet
from processors.falls.model import FallModel
from processors.falls.recordings import Recordings, per_recording, read, subject_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FOLDS: Final = 5
SAME: Final = 1e-5
"""Largest difference between LightGBM's and the ONNX file's scores."""
BOOSTING: Final = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_child_samples": 30,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
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
        seed: Of everything that is left to chance.
    """

    trees: int = 400
    copies: int = 3
    folds: int = FOLDS
    seed: int = 0


QUICK: Final = Recipe(trees=150, copies=0, folds=3)
"""For a look within seconds; its figures are a little lower."""


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
class Trained:
    """A model before it is packaged.

    Attributes:
        booster: The trees.
        calibration: From its scores to probabilities.
        is_fall: The windows that were learned as falls, shape (n,).
        raw: Out-of-fold scores of the training windows, shape (n,).
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


def prepare(recordings: Recordings, recipe: Recipe) -> Measured:
    """Measure the windows, and their copies as other sensors."""
    rng = np.random.default_rng(recipe.seed)
    copies = [features.measure(as_other_sensors(recordings.windows, rng)) for _ in range(recipe.copies)]
    original = features.measure(recordings.windows)
    return Measured(recordings, original, np.array(copies).reshape(-1, *original.shape))


def train(measured: Measured, recipe: Recipe) -> Trained:
    """Train and calibrate a model.

    Args:
        measured: What `prepare` returned.
        recipe: How.

    Raises:
        ValueError: There are fewer subjects than folds, or no falls.
    """
    recordings = measured.recordings
    _refuse_too_few(recordings, recipe)
    folds = subject_folds(recordings.subjects, recipe.folds, recipe.seed)[recordings.owner]
    hardest = fall_windows(recordings, np.linalg.norm(recordings.windows[:, features.PEAK], axis=1))
    is_fall = hardest | fall_windows(recordings, _out_of_fold(measured, hardest, folds, recipe))
    raw = _out_of_fold(measured, is_fall, folds, recipe)
    judged = is_fall | ~recordings.is_fall[recordings.owner]
    likely, losses = _cross_calibrated(raw, is_fall, judged, folds)
    method = min(losses, key=lambda name: losses[name])
    calibration = fit_calibration(method, raw[judged], is_fall[judged])
    booster = _fit(measured, is_fall, np.full(len(raw), fill_value=True), recipe)
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


def _fit(
    measured: Measured,
    is_fall: NDArray[np.bool_],
    among: NDArray[np.bool_],
    recipe: Recipe,
) -> lgb.Booster:
    """Boost trees on the judged windows among those given, and on their copies."""
    recordings = measured.recordings
    use = among & (is_fall | ~recordings.is_fall[recordings.owner])
    rows = np.concatenate([measured.original[use], *measured.copies[:, use]])
    truth = np.tile(is_fall[use], 1 + len(measured.copies))
    settings = BOOSTING | {"seed": recipe.seed}
    return lgb.train(settings, lgb.Dataset(rows, truth.astype(np.float32)), recipe.trees)


def _out_of_fold(
    measured: Measured, is_fall: NDArray[np.bool_], folds: NDArray[np.int64], recipe: Recipe
) -> NDArray[np.float64]:
    """Score every window by a model that never saw its wearer."""
    scores = np.zeros(len(folds))
    for fold in range(recipe.folds):
        inside = folds == fold
        booster = _fit(measured, is_fall, ~inside, recipe)
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


def _cross_calibrated(
    raw: NDArray[np.float64],
    truth: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    folds: NDArray[np.int64],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Calibrate each fold by the others, in both ways; return probabilities and surprise."""
    likely = {method: np.zeros(len(raw)) for method in ("platt", "isotonic")}
    for method, values in likely.items():
        for fold in np.unique(folds):
            inside, others = folds == fold, (folds != fold) & judged
            values[inside] = fit_calibration(method, raw[others], truth[others]).apply(raw[inside])
    losses = {method: cal.log_loss(values[judged], truth[judged]) for method, values in likely.items()}
    return likely, losses


def cross_validated(measured: Measured, recipe: Recipe) -> NDArray[np.float64]:
    """Score every window by a model trained *and calibrated* without its wearer.

    Returns:
        Calibrated probabilities, shape (n,).
    """
    recordings = measured.recordings
    fold_of = subject_folds(recordings.subjects, FOLDS, recipe.seed)
    scores = np.zeros(len(recordings.owner))
    for fold in range(FOLDS):
        inside = (fold_of == fold)[recordings.owner]
        scores[inside] = train(measured.of(fold_of != fold), recipe).score(measured.original[inside])
    return scores


def metrics(trained: Trained, measured: Measured, thresholds: Thresholds) -> Metrics:
    """Count what the out-of-fold probabilities would have reported."""
    recordings = measured.recordings
    highest = per_recording(recordings, trained.likely)
    falls, daily = recordings.is_fall, ~recordings.is_fall
    found, false = highest[falls] >= thresholds.review, highest[daily] >= thresholds.review
    # The windows beside a fall's own are not judged, as in training.
    judged = trained.is_fall | ~falls[recordings.owner]
    likely, truth = trained.likely[judged], trained.is_fall[judged]
    reported = int(found.sum() + false.sum())
    return Metrics(
        sens=round(100 * float(found.mean()), 2),
        spec=round(100 * float(1 - false.mean()), 2),
        precision=round(100 * float(found.sum()) / max(reported, 1), 2),
        f1=round(200 * float(found.sum()) / float(reported + falls.sum()), 2),
        false_alarms_per_h=round(float(false.sum() / recordings.hours[daily].sum()), 3),
        sens_alert=round(100 * float((highest[falls] >= thresholds.alert).mean()), 2),
        false_alarms_alert=int((highest[daily] >= thresholds.alert).sum()),
        brier=round(cal.brier(likely, truth), 5),
        brier_raw=round(cal.brier(trained.raw[judged], truth), 5),
        log_loss_platt=round(trained.losses["platt"], 5),
        log_loss_isotonic=round(trained.losses["isotonic"], 5),
        reliability=cal.reliability(likely, truth),
    )


def to_onnx(booster: lgb.Booster) -> bytes:
    """Convert a booster; its input is `features`, its outputs `label` and `probabilities`."""
    from onnxmltools import convert_lightgbm  # noqa: PLC0415 - slow to import, and only packaging needs it
    from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415 - as above

    shape = [("features", FloatTensorType([None, len(features.names())]))]
    graph = convert_lightgbm(
        single_precision(booster), name="falls", initial_types=shape, zipmap=False, target_opset=15
    )
    onnx: bytes = graph.SerializeToString(deterministic=True)
    return onnx


def single_precision(booster: lgb.Booster) -> lgb.Booster:
    """Round each threshold down to single precision, which changes no decision on such features.

    LightGBM compares in double precision, ONNX in single.  Rounded to the nearest, a
    threshold could pass to the other side of a feature's value.
    """
    # Without the line that states each tree's length in bytes, the trees are read one after another.
    text = booster.model_to_string().split("\n")
    lines = [line for line in text if not line.startswith("tree_sizes=")]
    rounded = [_rounded_down(line) if line.startswith("threshold=") else line for line in lines]
    return lgb.Booster(model_str="\n".join(rounded))


def _rounded_down(line: str) -> str:
    """Round the numbers of a `threshold=` line."""
    exact = np.array(line.removeprefix("threshold=").split(), np.float64)
    near = exact.astype(np.float32)
    down = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
    return "threshold=" + " ".join(repr(float(value)) for value in down)


def package(
    trained: Trained, measured: Measured, placement: str, data: Path, recipe: Recipe, out: Path
) -> Manifest:
    """Write `<placement>.onnx` and `<placement>.json`.

    Raises:
        ArithmeticError: The ONNX file scores otherwise than the trees it was made from.
    """
    onnx = to_onnx(trained.booster)
    digest = hashlib.sha256(onnx).hexdigest()
    manifest = Manifest(
        placement=placement,
        version=digest[:12],
        sample_rate_hz=features.RATE_HZ,
        feature_schema=features.names(),
        feature_schema_sha256=features.schema_hash(),
        onnx_sha256=digest,
        trained_on=(_training_set(measured.recordings, data),),
        seed=recipe.seed,
        thresholds=Thresholds(),
        calibration=trained.calibration,
        metrics=metrics(trained, measured, Thresholds()),
        versions={
            name: importlib.metadata.version(name) for name in ("lightgbm", "onnxmltools", "onnx", "numpy")
        },
    )
    _check_same(trained.booster, FallModel(manifest, onnx), measured.original)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{placement}.onnx").write_bytes(onnx)
    text = json.dumps(msgspec.to_builtins(manifest), indent=1, ensure_ascii=False)
    (out / f"{placement}.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def _training_set(recordings: Recordings, data: Path) -> TrainingSet:
    """Describe the data."""
    return TrainingSet(
        name=recordings.name,
        recordings=len(recordings.is_fall),
        falls=int(recordings.is_fall.sum()),
        subjects=len(np.unique(recordings.subjects)),
        windows=len(recordings.windows),
        hours=round(float(recordings.hours.sum()), 2),
        sha256=hashlib.sha256((data / f"{recordings.name}_50hz.npz").read_bytes()).hexdigest(),
    )


def _check_same(booster: lgb.Booster, model: FallModel, rows: NDArray[np.float32]) -> None:
    """Raise unless the packaged model scores as the trees do."""
    apart = float(np.abs(model.raw(rows) - np.asarray(booster.predict(rows, num_threads=1))).max())
    if apart > SAME:
        raise ArithmeticError(f"the ONNX scores differ from LightGBM's by {apart:.2g}, more than {SAME}")


def main(argv: Sequence[str]) -> Manifest:
    """Run the command: `--data DIR --placement P --out DIR [--seed N] [--quick]`.

    Returns:
        The manifest of the packaged model.
    """
    parser = argparse.ArgumentParser(prog="processors train falls", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--placement", choices=PLACEMENTS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the packaged model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer trees and no copies")
    wanted = parser.parse_args(argv)
    base = QUICK if wanted.quick else Recipe()
    recipe = Recipe(base.trees, base.copies, base.folds, wanted.seed)
    measured = prepare(read(wanted.data), recipe)
    return package(train(measured, recipe), measured, wanted.placement, wanted.data, recipe, wanted.out)
