"""Write a trained model as the pair of files that is served: ONNX and its manifest.

Place in the flow: `processors.falls.train` hands over boosted trees; what is written here
is what `processors.falls.model` loads.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import TYPE_CHECKING, Final

import lightgbm as lgb
import msgspec
import numpy as np

from processors.falls import features
from processors.falls.manifest import Manifest, TrainingSet
from processors.falls.model import FallModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from processors.drift import Reference
    from processors.falls.recordings import Recordings

SAME: Final = 1e-5
"""Largest difference between LightGBM's and the ONNX file's scores."""


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


def package(booster: lgb.Booster, manifest: Manifest, rows: NDArray[np.float32], out: Path) -> Manifest:
    """Write `<placement>.onnx` and `<placement>.json`.

    Args:
        booster: The trees.
        manifest: What they are, but for hash and version.
        rows: Measured windows on which the file must score as the trees do.
        out: Folder of both files; made where it is missing.

    Returns:
        The manifest as written.

    Raises:
        ArithmeticError: The ONNX file scores otherwise than the trees it was made from.
    """
    onnx = to_onnx(booster)
    digest = hashlib.sha256(onnx).hexdigest()
    manifest = msgspec.structs.replace(manifest, onnx_sha256=digest, version=digest[:12])
    _check_same(booster, FallModel(manifest, onnx), rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{manifest.placement}.onnx").write_bytes(onnx)
    text = json.dumps(msgspec.to_builtins(manifest), indent=1, ensure_ascii=False)
    (out / f"{manifest.placement}.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def write_reference(reference: Reference, placement: str, out: Path) -> None:
    """Write `<placement>.reference.json` beside the pair: what drift is measured against."""
    text = json.dumps(msgspec.to_builtins(reference), indent=1)
    (out / f"{placement}.reference.json").write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of the packages that make a model."""
    return {name: importlib.metadata.version(name) for name in ("lightgbm", "onnxmltools", "onnx", "numpy")}


def training_set(recordings: Recordings, weight: float) -> TrainingSet:
    """Describe recordings that were learned from."""
    return TrainingSet(
        name=recordings.name,
        recordings=len(recordings.is_fall),
        falls=int(recordings.is_fall.sum()),
        subjects=len(np.unique(recordings.subjects)),
        windows=len(recordings.windows),
        hours=round(float(recordings.hours.sum()), 2),
        sha256=recordings.sha256,
        weight=weight,
    )


def _check_same(booster: lgb.Booster, model: FallModel, rows: NDArray[np.float32]) -> None:
    """Raise unless the packaged model scores as the trees do."""
    apart = float(np.abs(model.raw(rows) - np.asarray(booster.predict(rows, num_threads=1))).max())
    if apart > SAME:
        raise ArithmeticError(f"the ONNX scores differ from LightGBM's by {apart:.2g}, more than {SAME}")
