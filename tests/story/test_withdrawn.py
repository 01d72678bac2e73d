"""A camera's consent is withdrawn, and the camera itself is closed: register, ingest, broker, box and back."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from edge.config import Cameras, Device, Node, View
from tests.smoke import start_box

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.story.conftest import Platform

pytestmark = [pytest.mark.story, pytest.mark.slow, pytest.mark.trust]
PROMISED_S = 60.0
WORD = """
    INSERT INTO consent (resident, purpose, granted, text_version, given_by, since)
    VALUES ('r-cuihu00', 'home_camera', %s, '1', 'self', clock_timestamp())
"""


def say(platform: Platform, *, agrees: bool) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute(WORD, [agrees])


def is_open(platform: Platform, film: Path) -> bool:
    """Whether the box's process holds the camera open, as the kernel sees it."""
    folder = Path(f"/proc/{platform.household.processes['edge'].pid}/fd")
    for link in folder.iterdir():
        try:
            if link.readlink() == film:
                return True
        except OSError:
            continue
    return False


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def home_camera(platform: Platform, film: Path) -> Node:
    """Return a box with a camera in a home, and its resident's yes."""
    node = platform.community.nodes[3]
    garden = next(device for device in node.devices if device.zone == "wangjiang-garden")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("UPDATE zone SET public = false WHERE id = %s", [garden.zone])
        connection.execute("INSERT INTO assignment (device, resident) VALUES (%s, 'r-cuihu00')", [garden.id])
    camera = Device(
        id=garden.id,
        kind="camera",
        zone=garden.zone,
        source="film",
        address=str(film),
        view=View(fps=2.0, repeat=True),
    )
    return Node(
        community=node.community,
        estate=node.estate,
        node=node.node,
        devices=[node.devices[0], camera],
        sources={"film": Cameras()},
    )


def test_a_withdrawn_consent_closes_the_camera_itself_and_a_box_that_was_away_learns_it_on_its_return(
    platform: Platform, data_dir: Path, tmp_path: Path
) -> None:
    film = tmp_path / "home.mp4"
    shutil.copy(data_dir / "upfall_video_s1" / "Activity9" / "Subject1" / "Trial1Cam1.mp4", film)
    say(platform, agrees=True)
    node = home_camera(platform, film)
    start_box(platform.household, tmp_path, node)
    assert within(60, lambda: is_open(platform, film))

    say(platform, agrees=False)
    assert within(PROMISED_S, lambda: not is_open(platform, film))
    query = "SELECT off, refused FROM node_config_state"
    assert within(20, lambda: platform.rows(query) == [([node.devices[1].id], None)])

    say(platform, agrees=True)
    assert within(PROMISED_S, lambda: is_open(platform, film))
    platform.household.processes["edge"].stop(10)
    say(platform, agrees=False)
    start_box(platform.household, tmp_path, node)
    assert within(30, lambda: is_open(platform, film) or platform.rows(query)[0][0] != [])
    assert within(PROMISED_S, lambda: not is_open(platform, film))
    assert within(20, lambda: platform.rows(query) == [([node.devices[1].id], None)])
