"""Who is on duty, and that there is always somebody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.escalation.policies import Channel, Target
from api.escalation.rota import LOOK_AHEAD, Contact, Person, Rota, Shift, gaps, route, unfit

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROLES = ("duty_officer", "grid_worker", "supervisor", "community_manager", "street_centre")


def person(account: str, role: str = "duty_officer", *estates: str) -> Person:
    return Person(account, role, frozenset(estates or ("*",)))


def on(account: str, duty: str = "officer") -> Shift:
    return Shift(account, duty, NOW - HOUR, NOW + HOUR)


def names(people: tuple[Person, ...]) -> list[str]:
    return [p.account for p in people]


def test_the_officers_are_those_on_shift_now() -> None:
    over = Shift("wu", "officer", NOW - 2 * HOUR, NOW)
    rota = Rota((person("li"), person("wu"), person("zhao")), (on("li"), over))
    assert names(rota.resolve(Target.OFFICERS, "e1", NOW)) == ["li"]


def test_a_shift_begins_at_its_first_moment() -> None:
    rota = Rota((person("li"), person("wu")), (Shift("wu", "officer", NOW, NOW + HOUR),))
    assert names(rota.resolve(Target.OFFICERS, "e1", NOW)) == ["wu"]


def test_without_an_officer_the_supervisor_on_shift_is_asked_then_any_then_the_street() -> None:
    people = (
        person("sun", "supervisor"),
        person("boss", "community_manager"),
        person("street", "street_centre"),
    )
    assert names(Rota(people, (on("sun", "supervisor"),)).resolve(Target.OFFICERS, "e1", NOW)) == ["sun"]
    assert names(Rota(people, ()).resolve(Target.OFFICERS, "e1", NOW)) == ["sun", "boss"]
    assert names(Rota(people[2:], ()).resolve(Target.OFFICERS, "e1", NOW)) == ["street"]


def test_people_of_the_estate_go_before_people_of_others() -> None:
    rota = Rota(
        (person("here", "duty_officer", "e1"), person("there", "duty_officer", "e2")),
        (on("here"), on("there")),
    )
    assert names(rota.resolve(Target.OFFICERS, "e1", NOW)) == ["here"]
    assert names(rota.resolve(Target.OFFICERS, "e3", NOW)) == ["here", "there"]


@given(
    st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(["*", "e1", "e2"])), min_size=1, max_size=6),
    st.sampled_from(Target),
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["officer", "supervisor"]), st.integers(-3, 3)),
        max_size=4,
    ),
)
def test_while_anybody_but_grid_workers_is_there_no_step_is_for_nobody(
    people: list[tuple[str, str]], target: Target, shifts: list[tuple[int, str, int]]
) -> None:
    known = tuple(person(f"p{n}", role, estate) for n, (role, estate) in enumerate(people))
    rota = Rota(
        known, tuple(Shift(f"p{n}", duty, NOW + h * HOUR, NOW + (h + 1) * HOUR) for n, duty, h in shifts)
    )
    near = [p for p in known if p.estates & {"e1", "*"}] or known
    if any(p.role != "grid_worker" for p in near):
        assert rota.resolve(target, "e1", NOW)


@pytest.mark.parametrize("verified", [[0, 29], [10, 30]])
def test_two_contacts_verified_within_30_days_are_fit_for_duty(verified: list[int]) -> None:
    contacts = tuple(Contact(Channel.MESSAGE, "x://", NOW - timedelta(days=d)) for d in verified)
    assert unfit(Person("li", "duty_officer", frozenset(), contacts), NOW) is None


@pytest.mark.parametrize("verified", [[], [0], [0, 31], [0, None]])
def test_whoever_cannot_be_reached_for_certain_is_not(verified: list[int | None]) -> None:
    contacts = tuple(
        Contact(Channel.MESSAGE, "x://", None if d is None else NOW - timedelta(days=d)) for d in verified
    )
    assert "of 2 contacts" in str(unfit(Person("li", "duty_officer", frozenset(), contacts), NOW))


def test_an_hour_without_an_officer_next_week_is_seen_now() -> None:
    shifts = (
        Shift("li", "officer", NOW - HOUR, NOW + 3 * HOUR),
        Shift("wu", "officer", NOW + 4 * HOUR, NOW + LOOK_AHEAD + HOUR),
        Shift("sun", "supervisor", NOW, NOW + LOOK_AHEAD),
    )
    assert gaps(shifts, NOW) == [(NOW + 3 * HOUR, NOW + 4 * HOUR)]
    assert gaps((), NOW) == [(NOW, NOW + LOOK_AHEAD)]


@given(st.lists(st.tuples(st.integers(-48, 200), st.integers(1, 48)), max_size=8))
def test_gaps_are_exactly_the_hours_that_no_shift_covers(spans: list[tuple[int, int]]) -> None:
    shifts = tuple(Shift("li", "officer", NOW + a * HOUR, NOW + (a + n) * HOUR) for a, n in spans)
    found = gaps(shifts, NOW)
    for hour in range(LOOK_AHEAD // HOUR):
        moment = NOW + hour * HOUR + HOUR / 2
        covered = any(s.starts_at <= moment < s.ends_at for s in shifts)
        assert any(start <= moment < end for start, end in found) != covered


def test_a_persons_other_contacts_follow_those_of_the_channel() -> None:
    one, two = Contact(Channel.MESSAGE, "1", None), Contact(Channel.VOICE, "2", None)
    both = Person("li", "duty_officer", frozenset(), (one, two))
    assert route(both, Channel.VOICE) == (two, one)
    assert route(both, Channel.MESSAGE) == (one, two)
