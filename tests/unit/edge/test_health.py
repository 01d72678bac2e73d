from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.health import BoxHealth, battery_pct, troubles_of
from edge.intake import Intake
from tests.unit.edge.parts import START, Clocks, opened, reading
from vigil.events import DeviceHealth
from vigil.topics import Lane

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.asyncio
async def test_a_box_tells_how_much_waits_and_how_sure_it_is_of_the_time(quick_path: Path) -> None:
    spool = opened(quick_path / "spool.db")
    spool.put([reading(), reading(Lane.ALARM)], START)
    intake = Intake(spool, Clocks().now)
    told = await BoxHealth("n1", spool, intake, Clocks().now, lambda: ["source x failed"], quick_path).step()
    assert isinstance(told.data, DeviceHealth)
    assert (told.device, told.data.spool_depth, told.data.clock_offset_s) == ("n1", 2, 0.01)
    assert told.data.trouble == ["source x failed"]
    assert told.data.spool_bytes
    assert told.data.disk_free_mb
    await intake.close()
    spool.close()


def test_a_full_disk_and_a_wrong_clock_are_troubles() -> None:
    assert troubles_of(50.0, "holdover", ["other"]) == [
        "disk nearly full: 50 MB free",
        "clock holdover",
        "other",
    ]
    assert troubles_of(5000.0, "synced", []) == []


def test_a_box_with_a_battery_tells_its_charge(tmp_path: Path) -> None:
    assert battery_pct(tmp_path / "nothing") is None
    (tmp_path / "BAT0").mkdir()
    (tmp_path / "BAT0" / "capacity").write_text("87\n")
    assert battery_pct(tmp_path) == 87.0
