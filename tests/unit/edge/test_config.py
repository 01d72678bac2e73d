from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge import config
from edge.config import Device, Node, Simulator
from vigil.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "community": "c1",
    "estate": "e1",
    "node": "n1",
    "devices": [{"id": "d1", "kind": "pendant", "zone": "z1", "source": "day"}],
    "sources": {"day": {"kind": "simulator", "seed": 7}},
}


def parsed(**changes: Any) -> Node:
    return config.parse(msgspec.json.encode({**GOOD, **changes}))


def refused(**changes: Any) -> str:
    with pytest.raises(Rejected) as caught:
        parsed(**changes)
    assert caught.value.reason == "bad_config"
    return caught.value.detail


def test_a_good_file_says_who_and_what() -> None:
    node = parsed()
    assert node.address.source == "//vigil/c1/e1/n1"
    assert node.sources == {"day": Simulator(seed=7)}
    assert [device.id for device in node.of_source("day")] == ["d1"]


def test_the_node_is_a_device_of_its_own() -> None:
    assert parsed().devices[0] == Device(id="n1", kind="hub", model="vigil-edge")


def test_a_node_that_the_file_lists_itself_is_not_added_again() -> None:
    node = parsed(devices=[{"id": "n1", "kind": "hub", "zone": "z9"}])
    assert node.devices == [Device(id="n1", kind="hub", zone="z9")]


@pytest.mark.parametrize(
    ("kind", "placement"), [("pendant", "chest"), ("wrist_band", "wrist"), ("door", None)]
)
def test_a_wearable_is_worn_where_its_kind_implies(kind: str, placement: str | None) -> None:
    assert msgspec.convert({"id": "d1", "kind": kind}, Device).worn == placement


def a_camera(**view: Any) -> dict[str, Any]:
    return {"devices": [{"id": "c1", "kind": "camera", "view": view}]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": "no spaces please"}, "$.node"),
        ({"community": None}, "$.community"),
        ({"devices": [{"id": "d1", "kind": "toaster"}]}, "$.devices[0].kind"),
        ({"devices": [{"id": "d1"}]}, "`kind`"),
        ({"devices": [{"id": "d1", "kind": "door", "zome": "z1"}]}, "`zome`"),
        ({"devices": [{"id": "d1", "kind": "door", "source": "sun"}]}, "$.devices[0].source"),
        ({"devices": [{"id": "d1", "kind": "door"}] * 2}, "'d1' stands 2 times"),
        ({"sources": {"day": {"kind": "simulator", "speed": 0}}}, "$.sources"),
        ({"sources": {"day": {"kind": "oracle"}}}, "oracle"),
        ({"local_alarm": {"kind": "http", "url": "file:///etc/passwd"}}, "$.local_alarm.url"),
        ({"local_alarm": {"kind": "shell", "command": []}}, "$.local_alarm.command"),
        (a_camera(masks=[[[0, 0], [1, 1]]]), "$.devices[0].view.masks[0]"),
        (a_camera(masks=[[[0, 0], [640, 0], [640, 480]]]), "$.devices[0].view.masks[0][1][0]"),
        (a_camera(zones={"bed": [[0, 0], [1, 1]]}), "$.devices[0].view.zones"),
    ],
)
def test_a_bad_file_is_refused_with_the_field_that_is_wrong(changes: dict[str, Any], says: str) -> None:
    assert says in refused(**changes)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(Rejected):
        config.parse(b"\xff\xfe")


def test_an_installer_may_write_yaml(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        "community: c1\nestate: e1\nnode: n1\ndevices:\n  - {id: d1, kind: smoke, zone: kitchen}\n"
    )
    assert config.read(file).devices[1] == Device(id="d1", kind="smoke", zone="kitchen")


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"VIGIL_EDGE_CONFIG: .*nowhere\.yaml: No such file"):
        config.read(tmp_path / "nowhere.yaml")


def test_a_bad_file_is_named_with_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    file.write_text("{}")
    with pytest.raises(Misconfigured, match=r"VIGIL_EDGE_CONFIG: .*node\.json: .*community"):
        config.read(file)
