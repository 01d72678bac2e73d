"""Find the joints of up to six people in one frame.

Place in the flow: `edge.camera` hands over a frame in which something moved (masks already
burned in), this module returns key points, and `edge.tracks` joins them over time.  The
model is MoveNet MultiPose Lightning, fetched at set-up by `edge.fetch`; one thread, so that
a box's other work goes on.  No face is looked at, and the frame is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.fetch import is_pose_model
from edge.tracks import SURE, Points
from vigil.errors import Stop

if TYPE_CHECKING:
    from pathlib import Path

Frame: TypeAlias = NDArray[np.uint8]
"""BGR, shape (height, width, 3)."""

INPUT_PX: Final = 256
"""Longer side of the model's input; its authors' recommendation for speed."""
MULTIPLE_PX: Final = 32
"""Both sides of the input must be multiples of this (the model's stride)."""
PERSON: Final = 0.15
"""Score from which a find is a person; people lying on the floor score 0.2 to 0.5."""
FEWEST_JOINTS: Final = 5
"""Sure joints below which a find tells nothing about posture."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a frame lies in the model's input: scaled to width x height, the rest black."""

    width: int
    height: int
    padded_width: int
    padded_height: int


class PoseModel:
    """The loaded model; not to be called from two threads at once."""

    def __init__(self, path: Path) -> None:
        """Load the model.

        Raises:
            Stop: The file is not there or is another one, or LiteRT is not installed.
        """
        if not is_pose_model(path):
            raise Stop(f"{path} is not the pose model; run: python -m edge fetch-pose --to {path}")
        try:
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - an optional part of the box
        except ImportError as error:
            raise Stop(f"the pose model needs the package ai-edge-litert ({error})") from None
        self._net = Interpreter(model_path=str(path), num_threads=1)
        self._input = self._net.get_input_details()[0]["index"]
        self._output = self._net.get_output_details()[0]["index"]
        self._shape: tuple[int, int] | None = None

    def people(self, frame: Frame) -> list[Points]:
        """Return everybody's joints, surest person first, in frame heights on both axes."""
        fit = _fit(frame.shape[1], frame.shape[0])
        self._prepare((fit.padded_height, fit.padded_width))
        self._net.set_tensor(self._input, _input(frame, fit)[None])
        self._net.invoke()
        return people_of(
            self._net.get_tensor(self._output)[0],
            fit.padded_width / fit.height,
            fit.padded_height / fit.height,
        )

    def _prepare(self, shape: tuple[int, int]) -> None:
        """Allocate the network's memory for an input of this height and width."""
        if shape != self._shape:
            self._net.resize_tensor_input(self._input, [1, *shape, 3])
            self._net.allocate_tensors()
            self._shape = shape


def people_of(output: NDArray[np.float32], across: float, down: float) -> list[Points]:
    """Read the model's answer.

    Args:
        output: Shape (6, 56): 17 joints of y, x, confidence; a box; the person's score.
        across: Width of the model's input in frame heights.
        down: Height of the model's input in frame heights.

    Returns:
        Joints (17, 3) of x, y in frame heights and confidence, surest person first.
    """
    order = np.argsort(-output[:, 55], kind="stable")
    kept = output[order[output[order, 55] >= PERSON], :51].reshape(-1, 17, 3)
    joints = np.stack((kept[..., 1] * across, kept[..., 0] * down, kept[..., 2]), axis=-1, dtype=np.float32)
    return [points for points in joints if (points[:, 2] >= SURE).sum() >= FEWEST_JOINTS]


def _fit(width: int, height: int) -> _Fit:
    """Return how a frame of this size is laid into the model's input."""
    scale = INPUT_PX / max(width, height)
    wide, high = max(round(width * scale), 1), max(round(height * scale), 1)
    return _Fit(wide, high, -wide % MULTIPLE_PX + wide, -high % MULTIPLE_PX + high)


def _input(frame: Frame, fit: _Fit) -> Frame:
    """Return the model's input: RGB, scaled, black below and to the right."""
    small = cv2.resize(frame, (fit.width, fit.height), interpolation=cv2.INTER_AREA)
    rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    beneath, beside = fit.padded_height - fit.height, fit.padded_width - fit.width
    if beneath or beside:
        rgb = cv2.copyMakeBorder(rgb, 0, beneath, 0, beside, cv2.BORDER_CONSTANT)
    return np.asarray(rgb, np.uint8)
