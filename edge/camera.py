"""One camera: get its newest frame, and make of it what may leave the box.

Place in the flow: `edge.sources.camera` runs a `Feed` and a `Pipeline` for every camera.  A
`Feed` decodes in a thread of its own, so that a camera which hangs holds up nobody, and
burns the privacy masks in before a frame is handed on.  A `Pipeline` decides nothing but by
`edge.picture`, `edge.tracks` and `edge.vision`; what it returns are key points and
measures, never pixels.  Where the box may show a frame as evidence, the one in which a fall was
suspected is offered to `edge.evidence` beside that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeAlias

import cv2
import numpy as np
from msgspec import Meta, Struct

from edge import picture, tracks, vision
from edge.picture import Frame, Polygon
from edge.reading import Reading
from vigil.events import DeviceHealth, Id, PoseSuspected, SensorChanged, Stillness

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOOK_EVERY_S: Final = 1.0
"""How often the picture's health is judged."""
POSE_AFTER_MOTION_S: Final = 1.5
"""Poses are sought for as long as this after the last motion."""
POSE_WHEN_STILL_S: Final = 2.0
"""And this often while nothing moves, so that a still person's track is at hand when they fall."""
CALM_S: Final = 30.0
"""Seconds without motion after which the camera reports that motion has ended."""
SETTLING_S: Final = 3.0
"""The background is being learnt: what moves in these first seconds is not reported."""
NO_FRAME_S: Final = 10.0
"""Without a frame for so long the camera is reported as having no picture."""
OPEN_MS: Final = 5_000
"""Patience with opening and reading a network camera."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
"""Between attempts to open a camera: doubling from the first to the longest, each with jitter."""
ASSUMED_FPS: Final = 25.0
"""Of a file that does not say."""

Monotonic: TypeAlias = Callable[[], float]
"""Returns seconds that only grow."""


class Camera(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a camera is set up, as it stands in the node's configuration.

    Attributes:
        device: Its id.
        address: A path, an `rtsp://` address, or the number of a USB camera.
        fps: Frames a second that are analysed.
        masks: Private areas, as corners in fractions of the frame; blackened in every frame.
        zones: Areas by the zone's id; a suspicion bears the zone it happened in.
        zone: The zone of whatever lies in none of them.
        repeat: A file begins again at its end.
    """

    device: Id
    address: str
    fps: Annotated[float, Meta(ge=1, le=30)] = 8.0
    masks: tuple[Polygon, ...] = ()
    zones: dict[Id, Polygon] = {}
    zone: Id | None = None
    repeat: bool = False


class Pose(Protocol):
    """Finds everybody's joints in a frame, in frame heights; `edge.pose.PoseModel` does."""

    def people(self, frame: Frame) -> list[tracks.Points]:
        """Return joints (17, 3) of each person, surest first."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame, its masks burned in, taken at `time_s` of the monotonic clock."""

    time_s: float
    frame: Frame


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """The frame in which a fall was suspected, and who fell; it is seen by nobody as it is.

    Attributes:
        device: The camera.
        episode: The suspicion's.
        at: When it was taken, by the wall clock.
        frame: Its masks burned in; only to be read.
        joints: The person's, in frame heights.
    """

    device: str
    episode: str
    at: datetime
    frame: Frame
    joints: tracks.Points


Offer: TypeAlias = Callable[[Shot], None]
"""Takes the frame of a suspicion; never raises."""


