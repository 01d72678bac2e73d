"""A camera from pixels to readings: real video, the real pose model, a real RTSP server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge import fetch
from edge.camera import Camera, Pipeline, Taken, recorded
from edge.pose import PoseModel
from edge.reading import Reading, check
from edge.sources.camera import Cameras
from processors.fusion import ALERT, REVIEW
from processors.posefalls.model import PoseRule
from tests.accuracy import camera as accuracy
from tests.conftest import lacking
from vigil.clock import utc_now
from vigil.errors import Unavailable
from vigil.events import DeviceHealth, PoseSuspected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from edge.picture import Frame

pytestmark = pytest.mark.integration

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
VIDEOS = Path(os.environ.get("VIGIL_DATA") or ROOT.parent / "shared/data") / "upfall_video_s1"
SERVER = "import asyncio, sys; from aio_rtsp_toolkit import server; asyncio.run(server.serve(sys.argv[1], '127.0.0.1', int(sys.argv[2])))"


def clip(activity: int, camera: int) -> Path:
    path = VIDEOS / f"Activity{activity}/Subject1/Trial1Cam{camera}.mp4"
    if not path.exists():
        lacking(f"the videos are not at {VIDEOS}")
    return path


@pytest.fixture(scope="module")
def pose() -> PoseModel:
    """The pose model, fetched as an installer does where it is not there yet."""
    path = Path(os.environ.get("VIGIL_POSE_MODEL") or ROOT / fetch.DEFAULT)
    try:
        fetch.fetch(path)
    except Unavailable as error:
        lacking(str(error))
    return PoseModel(path)


def test_a_fall_is_found_from_pixels_to_probability(pose: PoseModel) -> None:
    (event,), _ = accuracy.suspicions(clip(3, 1), pose)
    assert PoseRule.load().judge(event).score >= ALERT


def test_a_fall_is_found_while_a_second_person_sits_in_view(pose: PoseModel) -> None:
    (event,), _ = accuracy.suspicions(clip(4, 2), pose)
    assert PoseRule.load().judge(event).score >= REVIEW


def test_picking_something_up_raises_nothing(pose: PoseModel) -> None:
    found, _ = accuracy.suspicions(clip(9, 2), pose)
    assert (PoseRule.load().score(found) < REVIEW).all()


def shaken(frame: Frame, number: int) -> Frame:
    """The noise of a sensor: no two pictures of it are the same."""
    noise = np.random.default_rng(number % 7).normal(0, 2, frame.shape).astype(np.int8)
    return np.asarray(cv2.add(frame, noise, dtype=cv2.CV_8U), np.uint8)


@pytest.mark.parametrize(
    ("trouble", "change"),
    [
        ("covered", lambda frame: np.full_like(frame, 90)),
        ("defocused", lambda frame: cv2.GaussianBlur(frame, (0, 0), 8)),
        ("turned", lambda frame: np.roll(frame, 200, axis=1)),
        ("frozen", None),
    ],
)
def test_a_filmed_room_that_is_covered_defocused_turned_away_or_frozen_is_known_within_a_minute(
    trouble: str, change: Callable[[Frame], Frame] | None
) -> None:
    film = [taken.frame for taken in recorded(clip(3, 1), 2.0)]
    pipeline = Pipeline(Camera(device="c", address="unused"), None)

    def troubles(second: int) -> list[str]:
        return [one for one in pipeline.health(float(second)).trouble if one != "no_pose_model"]

    for second in range(30):
        pipeline.step(Taken(float(second), shaken(film[second % len(film)], second)), EPOCH)
        assert troubles(second) == []
    for second in range(30, 90):
        seen = film[0] if change is None else shaken(change(film[second % len(film)]), second)
        pipeline.step(Taken(float(second), seen), EPOCH)
    assert troubles(89) == [trouble]
    for second in range(90, 120):
        pipeline.step(Taken(float(second), shaken(film[second % len(film)], second)), EPOCH)
    assert troubles(119) == []


def test_a_fall_in_a_masked_area_is_not_seen_at_all(pose: PoseModel) -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    camera = Camera(device="c", address=str(clip(3, 1)), masks=(everything,))
    readings = run(Cameras([camera], pose, clock=utc_now, monotonic=time.monotonic, rng=Random(0)))
    assert {type(reading.data) for reading in readings} == {DeviceHealth}


def run(source: Cameras) -> list[Reading]:
    readings: list[Reading] = []

    async def put(reading: Reading) -> None:
        check(reading)
        readings.append(reading)

    asyncio.run(source.run(put))
    return readings


@contextlib.asynccontextmanager
async def rtsp(folder: Path, port: int) -> AsyncIterator[None]:
    """An RTSP server for the videos of a folder."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(folder), str(port), stdout=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.returncode is None, "the RTSP server has ended"
            await asyncio.sleep(0.1)
        yield
    finally:
        server.kill()
        await server.wait()


async def until(said: Callable[[], bool], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not said():  # noqa: ASYNC110 - what is said comes through a plain list
            await asyncio.sleep(0.1)


@pytest.mark.asyncio
async def test_a_network_camera_is_watched_vanishes_and_comes_back(
    pose: PoseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("aio_rtsp_toolkit") is None:
        lacking("the package aio-rtsp-toolkit[server], a small RTSP server, is not installed")
    monkeypatch.setattr("edge.sources.camera.HEALTH_EVERY_S", 0.5)
    monkeypatch.setattr("edge.camera.NO_FRAME_S", 3.0)
    shutil.copy(clip(3, 1), tmp_path / "hall.mp4")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    readings: list[Reading] = []

    async def put(reading: Reading) -> None:
        readings.append(reading)

    def troubles() -> list[str]:
        return next((r.data.trouble for r in reversed(readings) if isinstance(r.data, DeviceHealth)), ["?"])

    camera = Camera(device="hall-camera", address=f"rtsp://127.0.0.1:{port}/hall.mp4", zone="hall")
    source = Cameras([camera], pose, clock=utc_now, monotonic=time.monotonic, rng=Random(0))
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(source.run(put))
        async with rtsp(tmp_path, port):
            await until(lambda: any(isinstance(reading.data, PoseSuspected) for reading in readings))
        await until(lambda: troubles() == ["no_picture"])
        async with rtsp(tmp_path, port):
            await until(lambda: troubles() == [])
        watching.cancel()
