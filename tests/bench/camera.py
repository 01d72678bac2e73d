"""What cameras cost a box: `measure()` for `make bench-edge`, or by itself.

    python -m tests.bench.camera

Place in the flow: runs `edge.camera.Pipeline` on real video ($VIGIL_DATA/upfall_video_s1, else
../shared/data) with the fetched pose model ($VIGIL_POSE_MODEL, else var/models).  Times are of
the process's CPU clock, so that a busy machine measures alike.

- `pose_fps`: frames a second of a core that are decoded, gated, searched for people and
  tracked.
- `cameras_per_core`: seconds of a camera's life, with motion in a tenth of them, that a core
  analyses in a second, at 8 frames a second out of 18 decoded.  The still nine tenths are the
  clip's first frame under fresh sensor noise, decoded from a real file; the moving tenth is a
  real fall.
- `cameras_missed`: falls among them without a suspicion.
- `rss_camera_mb`: peak resident memory of a process with the node's code and one camera.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from edge import fetch
from edge.camera import Camera, Pipeline, Taken, recorded
from edge.pose import PoseModel
from vigil.events import PoseSuspected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.picture import Frame
    from edge.tracks import Points

ROOT: Final = Path(__file__).resolve().parents[2]
EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
FPS: Final = 8.0
NOISE: Final = 2.0
"""Standard deviation of the sensor's noise, in grey levels: a dim room."""
CLIPS: Final = ("Activity1/Subject1/Trial1Cam2.mp4", "Activity4/Subject1/Trial1Cam1.mp4")

_CHILD: Final = """
import asyncio, sys, time
from pathlib import Path
import edge.box
from edge.camera import Camera
from edge.sources.camera import Cameras, load_pose
from vigil.clock import utc_now

async def put(reading): pass

cameras = [Camera(device="camera", address=sys.argv[1])]
source = Cameras(cameras, load_pose(Path(sys.argv[2])), clock=utc_now, monotonic=time.monotonic)
asyncio.run(source.run(put))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def recordings() -> Path:
    """The folder of videos; it need not be there."""
    return Path(os.environ.get("VIGIL_DATA") or ROOT.parent / "shared/data") / "upfall_video_s1"


def pose_model() -> Path:
    """Where the pose model lies; it need not be there."""
    return Path(os.environ.get("VIGIL_POSE_MODEL") or ROOT / fetch.DEFAULT)


class CountedPose:
    """The pose model, and how often it was asked."""

    def __init__(self, model: PoseModel) -> None:
        self._model = model
        self.asked = 0

    def people(self, frame: Frame) -> list[Points]:
        self.asked += 1
        return self._model.people(frame)


def pose_fps(clip: Path, model: PoseModel) -> float:
    """Return the frames a second of a core in which people were sought; what the gate left out does not count."""
    counted = CountedPose(model)
    pipeline = Pipeline(Camera(device="camera", address=str(clip)), counted)
    began = time.process_time()
    for taken in recorded(clip, 30.0):
        pipeline.step(taken, EPOCH + timedelta(seconds=taken.time_s))
    return counted.asked / (time.process_time() - began)


def life(clip: Path) -> Iterator[Taken]:
    """Yield a camera's frames: still for nine times as long as the clip, then the clip."""
    moving = list(recorded(clip, FPS))
    still_s = 9 * moving[-1].time_s
    noise = np.random.default_rng(0).normal(0, NOISE, (8, *moving[0].frame.shape)).astype(np.int8)
    decoded = _for_ever(clip)
    for count in range(int(still_s * FPS)):
        next(decoded)
        noisy = cv2.add(moving[0].frame, noise[count % len(noise)], dtype=cv2.CV_8U)
        yield Taken(count / FPS, np.asarray(noisy, np.uint8))
    yield from (Taken(still_s + taken.time_s, taken.frame) for taken in moving)


def _for_ever(clip: Path) -> Iterator[Taken]:
    while True:
        yield from recorded(clip, FPS)


def one_camera(clip: Path, pose: PoseModel) -> tuple[float, float, bool]:
    """Return seconds of a camera's life, what they took of a core, and whether the fall was suspected."""
    pipeline = Pipeline(Camera(device="camera", address=str(clip)), pose)
    suspected, taken, began = False, None, time.process_time()
    for taken in life(clip):
        readings = pipeline.step(taken, EPOCH + timedelta(seconds=taken.time_s))
        suspected |= any(isinstance(reading.data, PoseSuspected) for reading in readings)
    assert taken is not None
    return taken.time_s, time.process_time() - began, suspected


def rss_mb(clip: Path, model: Path) -> float:
    """Return the peak resident memory of a process with one camera."""
    command = [sys.executable, "-c", _CHILD, str(clip), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split()[-1]) / 1024


def measure() -> dict[str, Any]:
    """Return the cameras' figures; each is None where the videos or the pose model are missing."""
    clips, model = [recordings() / clip for clip in CLIPS], pose_model()
    names = ("pose_fps", "cameras_per_core", "cameras_missed", "rss_camera_mb")
    if not fetch.is_pose_model(model) or not all(clip.exists() for clip in clips):
        print(f"cameras are not measured: {model} or {recordings()} is missing")
        return dict.fromkeys(names)
    cv2.setNumThreads(1)
    pose = PoseModel(model)
    lives = [one_camera(clip, pose) for clip in clips]
    lived, spent = sum(life[0] for life in lives), sum(life[1] for life in lives)
    missed = sum(not life[2] for life in lives)
    fps, memory = pose_fps(clips[0], pose), rss_mb(clips[0], model)
    return dict(zip(names, (round(fps, 1), round(lived / spent, 1), missed, round(memory, 1)), strict=True))


if __name__ == "__main__":
    print(json.dumps(measure()))
