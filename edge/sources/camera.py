"""Every camera of a box as one source of readings.

Place in the flow: built by `edge.__main__` from the node's configuration; decodes with a
`Feed` for each camera and analyses with a `Pipeline` for each, all in one thread, so that
the pose model is loaded once and takes one core at most.  When more happens than the core can
follow, every camera is looked at a little less often: the newest frame wins.
"""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import cv2
import structlog

from edge.camera import Camera, Feed, Monotonic, Offer, Pipeline, Pose
from edge.pose import PoseModel
from edge.reading import Put, Reading
from vigil.errors import Rejected, Stop, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vigil.clock import Clock
    from vigil.events import Synthetic

HEALTH_EVERY_S: Final = 10.0
WAIT_S: Final = 0.5
"""Longest wait for a frame, so that health goes out although no frame comes."""
RETRY_S: Final = 1.0

_log = structlog.get_logger()


@dataclass(slots=True)
class _Watched:
    """A camera, what decodes it, what analyses it, and when its health was last said."""

    camera: Camera
    feed: Feed
    pipeline: Pipeline
    health_s: float = float("-inf")


class Cameras:
    """The source; ends when every camera is a file that has come to its end."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        pose: Pose | None,
        *,
        clock: Clock,
        monotonic: Monotonic,
        synthetic: Synthetic | None = None,
        rng: random.Random | None = None,
        offer: Offer | None = None,
    ) -> None:
        """Prepare; cameras are opened by `run`.

        Args:
            cameras: How each is set up.
            pose: From `load_pose`; None reports motion and the cameras' health only.
            clock: The wall clock.
            monotonic: Seconds that only grow, for frames and intervals.
            synthetic: Marks every reading, for a demonstration from files.
            rng: For the jitter between attempts to open a camera.
            offer: Takes the frames of suspicions, where they may become evidence.
        """
        self._clock = clock
        self._monotonic = monotonic
        self._synthetic = synthetic
        self._arrived = threading.Event()
        chance = rng or random.Random()
        self._watched = [
            _Watched(one, Feed(one, monotonic, self._arrived, chance), Pipeline(one, pose, offer))
            for one in cameras
        ]

    async def run(self, put: Put) -> None:
        """Hand over readings until every file has ended or the task is cancelled."""
        cv2.setNumThreads(1)
        for watched in self._watched:
            watched.feed.start()
        try:
            going = True
            while going:
                going = not all(watched.feed.ended for watched in self._watched)
                for reading in await asyncio.to_thread(self.round):
                    await _offered(reading, put)
        finally:
            await asyncio.shield(asyncio.to_thread(self._stop))

    def round(self) -> list[Reading]:
        """Wait for frames, analyse the newest of every camera, and return what they gave."""
        self._arrived.wait(WAIT_S)
        self._arrived.clear()
        return [
            Reading(found.device, found.data, found.time, self._synthetic)
            for watched in self._watched
            for found in (*self._analysed(watched), *self._health(watched))
        ]

    def _analysed(self, watched: _Watched) -> list[Reading]:
        """Analyse a camera's newest frame, or let it report what is due without one."""
        taken = watched.feed.newest()
        if taken is None:
            return watched.pipeline.wait(self._monotonic(), self._clock())
        return watched.pipeline.step(
            taken, self._clock() - timedelta(seconds=self._monotonic() - taken.time_s)
        )

    def _health(self, watched: _Watched) -> Iterator[Reading]:
        """Yield a camera's health when it is due."""
        now_s = self._monotonic()
        if now_s - watched.health_s >= HEALTH_EVERY_S:
            watched.health_s = now_s
            yield Reading(watched.camera.device, watched.pipeline.health(now_s), self._clock())

    def _stop(self) -> None:
        """End the feeds' threads."""
        for watched in self._watched:
            watched.feed.stop()


def load_pose(path: Path) -> PoseModel | None:
    """Load the pose model; without it say so in the log and return None."""
    try:
        return PoseModel(path)
    except Stop as error:
        _log.warning("cameras report motion and health only", reason=str(error))
        return None


async def _offered(reading: Reading, put: Put) -> None:
    """Hand a reading over; try again while the spool is away, give up what is refused."""
    while True:
        try:
            await put(reading)
        except Unavailable as error:
            _log.warning("a reading waits", device=reading.device, reason=str(error))
            await asyncio.sleep(RETRY_S)
        except Rejected as error:
            _log.error("a reading was refused", device=reading.device, reason=str(error))
            return
        else:
            return
