"""Who has looked at more than their work asked for: the rules, one by one and at their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.misuse import HOUR, LISTED, MARGIN, ONE_BY_ONE, Duty, Look, Rule, bulk, digits, off_shift, own_family

pytestmark = pytest.mark.trust
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
_ids = count(1)


def look(
    resident: str = "r1",
    at: datetime = START,
    actor: str = "person:li",
    purpose: str = "care",
    what: str = "helpers",
) -> Look:
    return Look(next(_ids), at, actor, resident, "e1", purpose, what)


def many(residents: int, step: timedelta, what: str = "helpers") -> list[Look]:
    return [look(f"r{n}", START + n * step, what=what) for n in range(residents)]


def test_a_busy_hour_is_no_bulk_and_one_resident_more_is() -> None:
    assert bulk(many(ONE_BY_ONE, timedelta(seconds=10))) == []
    (found,) = bulk(many(ONE_BY_ONE + 1, timedelta(seconds=10)))
    assert (found.rule, found.actor, found.count, found.estate) == (
        Rule.BULK,
        "person:li",
        ONE_BY_ONE + 1,
        "e1",
    )
    assert len(found.looks) == 20


def test_the_same_residents_again_and_again_are_no_bulk() -> None:
    assert bulk(many(ONE_BY_ONE, timedelta(seconds=1)) * 5) == []


def test_spread_over_the_day_it_is_work() -> None:
    assert bulk(many(ONE_BY_ONE * 3, HOUR / (ONE_BY_ONE - 1))) == []


def test_whole_lists_are_bulk_later_than_single_records() -> None:
    assert bulk(many(LISTED, timedelta(seconds=1), "list")) == []
    (found,) = bulk(many(LISTED + 1, timedelta(seconds=1), "list"))
    assert found.key == "list:2026-03-01"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 7200)), max_size=120))
def test_bulk_is_found_just_where_some_hour_has_too_many(drawn: list[tuple[int, int]]) -> None:
    looks = [look(f"r{who}", START + timedelta(seconds=at)) for who, at in drawn]
    worst = max((len({b.resident for b in looks if a.at <= b.at <= a.at + HOUR}) for a in looks), default=0)
    assert bool(bulk(looks)) == (worst > ONE_BY_ONE)


@pytest.mark.parametrize("purpose", ["alert", "hand up", "break glass", "family"])
def test_what_an_alert_brings_along_is_no_choice(purpose: str) -> None:
    looks = [look(f"r{n}", purpose=purpose) for n in range(LISTED)]
    phones, numbers = {"person:li": "13900000002"}, {"r1": ["13900000002"]}
    assert (bulk(looks), own_family(looks, phones, numbers), off_shift(looks, {"person:li": []})) == (
        [],
        [],
        [],
    )


def test_robots_are_no_persons() -> None:
    assert off_shift([look(actor="robot:watchdog")], {"robot:watchdog": []}) == []


def test_who_looks_at_their_own_family_is_found_however_the_number_is_written() -> None:
    phones, numbers = {"person:li": "+86 139 0000-0002"}, {"r1": ["", "13900000002"], "r2": ["13911111111"]}
    (found,) = own_family([look("r1"), look("r1"), look("r2")], phones, numbers)
    assert (found.rule, found.resident, found.count) == (Rule.OWN_FAMILY, "r1", 2)


def test_a_list_that_one_s_family_stands_in_is_no_look_at_them() -> None:
    assert own_family([look(what="list")], {"person:li": "13900000002"}, {"r1": ["13900000002"]}) == []


def test_an_extension_that_many_share_is_no_family() -> None:
    assert own_family([look()], {"person:li": "8001"}, {"r1": ["8001"]}) == []


@pytest.mark.parametrize(
    ("minutes", "found"), [(-31, True), (-30, False), (0, False), (60, False), (90, False), (91, True)]
)
def test_a_shift_counts_with_a_margin(minutes: int, found: bool) -> None:
    duty = Duty(START, START + HOUR)
    assert timedelta(minutes=30) == MARGIN
    assert bool(off_shift([look(at=START + timedelta(minutes=minutes))], {"person:li": [duty]})) == found


def test_who_works_without_a_rota_is_not_asked_for_one() -> None:
    assert off_shift([look()], {"person:chen": []}) == []


def test_a_day_off_is_one_case_with_all_its_looks() -> None:
    (found,) = off_shift([look("r1"), look("r2")], {"person:li": []})
    assert (found.key, found.count) == ("2026-03-01", 2)


@pytest.mark.parametrize("written", ["13900000002", "139 0000 0002", "+86-13900000002", "0086 13900000002"])
def test_a_number_is_its_digits(written: str) -> None:
    assert digits(written) == "13900000002"
