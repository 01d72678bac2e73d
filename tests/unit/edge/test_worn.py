from __future__ import annotations

from datetime import timedelta

import pytest

from edge.config import Device
from edge.reading import Reading
from edge.worn import Worn
from tests.unit.edge.parts import START
from vigil.events import DeviceHealth, Readings, SensorChanged

HOUR = 3600.0


class Home:
    """A pendant and a door, and a time that passes."""

    def __init__(self) -> None:
        self.worn = Worn(
            [Device(id="p1", kind="pendant", zone="z1"), Device(id="door", kind="door", zone="z1")]
        )
        self.seconds = 0.0
        self.said: list[bool | None] = []

    def take(self, device: str, data: Readings | SensorChanged) -> None:
        reading = Reading(device, data, START.utc + timedelta(seconds=self.seconds))
        for said in self.worn.take(reading):
            assert isinstance(said.data, DeviceHealth)
            assert said.device == "p1"
            self.said.append(said.data.worn)

    def pendant(self, activity_g: float, after_s: float = 0) -> None:
        self.seconds += after_s
        self.take("p1", Readings(quantity="activity_g", interval_s=1, values=[0.004] * 59 + [activity_g]))

    def door(self, times: int, zone: str = "z1") -> None:
        for _ in range(times):
            self.take("door", SensorChanged(sensor="door", state=True, zone=zone))
            self.take("door", SensorChanged(sensor="door", state=False, zone=zone))


@pytest.fixture
def home() -> Home:
    home = Home()
    home.pendant(0.2)
    return home


def test_a_pendant_that_lies_still_while_the_home_moves_is_not_worn(home: Home) -> None:
    home.pendant(0.006, after_s=2 * HOUR)
    home.door(5)
    assert home.said == [False]


def test_it_is_said_once(home: Home) -> None:
    home.pendant(0.006, after_s=3 * HOUR)
    home.door(20)
    assert home.said == [False]


def test_the_home_has_to_move_more_than_now_and_then(home: Home) -> None:
    home.pendant(0.006, after_s=10 * HOUR)
    home.door(4)
    assert home.said == []


def test_less_than_two_hours_are_a_nap(home: Home) -> None:
    home.pendant(0.006, after_s=2 * HOUR - 60)
    home.door(20)
    assert home.said == []


def test_a_sleeper_who_turns_over_wears_it(home: Home) -> None:
    for _ in range(8):
        home.pendant(0.02, after_s=HOUR)
        home.door(5)
    assert home.said == []


def test_another_home_does_not_count(home: Home) -> None:
    home.pendant(0.006, after_s=3 * HOUR)
    home.door(20, zone="z2")
    assert home.said == []


def test_when_it_moves_again_this_is_said_too(home: Home) -> None:
    home.pendant(0.006, after_s=3 * HOUR)
    home.door(5)
    home.pendant(0.3)
    home.pendant(0.3)
    assert home.said == [False, True]


def test_a_pendant_never_heard_of_is_not_judged() -> None:
    home = Home()
    home.seconds = 9 * HOUR
    home.door(20)
    assert home.said == []
