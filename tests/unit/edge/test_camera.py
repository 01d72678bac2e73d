from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import pytest

from edge.camera import NO_FRAME_S, Camera, Feed, Pipeline, Shot, Taken, recorded
from edge.reading import Reading, check
from edge.sources.camera import Cameras, load_pose
from tests.unit.processors.posefalls import figure
from vigil.errors import Rejected, Unavailable
from vigil.events import DeviceHealth, PoseSuspected, SensorChanged, Stillness, encode

if TYPE_CHECKING:
    from pathlib import Path

    from edge.picture import Frame
    from edge.tracks import Points

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CAMERA = Camera(device="hall-camera", address="unused", zone="hall")
FALL = figure.film((*figure.FALLS["backwards"], (30.0, figure.ON_THE_BACK)), figure.Camera(), 90)


class Filmed:
    """Finds what a film shows, one frame of it after the other."""

    def __init__(self, film: list[tuple[float, Points]]) -> None:
        self._film = film
        self.asked = 0

    def people(self, _frame: Frame) -> list[Points]:
        self.asked += 1
        return [self._film[min(self.asked, len(self._film)) - 1][1]]


def frame(number: int) -> Frame:
    """A picture of a cluttered room, in which a bright block wanders about."""
    clutter = np.random.default_rng(0).integers(0, 160, (12, 16, 3)).astype(np.uint8)
    picture = clutter.repeat(10, axis=0).repeat(10, axis=1)
    at = (number * 7) % 120
    picture[50:90, at : at + 30] = 220
    return picture


def run(pipeline: Pipeline, seconds: float, *, moving: bool = True, begin_s: float = 0.0) -> list[Reading]:
    readings = []
    for number in range(int(seconds * 8)):
        time_s = begin_s + number / 8
        taken = Taken(time_s, frame(number if moving else 0))
        readings += pipeline.step(taken, EPOCH + timedelta(seconds=time_s))
    return readings


def of(readings: list[Reading], shape: type) -> list[Reading]:
    return [reading for reading in readings if isinstance(reading.data, shape)]


def test_a_fall_before_the_camera_becomes_one_suspicion_of_its_zone_and_time() -> None:
    (reading,) = of(run(Pipeline(CAMERA, Filmed(FALL)), 6.0), PoseSuspected)
    check(reading)
    assert isinstance(reading.data, PoseSuspected)
    assert (reading.device, reading.data.zone) == ("hall-camera", "hall")
    assert len(reading.data.keypoints) == 24
    assert reading.data.score > 0.9
    assert timedelta(seconds=1.5) < reading.time - EPOCH < timedelta(seconds=2.3)


def test_the_stillness_of_who_fell_follows_under_the_same_episode() -> None:
    readings = run(Pipeline(CAMERA, Filmed(FALL)), 28.0)
    (fall,), (still,) = of(readings, PoseSuspected), of(readings, Stillness)
    assert isinstance(fall.data, PoseSuspected)
    assert isinstance(still.data, Stillness)
    assert still.data.episode == fall.data.episode
    assert still.data.still_s >= 18


@pytest.mark.trust
def test_an_event_of_a_camera_holds_key_points_and_nothing_else() -> None:
    readings = run(Pipeline(CAMERA, Filmed(FALL)), 28.0)
    for reading in readings:
        names = set(msgspec.json.decode(encode(reading.data)))
        assert names <= {*PoseSuspected.__struct_fields__, *Stillness.__struct_fields__, "sensor", "state"}
        assert len(encode(reading.data)) < 8000


@pytest.mark.trust
def test_masks_are_black_in_what_the_pose_model_sees(tmp_path: Path) -> None:
    path = video(tmp_path / "clip.avi")
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    frames = [taken.frame for taken in recorded(path, 8.0, [left])]
    assert frames
    assert not any(picture[:, :79].any() for picture in frames)
    assert all(picture[:, 82:].any() for picture in frames)


def test_where_a_person_lies_names_the_zone() -> None:
    left, right = ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), ((0.5, 0), (1, 0), (1, 1), (0.5, 1))
    aside = [(t, points + np.array((0.4, 0, 0), np.float32)) for t, points in FALL]
    zones = msgspec.structs.replace(CAMERA, zones={"kitchen": left, "bath": right})
    (reading,) = of(run(Pipeline(zones, Filmed(aside)), 6.0), PoseSuspected)
    assert isinstance(reading.data, PoseSuspected)
    assert reading.data.zone == "bath"


def test_a_fall_is_reported_although_the_camera_is_torn_down_in_it() -> None:
    pipeline = Pipeline(CAMERA, Filmed(FALL))
    assert of(run(pipeline, 2.3), PoseSuspected) == []
    assert len(of(pipeline.wait(5.0, EPOCH + timedelta(seconds=5)), PoseSuspected)) == 1


def test_a_fall_at_the_end_of_a_recording_is_reported() -> None:
    pipeline = Pipeline(CAMERA, Filmed(FALL))
    assert of(run(pipeline, 2.6), PoseSuspected) == []
    assert len(of(pipeline.finish(EPOCH), PoseSuspected)) == 1


def test_nobody_is_sought_eight_times_a_second_while_nothing_moves() -> None:
    standing = Filmed(figure.film(((1.0, figure.STAND),), figure.Camera(), 0))
    run(Pipeline(CAMERA, standing), 60.0, moving=False)
    assert standing.asked <= 31


