"""Say what a packaged model is, so that nothing else can be taken for it.

Place in the flow: `processors.falls.train` writes `<placement>.json` beside
`<placement>.onnx`; `processors.falls.model` refuses the pair when anything differs from
what this code measures.
"""

from __future__ import annotations

import msgspec

from processors.falls.calibration import Calibration, ReliabilityBin

PLACEMENTS = ("waist", "chest", "wrist")
"""Where a device may be worn; a pendant counts as chest."""


class TrainingSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder of recordings a model has learned from.

    Attributes:
        name: The folder's `<name>`.
        recordings: How many, falls included.
        falls: How many of them hold a fall.
        subjects: How many people wore the device.
        windows: How many windows the trigger cut.
        hours: Their length together.
        sha256: Of the file of samples, so that the very data can be recognised.
        weight: Of one of its windows; 1 for the placement's own recordings.
    """

    name: str
    recordings: int
    falls: int
    subjects: int
    windows: int
    hours: float
    sha256: str
    weight: float


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probabilities at which something happens.

    Attributes:
        alert: At once, without waiting.
        review: Wait at most 30 s for stillness or for the resident's answer; below it, kept for review.
    """

    alert: float = 0.95
    review: float = 0.5


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a threshold would have reported, counted in whole recordings.

    Attributes:
        sens: Falls found, in % of recorded falls.
        spec: Recordings of daily life left alone, in %.
        precision: Falls among what was reported, in %.
        f1: Harmonic mean of `sens` and `precision`, in %.
        false_alarms: Recordings of daily life reported.
        false_alarms_per_h: The same per hour of daily life, which was staged to be eventful.
    """

    sens: float
    spec: float
    precision: float
    f1: float
    false_alarms: int
    false_alarms_per_h: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Out-of-fold figures on the placement's own recordings.

    Attributes:
        new_people: At the review threshold, each window scored by a model that never saw its wearer.
        new_people_alert: The same at the alert threshold.
        new_activities: At the review threshold, each window scored by a model that never saw
            that kind of fall or of daily life.
        new_activities_alert: The same at the alert threshold.
        brier: Mean squared error of the calibrated probabilities, per window, new people.
        brier_new_activities: The same, new activities.
        log_loss: Cross-fitted surprise by calibration method, in nats; the lowest is packaged.
        reliability: Probabilities against what came true, over both.
    """

    new_people: Reported
    new_people_alert: Reported
    new_activities: Reported
    new_activities_alert: Reported
    brier: float
    brier_new_activities: float
    log_loss: dict[str, float]
    reliability: tuple[ReliabilityBin, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in `<placement>.json`.

    Attributes:
        placement: Where the device is worn.
        version: First twelve digits of `onnx_sha256`: events and alerts name the model by it.
        sample_rate_hz: Of the windows.
        feature_schema: Names of the columns, in order.
        feature_schema_sha256: `features.schema_hash()` at the time of training.
        onnx_sha256: Of the file beside the manifest.
        trained_on: The data.
        seed: Of everything that was left to chance.
        thresholds: When to alert, when to wait.
        calibration: From raw score to probability.
        metrics: Out-of-fold.
        versions: Of the packages that made the model.
    """

    placement: str
    version: str
    sample_rate_hz: int
    feature_schema: tuple[str, ...]
    feature_schema_sha256: str
    onnx_sha256: str
    trained_on: tuple[TrainingSet, ...]
    seed: int
    thresholds: Thresholds
    calibration: Calibration
    metrics: Metrics
    versions: dict[str, str]
