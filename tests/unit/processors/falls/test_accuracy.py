from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from processors.falls.recordings import read
from tests.accuracy import wearable
from tests.unit.processors.falls import community

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    "sens", "spec", "precision", "f1", "false_alarms", "false_alarms_per_h", "hours", "n", "ci95"
}  # fmt: skip


def test_the_last_line_is_json_with_the_agreed_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wearable.main([str(community.write(tmp_path)), "--placement", "waist"])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert set(json.loads(last)) == KEYS


def test_a_fall_without_a_trigger_is_a_miss(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    silent = recordings.is_fall.copy()
    silent[np.flatnonzero(silent)[1:]] = False
    scores = np.where(silent[recordings.owner], 0.0, recordings.is_fall[recordings.owner])
    assert wearable.summary(recordings, scores)["sens"] == round(100 * 23 / 24, 2)


def test_daily_life_alone_has_no_f1_but_false_alarms_and_hours(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    daily = recordings.of(~recordings.is_fall)
    figures = wearable.summary(daily, np.ones(len(daily.owner)))
    assert figures["sens"] is None
    assert figures["false_alarms"] == 24
    assert figures["hours"] == pytest.approx(0.04, abs=0.01)


def test_people_left_out_are_the_only_ones_counted(tmp_path: Path) -> None:
    folder = community.write(tmp_path)
    figures = wearable.main([str(folder), "--placement", "waist", "--held-out", "P00", "--quick"])
    assert figures["n"] == 9


def test_cross_validation_counts_every_recording(tmp_path: Path) -> None:
    folder = community.write(tmp_path)
    figures = wearable.main([str(folder), "--placement", "waist", "--cross-validate", "--quick"])
    assert figures["n"] == 49
