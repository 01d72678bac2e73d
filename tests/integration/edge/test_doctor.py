from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from edge.doctor import Finding, examine, told
from edge.timesync import Instant
from tests.unit.edge.parts import START, opened, reading
from vigil.settings import EdgeSettings
from vigil.topics import Lane

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Stack

pytestmark = pytest.mark.integration

GOOD: dict[str, Any] = {
    "community": "c1",
    "estate": "e1",
    "node": "n1",
    "spool_max_mb": 1,
    "devices": [{"id": "d1", "kind": "pendant", "zone": "z1", "source": "day"}],
    "sources": {"day": {"kind": "simulator"}},
}


class Patient:
    """A box to be examined."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.file, self.spool = folder / "node.json", folder / "spool.db"
        self.host, self.port = stack.addresses.mqtt_host, stack.addresses.mqtt_port
        self.describe()

    def describe(self, **changes: Any) -> None:
        self.file.write_text(json.dumps({**GOOD, **changes}))

    def findings(self, now: Instant = START) -> list[Finding]:
        settings = EdgeSettings(
            edge_config=self.file,
            edge_spool=self.spool,
            mqtt_host=self.host,
            mqtt_port=self.port,
        )
        return list(examine(settings, now))

    def problems(self, now: Instant = START) -> str:
        return "\n".join(finding.what for finding in self.findings(now) if not finding.well)


@pytest.fixture
def patient(tmp_path: Path, stack: Stack) -> Patient:
    return Patient(tmp_path, stack)


def test_a_box_that_is_well_has_nothing_to_be_put_right(patient: Patient) -> None:
    assert patient.problems() == ""
    assert told(patient.findings()).endswith("All is well.")


def test_a_bad_file_is_all_there_is_to_say(patient: Patient) -> None:
    patient.describe(node="no good")
    (finding,) = patient.findings()
    assert "$.node" in finding.what
    assert told([finding]).endswith("1 to be put right.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"devices": [{"id": "d1", "kind": "door", "zone": "z1"}]}, "d1 has no source"),
        ({"devices": [{"id": "d1", "kind": "door", "source": "day"}]}, "d1 has no zone"),
        ({"devices": []}, "Source day has no device"),
        ({"sources": {"day": {"kind": "home_log", "path": "/nowhere/log"}}}, "there is no /nowhere/log"),
        ({"sources": {"day": {"kind": "zigbee2mqtt", "port": 9}}}, "nobody answers at 127.0.0.1:9"),
        ({"sources": {"day": {"kind": "cameras"}}}, "python -m edge fetch-pose"),
        ({"spool_max_mb": 10**9}, "make room, or lower spool_max_mb"),
    ],
)
def test_what_an_installer_has_forgotten_is_named(
    patient: Patient, changes: dict[str, Any], says: str
) -> None:
    patient.describe(**changes)
    assert says in patient.problems()


def test_a_box_without_a_radio_or_without_bluez_is_told_what_it_lacks(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.doctor.ADAPTERS", tmp_path / "bluetooth")
    monkeypatch.setattr("edge.doctor.BUS", tmp_path / "bus")
    patient.describe(sources={"day": {"kind": "ble"}})
    assert "Source day: this box has no Bluetooth adapter" in patient.problems()
    (tmp_path / "bluetooth/hci0").mkdir(parents=True)
    assert "adapter hci0 is there, and BlueZ is not" in patient.problems()
    (tmp_path / "bus").touch()
    assert patient.problems() == ""
    assert "Bluetooth adapter hci0 is there" in told(patient.findings())


def test_a_broker_that_does_not_answer_is_named(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.doctor.PATIENCE_S", 0.3)
    patient.port = 9
    assert "127.0.0.1:9 does not answer" in patient.problems()


def test_a_clock_that_nobody_sets_is_named(patient: Patient) -> None:
    lost = Instant(START.utc, START.mono, "m1", "unsynced", 3600.0)
    assert "set up an NTP service" in patient.problems(lost)


def test_what_waits_in_the_spool_is_told(patient: Patient) -> None:
    spool = opened(patient.spool)
    spool.put([reading(Lane.ALARM), reading(Lane.EVENT)], START)
    said = told(patient.findings())
    assert "1 on alarm, 1 on event" in said
    assert "The edge is running and holds the spool." in said
    spool.close()
    assert "is running" not in told(patient.findings())


def test_a_damaged_spool_and_one_that_was_set_aside_are_named(patient: Patient) -> None:
    patient.spool.write_bytes(os.urandom(8192))
    assert "will set it aside" in patient.problems()
    opened(patient.spool).close()
    assert "spool.db.corrupt-" in patient.problems()


def test_it_changes_nothing(patient: Patient) -> None:
    opened(patient.spool).close()
    before = {
        path.name: path.read_bytes() for path in patient.spool.parent.iterdir() if path.suffix != ".lock"
    }
    patient.findings()
    after = {path.name: path.read_bytes() for path in patient.spool.parent.iterdir() if path.name in before}
    assert after == before