class Pipeline:
    """Makes readings of one camera's frames; not to be called from two threads at once."""

    def __init__(self, camera: Camera, pose: Pose | None, offer: Offer | None = None) -> None:
        """Start with an empty picture.

        Args:
            camera: How the camera is set up.
            pose: None where the box has no pose model: then only motion is reported.
            offer: Takes the frame of a suspicion; None, and no frame is ever looked at again.
        """
        self._camera = camera
        self._pose = pose
        self._offer = offer
        self._motion = picture.Motion()
        self._health = picture.Health()
        self._tracks = tracks.Tracks()
        self._watch = vision.Watch()
        self._rests: dict[str, vision.Rest] = {}
        self._begun_s: float | None = None
        self._frame_s = self._look_s = self._pose_s = self._moved_s = -np.inf
        self._moving = False
        self._aspect = 1.0

    def step(self, taken: Taken, at: datetime) -> list[Reading]:
        """Look at a frame.

        Args:
            taken: The frame; only read, and not kept.
            at: The same moment by the wall clock.
        """
        self._frame_s = taken.time_s
        self._begun_s = taken.time_s if self._begun_s is None else self._begun_s
        if taken.time_s - self._look_s >= LOOK_EVERY_S:
            self._health = picture.step(self._health, picture.look(taken.frame), taken.time_s)
            self._look_s = taken.time_s
        if self._motion.share(taken.frame) >= picture.MOVING:
            self._moved_s = taken.time_s
        return [*self._moves(taken.time_s, at), *self._falls(taken, at)]

    def wait(self, time_s: float, at: datetime) -> list[Reading]:
        """Report what is due although no frame has come: a camera may be torn down in a fall.

        Args:
            time_s: The present, of the clock that frames are stamped with.
            at: The same moment by the wall clock.
        """
        return [*self._suspicions(time_s, at), *self._still(time_s, at)]

    def finish(self, at: datetime) -> list[Reading]:
        """Report what is open when a recording ends at `at`, without waiting for what follows."""
        return list(self._suspicions(self._frame_s + vision.AFTER_S, at + timedelta(seconds=vision.AFTER_S)))

    def health(self, now_s: float) -> DeviceHealth:
        """Say how the camera is, at `now_s` of the clock that frames are stamped with."""
        seen = self._health.look
        age = now_s - self._frame_s if seen else None
        silent = ["no_picture"] if age is None or age > NO_FRAME_S else []
        blind = [] if self._pose else ["no_pose_model"]
        return DeviceHealth(
            last_frame_s=age,
            picture_change=self._health.change,
            brightness=seen.brightness if seen else None,
            blur=self._health.blur,
            shift=self._health.shift,
            trouble=[*silent, *([] if silent else self._health.trouble), *blind],
            zone=self._camera.zone,
        )

    def _moves(self, time_s: float, at: datetime) -> Iterator[Reading]:
        """Yield the beginning of motion, and its end after `CALM_S` of calm."""
        settling = self._begun_s is None or time_s - self._begun_s < SETTLING_S
        moving = time_s - self._moved_s < (CALM_S if self._moving else picture_period(self._camera))
        if moving != self._moving and not settling:
            self._moving = moving
            changed = SensorChanged(sensor="motion", state=moving, zone=self._camera.zone)
            yield Reading(self._camera.device, changed, at)

    def _falls(self, taken: Taken, at: datetime) -> Iterator[Reading]:
        """Yield the suspicions that are due, and the stillness after earlier ones."""
        if self._pose is not None:
            height, width = taken.frame.shape[:2]
            self._aspect = width / height
            self._follow(self._pose, taken)
            yield from self._suspicions(taken.time_s, at, taken.frame)
            yield from self._still(taken.time_s, at)

    def _suspicions(self, time_s: float, at: datetime, frame: Frame | None = None) -> Iterator[Reading]:
        """Yield the suspicions that are due; `frame` is the present one, where there is one."""
        self._watch, found = vision.step(self._watch, self._tracks, time_s, self._camera.fps)
        for suspicion in found:
            when = at - timedelta(seconds=time_s - suspicion.dropped_s)
            data = pose_suspected(self._camera, suspicion, self._aspect, when)
            self._rests[data.episode] = vision.Rest(suspicion.track, time_s)
            if self._offer and frame is not None:
                self._offer(Shot(self._camera.device, data.episode, at, frame, suspicion.frames[-1]))
            yield Reading(self._camera.device, data, when)

    def _follow(self, pose: Pose, taken: Taken) -> None:
        """Bring the tracks up to date, looking for people only where something may have moved."""
        stirred = taken.time_s - self._moved_s <= POSE_AFTER_MOTION_S
        overdue = taken.time_s - self._pose_s >= POSE_WHEN_STILL_S
        if stirred or overdue or self._watch.open:
            self._pose_s = taken.time_s
            self._tracks = tracks.step(self._tracks, pose.people(taken.frame), taken.time_s)
        else:
            self._tracks = tracks.still(self._tracks, taken.time_s)

    def _still(self, time_s: float, at: datetime) -> Iterator[Reading]:
        """Watch everybody under suspicion, and yield those watched for long enough."""
        self._rests = {name: vision.rest(rest, self._tracks, time_s) for name, rest in self._rests.items()}
        for name in [name for name, rest in self._rests.items() if rest.over(time_s)]:
            rest = self._rests.pop(name)
            data = Stillness(
                episode=name, still_s=rest.still_s, watched_s=rest.watched_s, zone=self._camera.zone
            )
            yield Reading(self._camera.device, data, at)


def picture_period(camera: Camera) -> float:
    """Return the seconds between two analysed frames, with room for a late one."""
    return 1.5 / camera.fps