def test_motion_begins_and_ends_once() -> None:
    pipeline = Pipeline(CAMERA, None)
    readings = run(pipeline, 10.0) + run(pipeline, 60.0, moving=False, begin_s=10.0)
    assert [r.data.state for r in readings if isinstance(r.data, SensorChanged)] == [True, False]


def test_without_a_pose_model_the_camera_says_so_and_reports_motion(tmp_path: Path) -> None:
    assert load_pose(tmp_path / "missing.tflite") is None
    pipeline = Pipeline(CAMERA, None)
    readings = run(pipeline, 10.0)
    assert {type(reading.data) for reading in readings} == {SensorChanged}
    assert pipeline.health(10.0).trouble == ["no_pose_model"]


def test_a_camera_that_froze_says_so_within_a_minute() -> None:
    pipeline = Pipeline(CAMERA, Filmed(FALL))
    run(pipeline, 20.0)
    assert pipeline.health(20.0).trouble == []
    run(pipeline, 40.0, moving=False, begin_s=20.0)
    assert pipeline.health(60.0).trouble == ["frozen"]


def test_a_camera_that_vanished_says_how_long_ago_and_comes_back() -> None:
    pipeline = Pipeline(CAMERA, Filmed(FALL))
    assert pipeline.health(0.0).trouble == ["no_picture"]
    run(pipeline, 5.0)
    gone = pipeline.health(5.0 + NO_FRAME_S + 1)
    assert gone.trouble == ["no_picture"]
    assert gone.last_frame_s == pytest.approx(NO_FRAME_S + 1.125)
    run(pipeline, 5.0, begin_s=30.0)
    assert pipeline.health(35.0).trouble == []


def video(path: Path, seconds: float = 1.0, fps: float = 16.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (160, 120))
    for number in range(int(seconds * fps)):
        writer.write(frame(number))
    writer.release()
    return path


def test_of_a_file_of_sixteen_frames_a_second_half_are_analysed(tmp_path: Path) -> None:
    times = [taken.time_s for taken in recorded(video(tmp_path / "clip.avi"), 8.0)]
    assert times == pytest.approx([n / 8 for n in range(8)])


def test_a_feed_gives_the_newest_frame_and_each_only_once(tmp_path: Path) -> None:
    camera = Camera(device="c", address=str(video(tmp_path / "clip.avi")), fps=30)
    arrived = threading.Event()
    feed = Feed(camera, time.monotonic, arrived, Random(0))
    feed.start()
    while not feed.ended:
        arrived.wait(1.0)
    last = feed.newest()
    assert last is not None
    assert np.abs(last.frame.astype(int) - frame(15)).mean() < 5
    assert feed.newest() is None
    feed.stop()


def test_a_file_that_is_to_repeat_begins_again(tmp_path: Path) -> None:
    camera = Camera(device="c", address=str(video(tmp_path / "clip.avi", 0.25)), repeat=True)
    feed = Feed(camera, time.monotonic, threading.Event(), Random(0))
    feed.start()
    while feed.opened < 3:
        time.sleep(0.01)
    feed.stop()
    assert feed.ended


def test_a_camera_that_is_not_there_yet_is_opened_when_it_comes(tmp_path: Path) -> None:
    path, arrived = tmp_path / "clip.avi", threading.Event()
    feed = Feed(Camera(device="c", address=str(path)), time.monotonic, arrived, Random(0))
    feed.start()
    video(tmp_path / "other.avi").rename(path)
    while not feed.ended:
        arrived.wait(1.0)
    feed.stop()
    assert feed.newest() is not None


def source(tmp_path: Path) -> Cameras:
    cameras = [Camera(device=name, address=str(video(tmp_path / f"{name}.avi"))) for name in ("a", "b")]
    return Cameras(
        cameras, Filmed(FALL), clock=lambda: EPOCH, monotonic=time.monotonic, synthetic="demo", rng=Random(0)
    )


def test_several_cameras_are_one_source_that_ends_with_the_last_file(tmp_path: Path) -> None:
    readings: list[Reading] = []

    async def put(reading: Reading) -> None:
        readings.append(reading)

    asyncio.run(source(tmp_path).run(put))
    healths = [reading for reading in readings if isinstance(reading.data, DeviceHealth)]
    assert {reading.device for reading in healths} == {"a", "b"}
    assert {reading.synthetic for reading in readings} == {"demo"}


def test_a_reading_waits_for_the_spool_and_a_refused_one_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sources.camera.RETRY_S", 0.0)
    answers: list[Exception | None] = [Unavailable("spool", "full"), None, Rejected("malformed", "why")]
    taken: list[str] = []

    async def put(reading: Reading) -> None:
        if answers and (answer := answers.pop(0)) is not None:
            raise answer
        taken.append(reading.device)

    asyncio.run(source(tmp_path).run(put))
    assert answers == []
    assert len(taken) >= 1


@pytest.mark.trust
def test_the_frame_of_a_suspicion_is_offered_to_whoever_may_show_it_and_no_other_frame() -> None:
    offered: list[Shot] = []
    readings = run(Pipeline(CAMERA, Filmed(FALL), offered.append), 28.0)
    (fall,) = of(readings, PoseSuspected)
    assert isinstance(fall.data, PoseSuspected)
    (shot,) = offered
    assert (shot.device, shot.episode) == ("hall-camera", fall.data.episode)
    assert timedelta(0) < shot.at - fall.time < timedelta(seconds=3)
    assert shot.joints.shape == (17, 3)
