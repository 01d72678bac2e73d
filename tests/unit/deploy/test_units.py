"""The systemd units of a box: what they promise of its user, its disk and its restarts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.box import ALIVE_EVERY_S
from edge.claim import FOLDER
from tests.conftest import lacking

UNITS = Path(__file__).parents[3] / "deploy/systemd"


def settings(unit: str) -> dict[str, list[str]]:
    """Every setting of a unit, with all its values."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", ["vigil-edge.service", "vigil-renew.service"])
def test_what_runs_on_a_box_is_a_user_of_its_own_with_a_read_only_system(unit: str) -> None:
    found = settings(unit)
    assert found["User"] == ["vigil"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["StateDirectory"] == ["vigil"]
    assert found["UMask"] == ["0077"]
    assert found["NoNewPrivileges"] == ["yes"]


def test_a_stuck_box_is_started_again_and_an_ending_one_has_time() -> None:
    found = settings("vigil-edge.service")
    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0]) >= 3 * ALIVE_EVERY_S
    assert found["Restart"] == ["always"]


def test_a_claim_is_used_where_it_lies_and_the_installer_s_word_goes_before_it() -> None:
    assert settings("vigil-edge.service")["EnvironmentFile"] == [
        f"-{FOLDER}/edge.env",
        "-/etc/vigil/edge.env",
    ]
    assert settings("vigil-renewed.path")["PathChanged"] == [f"{FOLDER}/identity.pem"]


def test_boxes_renew_at_different_times_and_catch_up_after_a_night_without_power() -> None:
    found = settings("vigil-renew.timer")
    assert found["RandomizedDelaySec"] == ["12h"]
    assert found["Persistent"] == ["true"]


def test_a_revoked_box_is_out_within_about_a_minute() -> None:
    assert settings("vigil-revoked.timer")["OnUnitActiveSec"] == ["60s"]
    assert settings("vigil-revoked.service")["ProtectSystem"] == ["strict"]
    assert settings("vigil-revoked.service")["ReadWritePaths"] == ["/etc/mosquitto"]


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_systemd_understands_every_line(unit: str) -> None:
    if shutil.which("systemd-analyze") is None:
        lacking("systemd-analyze is not installed (apt-get install systemd)")
    command = ["systemd-analyze", "verify", "--man=no", str(UNITS / unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    # The program itself is not on this machine.
    complaints = [line for line in said.splitlines() if unit in line and "is not executable" not in line]
    assert complaints == []
