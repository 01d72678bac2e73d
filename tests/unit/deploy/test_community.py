from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from deploy.embedded.community import ESTATES, DemoCommunity, community
from edge import config
from edge.config import Simulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def simulated() -> DemoCommunity:
    return community()


@pytest.fixture(scope="module")
def replayed(data_dir: Path) -> DemoCommunity:
    return community(data_dir, data_dir / "pose.tflite")


@pytest.fixture(params=["simulated", "replayed"])
def demo(request: pytest.FixtureRequest) -> DemoCommunity:
    made: DemoCommunity = request.getfixturevalue(request.param)
    return made


def test_forty_flagged_residents_live_in_four_estates(demo: DemoCommunity) -> None:
    residents = demo.tables["resident"]
    assert len(residents) == len({row["name"] for row in residents}) == 40
    assert all(row["flagged"] for row in residents)
    assert set(Counter(row["estate"] for row in residents).values()) == {10}


@pytest.mark.parametrize(
    ("table", "column", "of"),
    [
        ("estate", "community", "community"),
        ("zone", "estate", "estate"),
        ("node", "estate", "estate"),
        ("device", "node", "node"),
        ("device", "zone", "zone"),
        ("resident", "home", "zone"),
        ("assignment", "device", "device"),
        ("assignment", "resident", "resident"),
        ("consent", "resident", "resident"),
    ],
)
def test_every_reference_leads_somewhere_earlier(
    demo: DemoCommunity, table: str, column: str, of: str
) -> None:
    there = {row["id"] for row in demo.tables[of]} | {None}
    assert {row[column] for row in demo.tables[table]} <= there
    names = list(demo.tables)
    assert names.index(of) < names.index(table)


def test_ids_are_unique_in_the_whole_community(demo: DemoCommunity) -> None:
    for table in ("zone", "node", "device", "resident"):
        ids = [row["id"] for row in demo.tables[table]]
        assert len(ids) == len(set(ids))


def test_every_device_of_a_box_is_registered_and_has_a_source(demo: DemoCommunity) -> None:
    registered = {(row["node"], row["id"]) for row in demo.tables["device"]}
    for node in demo.nodes:
        assert {(node.node, device.id) for device in node.devices} <= registered
        assert all(device.source in node.sources for device in node.devices if device.kind != "hub")


def test_the_boxes_files_are_valid(demo: DemoCommunity, tmp_path: Path) -> None:
    paths = demo.write_nodes(tmp_path)
    assert {config.read(path).node for path in paths.values()} == {node.node for node in demo.nodes}


def test_it_is_the_same_community_every_time() -> None:
    assert community() == community()


def test_nobody_can_be_called(demo: DemoCommunity) -> None:
    phones = [row["phone"] for row in demo.tables["resident"]] + [person.phone for person in demo.staff]
    assert all(re.fullmatch(r"000-\d{4}", phone) for phone in phones)


def test_somebody_in_every_estate_wants_no_detection_and_has_a_button_only(simulated: DemoCommunity) -> None:
    refusing = {
        row["resident"]
        for row in simulated.tables["consent"]
        if row["purpose"] == "fall_detection" and not row["granted"]
    }
    assert len(refusing) == 4
    theirs = {row["device"] for row in simulated.tables["assignment"] if row["resident"] in refusing}
    kinds = {row["kind"] for row in simulated.tables["device"] if row["id"] in theirs}
    assert kinds == {"sos_button"}


def test_what_is_simulated_is_registered_as_a_demonstration(simulated: DemoCommunity) -> None:
    assert {row["synthetic"] for row in simulated.tables["node"]} == {"demo"}


def test_what_is_replayed_is_not(replayed: DemoCommunity) -> None:
    assert {row["synthetic"] for row in replayed.tables["node"]} == {None}


def test_the_first_fall_comes_within_twenty_seconds_and_others_every_minute_or_two(
    simulated: DemoCommunity,
) -> None:
    days = [spec for node in simulated.nodes for spec in node.sources.values() if isinstance(spec, Simulator)]
    assert len(days) == len(ESTATES)
    assert min(day.first_fall_s for day in days) < 20
    assert 60 <= sum(day.fall_every_s for day in days) / len(days) / len(days) <= 120


def test_public_cameras_stand_where_the_law_has_been_asked(replayed: DemoCommunity) -> None:
    zones = {row["id"]: row for row in replayed.tables["zone"]}
    cameras = [row for row in replayed.tables["device"] if row["kind"] == "camera"]
    assert cameras
    assert all(zones[row["zone"]]["public"] and zones[row["zone"]]["legal_basis"] for row in cameras)


def test_the_cameras_playlists_can_be_played(replayed: DemoCommunity, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    paths = replayed.write_nodes(tmp_path)
    devices = [device for path in paths.values() for device in config.read(path).devices]
    for address in (device.address for device in devices if device.kind == "camera"):
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
        assert capture.grab()
        capture.release()
