"""Measure the camera's fall detection on a folder of videos, the whole way from pixels.

    python tests/accuracy/camera.py DIR                   every trial that is there
    python tests/accuracy/camera.py DIR --trials 2        the trial the rule was not chosen on

DIR holds `ActivityN/SubjectS/TrialTCamC.mp4` as UP-Fall does: activities 1 to 5 are falls, the
others daily life; videos that differ only in the camera are of one event.

Place in the flow: `edge.camera.recorded` decodes, `edge.camera.Pipeline` finds people and
suspicions exactly as on a box, `processors.posefalls` judges them and `processors.fusion`
joins the cameras, exactly as on the platform; `make accuracy` calls it.

Protocol: a video is reported when any of its suspicions scores at or above the review
threshold, 0.5; a fall without a suspicion is a miss.  A pair is reported when fusion says
so of its cameras' highest scores.  Where two people fall, or in which second, is not judged.
`ci95` is of the sensitivity (Wilson); with one subject it says nothing about other people.

The pose model (`--pose-model`, else $VIGIL_POSE_MODEL, else var/models) must have been fetched.
Poses are kept by the hash of their frame in the system's temporary folder.

The last line is JSON; `fused_*` are the pairs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

# Run as a script from anywhere, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge import fetch
from edge.camera import Camera, Pipeline, Pose, recorded
from edge.pose import PoseModel
from processors import fusion
from processors.posefalls.model import PoseRule
from vigil.events import PoseSuspected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.picture import Frame
    from edge.tracks import Points

FALLS: Final = frozenset({1, 2, 3, 4, 5})
EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Video:
    """One file, and what its name says of it."""

    path: Path
    activity: int
    subject: int
    trial: int
    camera: int

    @property
    def is_fall(self) -> bool:
        return self.activity in FALLS

    @property
    def event(self) -> tuple[int, int, int]:
        return self.activity, self.subject, self.trial


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a video: the score of each suspicion, and its length."""

    video: Video
    scores: tuple[float, ...]
    hours: float

    @property
    def highest(self) -> float:
        return max(self.scores, default=0.0)


class RememberedPose:
    """Asks the pose model once for each frame, and keeps what it said for the next run."""

    def __init__(self, model: Pose, folder: Path) -> None:
        self._model = model
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def people(self, frame: Frame) -> list[Points]:
        key = hashlib.sha256(fetch.SHA256.encode() + str(frame.shape).encode() + frame.tobytes()).hexdigest()
        path = self._folder / f"{key}.npy"
        if not path.exists():
            found = np.array(self._model.people(frame), np.float32).reshape(-1, 17, 3)
            partial = path.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, found)
            partial.replace(path)
        return list(np.load(path))


def videos(folder: Path, trials: Iterable[int] | None = None) -> list[Video]:
    """Return the folder's videos, by activity, subject, trial and camera."""
    name = re.compile(r"Activity(\d+)/Subject(\d+)/Trial(\d+)Cam(\d+)\.mp4$")
    found = [
        (path, name.search(path.as_posix())) for path in folder.glob("Activity*/Subject*/Trial*Cam*.mp4")
    ]
    every = [Video(path, *map(int, match.groups())) for path, match in found if match]
    wanted = None if trials is None else set(trials)
    chosen = [video for video in every if wanted is None or video.trial in wanted]
    return sorted(chosen, key=lambda video: (*video.event, video.camera))


def suspicions(video: Path, pose: Pose, fps: float = 8.0) -> tuple[list[PoseSuspected], float]:
    """Return what the edge suspects in a video, and the video's length in seconds."""
    pipeline = Pipeline(Camera(device="camera", address=str(video), fps=fps), pose)
    readings, end_s = [], 0.0
    for taken in recorded(video, fps):
        end_s = taken.time_s
        readings += pipeline.step(taken, EPOCH + timedelta(seconds=end_s))
    readings += pipeline.finish(EPOCH + timedelta(seconds=end_s))
    return [reading.data for reading in readings if isinstance(reading.data, PoseSuspected)], end_s


def measure(video: Video, pose: Pose, rule: PoseRule) -> Result:
    """Return what the edge and the platform make of a video."""
    found, length_s = suspicions(video.path, pose)
    return Result(video, tuple(rule.score(found).tolist()), length_s / 3600)


