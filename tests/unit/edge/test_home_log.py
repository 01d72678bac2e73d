from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.sources import home_log
from edge.sources.home_log import Change, changes, entry, kind_of
from vigil.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Hall-Toilet door", "door"),
        ("Toilet Flush", "water_use"),
        ("press bed links", "bed"),
        ("mat bed right pressure mat", "bed"),
        ("matt couch living room", "chair"),
        ("PIR keuken", "motion"),
        ("gootsteen float", "water_use"),
        ("Bathroom,Sink faucet - cold", "water_use"),
        ("Kitchen,Cabinet A", "door"),
        ("Microwave", "appliance"),
        ("Living room,Lamp", "appliance"),
    ],
)
def test_a_recorded_sensor_s_kind_is_told_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_line_is_an_on_and_an_off_in_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "home.sensors"
    file.write_text("100\t50\t7\n120\t0\t8\n\n")
    assert changes(file) == [
        Change(100, 7, on=True),
        Change(120, 8, on=True),
        Change(121, 8, on=False),
        Change(150, 7, on=False),
    ]


def test_a_log_is_entered_on_its_second_day_at_the_present_time_of_day() -> None:
    assert entry([Change(86_400 * 10 + 5000, 1, on=True)], 7 * 3600) == 86_400 * 11 + 7 * 3600


@pytest.mark.parametrize("text", ["one two three\n", "1 2\n"])
def test_a_broken_log_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "home.sensors"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=r"home\.sensors"):
        changes(file)


def test_the_recorded_homes_can_be_read(data_dir: Path) -> None:
    for house in "ABCDE":
        file = data_dir / "kasteren_mit" / f"house{house}.sensors"
        log, names = changes(file), home_log.names(file)
        assert len(log) > 2000
        # Some sensors have no name in the recordings; nobody would know what they are.
        assert len({change.sensor for change in log} & set(names)) >= 13
