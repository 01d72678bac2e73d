"""Payloads as Frigate documents them (docs.frigate.video, integrations, MQTT)."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import pytest

from edge.config import Device
from edge.frigate import Seen, observed
from vigil.errors import Rejected
from vigil.events import Data, DeviceHealth, SensorChanged

TRACKED = {
    "id": "1607123955.475377-mxklsc",
    "camera": "front_door",
    "frame_time": 1607123962.082975,
    "snapshot": {"frame_time": 1607123965.975463, "box": [415, 489, 528, 700], "attributes": []},
    "label": "person",
    "sub_label": None,
    "top_score": 0.958984375,
    "false_positive": False,
    "start_time": 1607123955.475377,
    "end_time": None,
    "score": 0.87890625,
    "box": [432, 496, 544, 854],
    "current_zones": ["yard", "driveway"],
    "entered_zones": ["yard", "driveway"],
    "stationary": False,
    "attributes": {"face": 0.64},
}
REVIEWED = {
    "id": "1718987129.308396-fqk5ka",
    "camera": "front_door",
    "start_time": 1718987129.308396,
    "end_time": None,
    "severity": "alert",
    "thumb_path": "thumb-front_door-1718987129.308396-fqk5ka.webp",
    "data": {
        "detections": ["1718987128.947436-g92ztx"],
        "objects": ["person"],
        "zones": ["yard"],
        "audio": [],
    },
}


def device(kind: str, address: str, id_: str = "d1") -> Device:
    return msgspec.convert({"id": id_, "kind": kind, "address": address}, Device)


def message(name: Literal["new", "update", "end"], item: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"type": name, "before": item, "after": {**item, **changes}}).encode()


class Watcher:
    def __init__(self, *devices: Device) -> None:
        self.devices, self.seen = devices, Seen()

    def take(self, name: str, payload: bytes) -> list[Data]:
        self.seen, found = observed(self.devices, name, payload, self.seen)
        return [data for _, data in found]


def presence(*states: bool) -> list[SensorChanged]:
    return [SensorChanged(sensor="presence", state=state) for state in states]


def test_a_person_comes_and_goes() -> None:
    watcher = Watcher(device("presence", "front_door"))
    assert watcher.take("events", message("new", TRACKED)) == presence(True)
    assert watcher.take("events", message("update", TRACKED)) == []
    assert watcher.take("events", message("end", TRACKED, end_time=1607123970.0)) == presence(False)


def test_presence_lasts_until_the_last_person_has_gone() -> None:
    watcher = Watcher(device("presence", "front_door"))
    watcher.take("events", message("new", TRACKED))
    watcher.take("events", message("new", TRACKED, id="2"))
    assert watcher.take("events", message("end", TRACKED)) == []
    assert watcher.take("events", message("end", TRACKED, id="2")) == presence(False)


def test_a_person_who_leaves_a_zone_is_no_longer_there() -> None:
    watcher = Watcher(device("presence", "front_door/yard"))
    assert watcher.take("events", message("new", TRACKED, current_zones=[])) == []
    assert watcher.take("events", message("update", TRACKED)) == presence(True)
    assert watcher.take("events", message("update", TRACKED, current_zones=["driveway"])) == presence(False)


@pytest.mark.parametrize("changes", [{"label": "dog"}, {"false_positive": True}, {"camera": "garden"}])
def test_dogs_mistakes_and_other_cameras_are_nobody(changes: dict[str, Any]) -> None:
    watcher = Watcher(device("presence", "front_door"))
    assert watcher.take("events", message("new", TRACKED, **changes)) == []


def test_a_review_item_is_motion_while_it_lasts() -> None:
    watcher = Watcher(device("motion", "front_door"))
    assert watcher.take("reviews", message("new", REVIEWED)) == [SensorChanged(sensor="motion", state=True)]
    assert watcher.take("reviews", message("end", REVIEWED)) == [SensorChanged(sensor="motion", state=False)]


def test_frigate_that_stops_is_a_trouble_of_all_its_devices() -> None:
    watcher = Watcher(device("motion", "front_door"), device("presence", "garden", "d2"))
    assert watcher.take("available", b"offline") == [DeviceHealth(trouble=["Frigate is offline"])] * 2
    assert watcher.take("available", b"online") == [DeviceHealth()] * 2


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"type":"moved","after":{}}', b"\xff"])
def test_what_is_not_documented_is_refused(payload: bytes) -> None:
    with pytest.raises(Rejected):
        Watcher(device("presence", "front_door")).take("events", payload)
