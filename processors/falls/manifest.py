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


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Out-of-fold figures, by subject: every window was scored by a model that never saw its wearer.

    Attributes:
        sens: Falls found, in % of recorded falls, at the review threshold.
        spec: Recordings of daily life left alone, in %.
        precision: Falls among what was reported, in %.
        f1: Harmonic mean of `sens` and `precision`, in %.
        false_alarms_per_h: Recordings of daily life reported, per hour of daily life.
        sens_alert: As `sens`, at the alert threshold.
        false_alarms_alert: Recordings of daily life at or above the alert threshold.
        brier: Mean squared error of the calibrated probabilities, per window.
        brier_raw: The same before calibration.
        log_loss_platt: Cross-fitted surprise with Platt's calibration, in nats.
        log_loss_isotonic: The same with the isotonic one; the lower of the two is packaged.
        reliability: Probabilities against what came true.
    """

    sens: float
    spec: float
    precision: float
    f1: float
    false_alarms_per_h: float
    sens_alert: float
    false_alarms_alert: int
    brier: float
    brier_raw: float
    log_loss_platt: float
    log_loss_isotonic: float
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
