"""What a device's health means, in words, the worst first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.console.catalogue import CATALOGUES
from api.console.condition import KNOWN, Standing, counts, standing, worst_first
from tests.making import NOW
from vigil.store.conditions import DeviceRow

CAMERA = DeviceRow("cam", "camera", "n1", False, "E", None, True, NOW, NOW, NOW, NOW, "synced", {})


def having(one: DeviceRow = CAMERA, **data: Any) -> Standing:
    return standing(replace(one, data=data), NOW)


def keys(found: Standing) -> list[str]:
    return [sign.key for sign in found.signs]


@pytest.mark.parametrize(
    ("data", "key", "weight"),
    [
        ({"trouble": ["frozen"]}, "frozen", 3),
        ({"trouble": ["turned"]}, "turned", 3),
        ({"trouble": ["dark"]}, "dark", 2),
        ({"battery_pct": 9.6}, "battery", 3),
        ({"battery_pct": 18}, "battery", 2),
        ({"trouble": ["battery low"]}, "battery_low", 3),
        ({"disk_free_mb": 150.0, "trouble": ["disk nearly full: 150 MB free"]}, "disk", 3),
        ({"temperature_c": 82.0}, "hot", 2),
        ({"spool_depth": 4000}, "waiting", 2),
        ({"worn": False}, "not_worn", 2),
        ({"worn": False, "trouble": ["not worn"]}, "not_worn", 2),
        ({"trouble": ["source door failed: OSError"]}, "other", 2),
    ],
)
def test_what_is_wrong_is_said_once_with_its_weight(data: dict[str, Any], key: str, weight: int) -> None:
    assert [(sign.key, sign.weight) for sign in having(**data).signs] == [(key, weight)]


def test_what_is_behind_a_box_that_is_gone_is_not_watched() -> None:
    assert keys(standing(replace(CAMERA, online=False), NOW)) == ["box_offline"]
    assert keys(standing(replace(CAMERA, online=False, box=True, kind="box"), NOW)) == ["offline"]


def test_not_measured_is_never_fine() -> None:
    silent = replace(CAMERA, data=None, at=None, received_at=None, clock=None)
    assert keys(standing(silent, NOW)) == ["says_nothing"]
    assert keys(standing(replace(silent, online=None), NOW)) == ["never"]
    assert keys(standing(CAMERA, NOW + timedelta(minutes=6))) == ["silent"]
    assert keys(standing(replace(CAMERA, kind="door"), NOW + timedelta(days=6))) == []


def test_a_clock_that_is_not_set_is_said_of_the_box() -> None:
    box = replace(CAMERA, kind="box", box=True, clock="unsynced")
    assert [(s.key, s.weight) for s in having(box, clock_offset_s=7.0, trouble=["clock unsynced"]).signs] == [
        ("clock_unsynced", 3)
    ]


def test_every_sign_has_words_in_every_language() -> None:
    for catalogue in CATALOGUES.values():
        assert {f"condition.{key}" for key, _ in KNOWN.values()} <= set(catalogue)


@given(
    st.lists(st.sampled_from([{}, {"worn": False}, {"battery_pct": 3.0}, {"trouble": ["dark", "covered"]}]))
)
def test_nobody_stands_behind_somebody_who_needs_less(several: list[dict[str, Any]]) -> None:
    found = worst_first([replace(CAMERA, id=str(n), data=data) for n, data in enumerate(several)], NOW)
    weights = [one.weight for one in found]
    assert weights == sorted(weights, reverse=True)
    assert sum(counts(found).values()) == len(several)
