"""From a recorded fall to a person who has taken it, through every room."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import Cameras, Device, Node
from edge.fetch import fetch
from tests.conftest import REPOSITORY, lacking
from tests.smoke import hurried, start_box
from tests.story import bystander
from vigil.errors import Unavailable
from vigil.topics import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.story.conftest import Platform

pytestmark = [pytest.mark.story, pytest.mark.slow]
PATIENCE_S = 150.0
GARBAGE = b"\xff not an event"


def first_fall(platform: Platform) -> dict[str, Any]:
    """Return the first fall that the officer's stream shows."""
    shown = (alert for alert in platform.officer.stream(PATIENCE_S, after=0) if alert["kind"] == "fall")
    alert = next(shown, None)
    assert alert is not None, "no fall was shown"
    return alert


def garbage_is_put_aside(platform: Platform, node: Node) -> None:
    """Send garbage until it is among the dead letters: no spool stands behind it to send it again."""
    for _ in range(30):
        publish_garbage(platform, node)
        time.sleep(1)
        if (GARBAGE, "malformed") in platform.rows("SELECT payload, reason FROM dead_letter"):
            return
    pytest.fail("garbage did not become a dead letter")


def publish_garbage(platform: Platform, node: Node) -> None:
    """Send what nobody can read, in the name of a registered device."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "story-garbage")
    client.connect(platform.stack.addresses.mqtt_host, platform.stack.addresses.mqtt_port)
    client.loop_start()
    topic = node.address.topic(Kind.EVENT, node.devices[1].id)
    client.publish(topic, GARBAGE, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()  # paho leaves its wake-up sockets to the garbage collector


@pytest.mark.trust
def test_a_recorded_fall_reaches_a_person_garbage_is_put_aside_and_nothing_on_the_way_says_who_fell(
    platform: Platform, tmp_path: Path
) -> None:
    node = hurried(platform.community.nodes[0])
    garbage_is_put_aside(platform, node)
    with bystander.listening(platform.stack) as heard:
        start_box(platform.household, tmp_path, node)
        alert = first_fall(platform)
        assert alert["resident"]["name"]
        assert platform.officer.do("acknowledge", alert).is_success
    assert platform.colleague.do("acknowledge", alert).status_code == 409
    stored = platform.rows("SELECT count(*), count(DISTINCT id) FROM event")
    assert stored[0][0] == stored[0][1]
    assert platform.rows("SELECT holder FROM alert WHERE kind = 'fall'")[0] == ("person:officer",)
    nobody_is_named(platform, heard)


def nobody_is_named(platform: Platform, heard: list[tuple[str, bytes]]) -> None:
    """Look for people in every topic, and in every table that is not there to know them."""
    known = bystander.people(platform.dsn)
    produced = asyncio.run(bystander.records(platform.stack.addresses.kafka_bootstrap))
    assert any("/alarm/" in topic for topic, _ in heard)
    assert any(topic == "vigil.alarm.v1" for topic, _ in produced)
    assert bystander.leaks(known, [*heard, *produced], bus=True) == []
    assert bystander.leaks(known, bystander.rows(platform.dsn), bus=False) == []


@pytest.mark.trust
@pytest.mark.parametrize(
    "said", ["{'name': '王秀英'}", "tel 13900000001", "home of r-1.", "11010519491231002X", "x/9j/4AAQ"]
)
def test_who_looks_for_people_would_find_them(said: str) -> None:
    known = bystander.People(frozenset({"王秀英", "13900000001"}), frozenset({"r-1"}))
    assert bystander.leaks(known, [("a topic", said.encode())], bus=True)
    assert not bystander.leaks(known, [("a topic", b"node r-12, device r-1-2, 2026-11-24")], bus=True)


def test_a_filmed_fall_in_a_public_place_is_raised_for_the_place(
    platform: Platform, data_dir: Path, tmp_path: Path
) -> None:
    start_box(platform.household, tmp_path, filmed(platform.community.nodes[3], data_dir, pose_model()))
    alert = first_fall(platform)
    assert alert["resident"] is None
    assert alert["place"]["zone"] == "wangjiang-garden"
    assert "Camera" in alert["summary"]["en"]
    assert platform.officer.do("acknowledge", alert).is_success


def filmed(node: Node, data: Path, model: Path) -> Node:
    """Return a box with one camera that plays one recorded fall."""
    video = data / "upfall_video_s1" / "Activity1" / "Subject1" / "Trial1Cam1.mp4"
    hub, *cameras = node.devices
    garden = next(camera for camera in cameras if camera.zone == "wangjiang-garden")
    camera = Device(id=garden.id, kind="camera", zone=garden.zone, source="film", address=str(video))
    return Node(
        community=node.community,
        estate=node.estate,
        node=node.node,
        devices=[hub, camera],
        sources={"film": Cameras(pose_model=str(model))},
    )


def pose_model() -> Path:
    """Return the cameras' model, fetched once."""
    model = REPOSITORY / "var" / "models" / "movenet.tflite"
    try:
        fetch(model)
    except Unavailable as error:
        lacking(f"the pose model cannot be fetched: {error}")
    return model