def fused(results: Sequence[Result]) -> list[Result]:
    """Join the cameras of each event as the platform does; its hours count once."""
    pairs: dict[tuple[int, int, int], list[Result]] = {}
    for result in results:
        pairs.setdefault(result.video.event, []).append(result)
    return [_joined(cameras) for cameras in pairs.values()]


def _joined(cameras: Sequence[Result]) -> Result:
    seen = {f"camera{result.video.camera}": result.highest for result in cameras if result.scores}
    likely = fusion.probability(fusion.Episode(last=EPOCH, cameras=seen)) if seen else 0.0
    return Result(cameras[0].video, (likely,), max(result.hours for result in cameras))


def figures(results: Sequence[Result]) -> dict[str, object]:
    """Return the figures of the last line, in %; None where nothing was to be counted."""
    falls = np.array([result.video.is_fall for result in results])
    reported = np.array([result.highest >= fusion.REVIEW for result in results])
    hours = sum(result.hours for result in results if not result.video.is_fall)
    false_alarms = int((reported & ~falls).sum())
    return _counted(falls, reported) | {
        "false_alarms": false_alarms,
        "false_alarms_per_h": round(false_alarms / hours, 3) if hours else None,
        "hours": round(hours, 3),
        "n": len(results),
        "ci95": interval(int((reported & falls).sum()), int(falls.sum())),
    }


def _counted(falls: np.ndarray, reported: np.ndarray) -> dict[str, float | None]:
    found, false = int((reported & falls).sum()), int((reported & ~falls).sum())
    every, daily = int(falls.sum()), int((~falls).sum())
    return {
        "sens": _percent(found, every),
        "spec": _percent(daily - false, daily),
        "precision": _percent(found, found + false),
        "f1": _percent(2 * found, found + false + every),
    }


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def interval(found: int, every: int) -> list[float | None]:
    """Return the 95% interval of a share in %, after Wilson (1927): honest also at 0 and 100%."""
    if not every:
        return [None, None]
    share, z = found / every, 1.96
    middle = (share + z * z / (2 * every)) / (1 + z * z / every)
    half = z / (1 + z * z / every) * math.sqrt(share * (1 - share) / every + (z / (2 * every)) ** 2)
    return [round(100 * max(middle - half, 0.0), 2), round(100 * min(middle + half, 1.0), 2)]


def table(results: Sequence[Result], title: str) -> None:
    """Print a line for each result."""
    print(f"{title:22} {'kind':6} {'suspicions':>10} {'highest':>8}  verdict")
    for result in results:
        video = result.video
        name = f"A{video.activity} S{video.subject} T{video.trial}" + (
            f" C{video.camera}" if title == "video" else ""
        )
        right = (result.highest >= fusion.REVIEW) == video.is_fall
        kind = "fall" if video.is_fall else "daily"
        verdict = "right" if right else ("MISSED" if video.is_fall else "FALSE ALARM")
        print(f"{name:22} {kind:6} {len(result.scores):10} {result.highest:8.3f}  {verdict}")


def main(argv: Sequence[str]) -> dict[str, object]:
    """Measure as the command line says, and print."""
    default = Path(os.environ.get("VIGIL_POSE_MODEL", fetch.DEFAULT))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--trials", type=int, nargs="*", help="only these trials")
    parser.add_argument("--pose-model", type=Path, default=default)
    chosen = parser.parse_args(argv)
    cv2.setNumThreads(1)
    remembered = Path(tempfile.gettempdir()) / "vigil-poses"
    pose, rule = RememberedPose(PoseModel(chosen.pose_model), remembered), PoseRule.load()
    results = [measure(video, pose, rule) for video in videos(chosen.folder, chosen.trials)]
    pairs = fused(results)
    table(results, "video")
    table(pairs, "fused")
    print(f"rule {rule.manifest.version}, chosen on: {rule.manifest.chosen_on}")
    last = figures(results) | {f"fused_{name}": value for name, value in figures(pairs).items()}
    print(json.dumps(last))
    return last


if __name__ == "__main__":
    main(sys.argv[1:])
