from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.gate import Gate
from edge.reading import Reading
from tests.making import fall
from tests.unit.edge.parts import START
from vigil.events import DeviceHealth, Sos

if TYPE_CHECKING:
    from vigil.events import Data

pytestmark = pytest.mark.asyncio


async def passed(data: Data, without: dict[str, list[str]]) -> bool:
    taken: list[Reading] = []

    async def put(reading: Reading) -> None:
        taken.append(reading)

    await Gate(put, lambda: without).put(Reading("pendant", data, START.utc))
    return bool(taken)


@pytest.mark.parametrize("without", [{}, {"pendant": ["routine_monitoring"]}, {"other": ["fall_detection"]}])
async def test_what_is_agreed_to_passes(without: dict[str, list[str]]) -> None:
    assert await passed(fall(), without)


async def test_a_fall_that_nobody_agreed_to_look_for_is_not_kept() -> None:
    assert not await passed(fall(), {"pendant": ["fall_detection"]})


@pytest.mark.parametrize("data", [Sos(by="button"), DeviceHealth()])
async def test_a_call_for_help_and_a_device_s_own_health_need_no_consent(data: Data) -> None:
    every = ["fall_detection", "home_camera", "routine_monitoring"]
    assert await passed(data, {"pendant": every})
