from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.accuracy import routine
from tests.unit.processors.routines.days import month

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"false_alarms_per_day", "mean_delay_h", "p90_delay_h", "n"}


@pytest.fixture(autouse=True)
def _few_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routine, "STOPS", 40)


def write(folder: Path, days: int = 20, away: str = "") -> Path:
    """Write the log of a home, with a thermometer in it."""
    rows = [f"{seen.at.replace(tzinfo=None)},M001,ON" for seen in month(days)]
    rows.append(f"{month(1)[0].at.replace(tzinfo=None)},T001,21.5")
    (folder / "home.csv").write_text("\n".join(["time,sensor,state", *rows]) + "\n")
    if away:
        (folder / "away.csv").write_text(f"start,end\n{away}\n")
    return folder


def test_the_last_line_is_json_with_the_agreed_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routine.main([str(write(tmp_path)), "--warmup-days", "7"])
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(figures) == KEYS
    assert figures["false_alarms_per_day"] == 0
    assert 0 < figures["mean_delay_h"] < figures["p90_delay_h"] <= 12


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    folder = str(write(tmp_path))
    one, other = (routine.main([folder, "--warmup-days", "7", "--seed", "3"]) for _ in range(2))
    assert one == other


def test_an_absence_that_is_known_is_no_false_alarm_and_one_that_is_not_is(tmp_path: Path) -> None:
    (log,) = routine.read(write(tmp_path))
    begin, end = datetime(2026, 3, 12, 9, tzinfo=UTC), datetime(2026, 3, 14, 20, tzinfo=UTC)
    seen = [one for one in log.seen if not begin < one.at < end]
    unknown = routine.measure(routine.Log("home", seen, []), timedelta(days=7), 0)
    told = routine.measure(routine.Log("home", seen, [(begin, end)]), timedelta(days=7), 0)
    assert [kind for kind, _ in unknown.found] == ["inactivity"]
    assert told.found == []


def test_a_thermometer_is_nobody_s_sign(tmp_path: Path) -> None:
    (log,) = routine.read(write(tmp_path, away="2026-03-03 10:00:00,2026-03-03 12:00:00"))
    assert len(log.seen) == len(month(20))
    assert log.away == [(datetime(2026, 3, 3, 10, tzinfo=UTC), datetime(2026, 3, 3, 12, tzinfo=UTC))]


def test_a_folder_without_logs_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no log"):
        routine.read(tmp_path)


def test_a_log_shorter_than_its_warm_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="warm-up"):
        routine.main([str(write(tmp_path, days=5)), "--warmup-days", "7"])


@pytest.mark.parametrize(
    ("folder", "homes", "away"),
    [
        ("kasteren_mit", 5, {"houseA", "houseB", "houseC", "houseD", "houseE"}),
        ("ordonez_adl", 2, {"OrdonezA", "OrdonezB"}),
    ],
)
def test_recorded_homes_are_read_in_order_with_their_absences(
    data_dir: Path, folder: str, homes: int, away: set[str]
) -> None:
    logs = routine.read(data_dir / folder)
    assert len(logs) == homes
    assert {log.name for log in logs if log.away} == away
    for log in logs:
        times = [one.at for one in log.seen]
        assert times == sorted(times)
        assert 13 < (times[-1] - times[0]) / timedelta(days=1) < 29


def test_people_who_were_well_in_a_recorded_home_are_left_alone(data_dir: Path) -> None:
    (log,) = (log for log in routine.read(data_dir / "ordonez_adl") if log.name == "OrdonezB")
    result = routine.measure(log, timedelta(days=7), 0)
    assert result.found == []
    assert len(result.delays_h) == 40
    assert max(result.delays_h) <= 12
