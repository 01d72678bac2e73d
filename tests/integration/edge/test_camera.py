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
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from edge import fetch
from edge.camera import Camera
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

pytestmark = pytest.mark.integration

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
