"""What a device said of itself last."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.making import NOW
from vigil.store import conditions
from vigil.store.conditions import Said

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


def said(after_s: float = 0, ahead_s: float = 0, device: str = "d1", **data: Any) -> Said:
    received = NOW + timedelta(seconds=after_s)
    return Said(device, "n1", received + timedelta(seconds=ahead_s), received, "synced", data)


async def known(connection: Any) -> dict[str, Any]:
    cursor = await connection.execute("SELECT data FROM device_condition WHERE device = 'd1'")
    ((data,),) = await cursor.fetchall()
    found: dict[str, Any] = data
    return found


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_last_word_counts_and_charge_and_wearing_stay(connection: Any, at_once: bool) -> None:
    words = [
        said(0, battery_pct=80.0),
        said(1, worn=False, trouble=["not worn"]),
        said(2, temperature_c=30.0),
    ]
    for some in [words] if at_once else [[one] for one in words]:
        await conditions.note(connection, some)
    assert await known(connection) == {"battery_pct": 80.0, "worn": False, "temperature_c": 30.0}


async def test_what_comes_late_changes_nothing_unless_the_clock_was_ahead(connection: Any) -> None:
    await conditions.note(connection, [said(60, battery_pct=50.0)])
    await conditions.note(connection, [said(65, ahead_s=-60, battery_pct=90.0)])
    assert await known(connection) == {"battery_pct": 50.0}
    await conditions.note(connection, [said(70, ahead_s=300, battery_pct=40.0)])
    await conditions.note(connection, [said(80, battery_pct=30.0)])
    assert await known(connection) == {"battery_pct": 30.0}
