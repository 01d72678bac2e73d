"""What alarms cost, as arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.burden import burden, night_wakings, share
from api.escalation.rota import Shift
from vigil.store.effect import Told

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # 20:00 in Shanghai
END = NOW + timedelta(hours=10)
ZONE = ZoneInfo("Asia/Shanghai")
DUTY = Shift("li", "officer", NOW - timedelta(hours=2), NOW + timedelta(hours=5))


def told(minutes: float, account: str = "li", role: str = "duty_officer") -> Told:
    return Told(account, role, NOW + timedelta(minutes=minutes))


def test_the_mean_is_over_every_period_on_duty_within_the_stretch() -> None:
    found = burden([told(1), told(2), told(11)], [DUTY], NOW, END)
    assert (found.alarms, found.periods, found.mean, found.peak) == (3, 30, 0.1, 2)


def test_more_than_ten_in_a_period_are_a_flood() -> None:
    found = burden([told(n / 2) for n in range(11)], [DUTY], NOW, END)
    assert (found.peak, found.flood_share) == (11, 1 / 30)


def test_only_officers_bear_it_and_without_duty_there_is_no_mean() -> None:
    found = burden([told(1, "sun", "supervisor")], [], NOW, END)
    assert (found.alarms, found.mean, found.flood_share) == (0, None, None)


@given(st.lists(st.floats(0, 599), max_size=60))
def test_peak_and_mean_are_what_a_plain_count_says(minutes: list[float]) -> None:
    found = burden([told(m) for m in minutes], [DUTY], NOW, END)
    counts = [sum(n * 10 <= m < (n + 1) * 10 for m in minutes) for n in range(60)]
    assert found.alarms == len(minutes)
    assert found.peak == max(counts)


@pytest.mark.parametrize(("minutes", "wakings"), [(119, 0), (121, 1), (599, 1), (601, 0)])
def test_who_has_no_duty_is_woken_between_22_and_6_local_time(minutes: float, wakings: int) -> None:
    assert night_wakings([told(minutes, "sun")], [], [DUTY], ZONE) == wakings


def test_who_has_duty_is_awake_and_a_resident_who_is_asked_is_woken() -> None:
    asked = [NOW + timedelta(hours=3), NOW]
    assert night_wakings([told(180)], asked, [DUTY], ZONE) == 1


def test_a_share_of_nothing_is_none() -> None:
    assert share(0, 0) is None
    assert share(1, 3) == 0.25
