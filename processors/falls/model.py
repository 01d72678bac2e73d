"""Score impact windows with the model made for the place where the device is worn.

Place in the flow: the pipeline hands over the windows that `edge.trigger` cut;
`processors.falls.features` measures them, the packaged ONNX model scores them, and the
manifest's calibration makes probabilities of the scores for the fusion.

A model that was trained on other features, another sample rate or another file than the
one beside its manifest is refused: a score of the wrong model looks like any other.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import onnxruntime as ort

from processors.falls import features
from processors.falls.manifest import PLACEMENTS, Manifest
from vigil.errors import ModelRefused

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PACKAGED: Final = Path(__file__).parent / "models"


class FallModel:
    """A packaged model, ready to score.  Safe to share between threads; scoring releases the GIL.

    Attributes:
        manifest: What the model is, with its thresholds.
    """

    def __init__(self, manifest: Manifest, onnx: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.manifest = manifest

    @classmethod
    def load(cls, placement: str, folder: Path = PACKAGED) -> FallModel:
        """Load the model for a placement.

        Args:
            placement: `waist`, `chest` (also for pendants) or `wrist`.
            folder: Holds `<placement>.onnx` and `<placement>.json`.

        Raises:
            ModelRefused: The pair is missing, cannot be read, or does not fit this code.
        """
        if placement not in PLACEMENTS:
            raise ModelRefused(placement, f"the placements are {', '.join(PLACEMENTS)}")
        try:
            manifest = msgspec.json.decode((folder / f"{placement}.json").read_bytes(), type=Manifest)
            onnx = (folder / f"{placement}.onnx").read_bytes()
        except (OSError, msgspec.DecodeError) as error:
            raise ModelRefused(placement, error) from error
        _refuse_mismatch(placement, manifest, onnx)
        return cls(manifest, onnx)

    def score(self, windows: ArrayLike) -> NDArray[np.float64]:
        """Return the calibrated probability that each window is a fall.

        Args:
            windows: Shape (n, 200, 3), in g at 50 Hz, the peak at sample 100; n may be 0.

        Returns:
            Shape (n,).

        Raises:
            ValueError: The windows have another shape, or hold a value that is not finite.
        """
        return self.score_measured(features.measure(windows))

    def score_measured(self, measured: NDArray[np.float32]) -> NDArray[np.float64]:
        """As `score`, from what `features.measure` returned."""
        return self.manifest.calibration.apply(self.raw(measured))

    def raw(self, measured: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores before calibration, shape (n,)."""
        if not len(measured):
            return np.empty(0, np.float32)
        result: NDArray[np.float32] = self._session.run(["probabilities"], {"features": measured})[0][:, 1]
        return result


def _refuse_mismatch(placement: str, manifest: Manifest, onnx: bytes) -> None:
    """Raise unless the manifest describes this placement, this code's features and this file."""
    expected = {
        "placement": (manifest.placement, placement),
        "sample rate": (manifest.sample_rate_hz, features.RATE_HZ),
        "feature schema": (manifest.feature_schema_sha256, features.schema_hash()),
        "ONNX file": (manifest.onnx_sha256, hashlib.sha256(onnx).hexdigest()),
    }
    for what, (stated, found) in expected.items():
        if stated != found:
            raise ModelRefused(placement, f"its manifest states {what} {stated}, here it is {found}")