def pose_suspected(
    camera: Camera, suspicion: vision.Suspicion, aspect: float, when: datetime
) -> PoseSuspected:
    """Return the event of a suspicion: key points in thousandths of the frame, and no pixel."""
    joints = np.stack(suspicion.frames)
    scaled = np.rint(joints * (1000 / aspect, 1000, 100)).clip(-1000, 2000).astype(int)
    return PoseSuspected(
        keypoints=scaled.reshape(len(scaled), -1).tolist(),
        rate_hz=camera.fps,
        aspect=aspect,
        track=suspicion.track,
        episode=f"{camera.device}.{int(when.timestamp() * 1000)}.{suspicion.track}",
        score=suspicion.score,
        model=vision.MODEL,
        model_version=vision.MODEL_VERSION,
        zone=zone_of(camera, suspicion.frames[-1], aspect),
    )


def zone_of(camera: Camera, points: tracks.Points, aspect: float) -> Id | None:
    """Return the zone in which the middle of a person's joints lies."""
    x, y = np.median(points[:, :2], axis=0).tolist()
    inside = (name for name, area in camera.zones.items() if picture.inside(area, x / aspect, y))
    return next(inside, camera.zone)


def recorded(path: Path, fps: float, masks: Sequence[Polygon] = ()) -> Iterator[Taken]:
    """Yield a file's frames at about `fps` a second, as fast as they can be decoded, from 0 s on."""
    capture = _open(str(path))
    period = 1 / _fps(capture)
    due, number = 0.0, 0
    try:
        while capture.grab():
            time_s = number * period
            number += 1
            if time_s >= due and (frame := _retrieved(capture, masks)) is not None:
                due = max(due + 1 / fps, time_s - 1 / fps)
                yield Taken(time_s, frame)
    finally:
        capture.release()


class Feed:
    """Keeps the newest frame of a camera at hand; reconnects for as long as it runs."""

    def __init__(
        self, camera: Camera, monotonic: Monotonic, arrived: threading.Event, rng: random.Random
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            camera: Which camera.
            monotonic: Stamps the frames.
            arrived: Set whenever there is a new frame, or there will be no more.
            rng: For the jitter between attempts.
        """
        self._camera = camera
        self._monotonic = monotonic
        self._arrived = arrived
        self._rng = rng
        self._newest: Taken | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.device}", daemon=True)
        self.opened = 0
        self.ended = False

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the read in progress: a dead network camera takes `OPEN_MS`."""
        self._stop.set()
        self._thread.join()

    def newest(self) -> Taken | None:
        """Take the newest frame, or None where there is no newer one than last time."""
        with self._lock:
            taken, self._newest = self._newest, None
        return taken

    def _run(self) -> None:
        """Open, decode until the picture ends, wait, open again."""
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            came = self._decoded()
            if came and _is_file(self._camera.address) and not self._camera.repeat:
                break
            wait_s = FIRST_WAIT_S if came else min(2 * wait_s, LONGEST_WAIT_S)
            self._stop.wait(0.0 if came and self._camera.repeat else wait_s * self._rng.uniform(0.75, 1.25))
        self.ended = True
        self._arrived.set()

    def _decoded(self) -> bool:
        """Decode until the picture ends; tell whether any frame came."""
        capture = _open(self._camera.address)
        period = 1 / _fps(capture) if _is_file(self._camera.address) else 0.0
        begun_s = due = self._monotonic()
        number = 0
        self.opened += capture.isOpened()
        while not self._stop.is_set() and capture.grab():
            number += 1
            if (now := self._monotonic()) >= due:
                due = max(due + 1 / self._camera.fps, now)
                self._keep(_retrieved(capture, self._camera.masks))
            if (early := begun_s + number * period - self._monotonic()) > 0:
                self._stop.wait(early)
        capture.release()
        return number > 0

    def _keep(self, frame: Frame | None) -> None:
        """Put a frame in the place of an older one."""
        if frame is None:
            return
        with self._lock:
            self._newest = Taken(self._monotonic(), frame)
        self._arrived.set()


def _is_file(address: str) -> bool:
    """Tell a file from a network camera and from a USB camera."""
    return "://" not in address and not address.isdigit()


def _open(address: str) -> cv2.VideoCapture:
    """Open a camera with one thread and bounded patience; one that fails gives no frames."""
    if address.isdigit():
        return cv2.VideoCapture(int(address))
    patience = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_MS]
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*patience, cv2.CAP_PROP_N_THREADS, 1])


def _fps(capture: cv2.VideoCapture) -> float:
    """Return the frames a second that a file says it has."""
    said = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
    return said if 0 < said <= 240 else ASSUMED_FPS


def _retrieved(capture: cv2.VideoCapture, masks: Sequence[Polygon]) -> Frame | None:
    """Return the frame just grabbed with the masks burned in; None where it cannot be decoded."""
    whole, frame = capture.retrieve()
    return picture.burn(np.asarray(frame, np.uint8), masks) if whole else None
