"""Who is on duty, and that there is always somebody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.escalation.policies import Channel, Target
from api.escalation.rota import (
    LOOK_AHEAD,
    Contact,
    Cover,
    Leave,
    Load,
    Person,
    Rota,
    Shift,
    effective,
    for_estate,
    gaps,
    lapses,
    least_busy,
    route,
    unfit,
)

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROLES = ("duty_officer", "grid_worker", "supervisor", "community_manager", "street_centre")


REACHED = (Contact(Channel.MESSAGE, "m://", NOW), Contact(Channel.VOICE, "v://", NOW))


def person(account: str, role: str = "duty_officer", *estates: str) -> Person:
    return Person(account, role, frozenset(estates or ("*",)), REACHED)


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


def test_whoever_cannot_be_reached_for_certain_is_told_and_so_is_the_next() -> None:
    li = replace(person("li"), contacts=REACHED[:1])
    rota = Rota((li, person("sun", "supervisor")), (on("li"), on("sun", "supervisor")))
    assert names(rota.resolve(Target.OFFICERS, "e1", NOW)) == ["li", "sun"]


def test_of_two_officers_one_who_can_be_reached_is_enough() -> None:
    li = replace(person("li"), contacts=())
    rota = Rota(
        (li, person("wu"), person("sun", "supervisor")), (on("li"), on("wu"), on("sun", "supervisor"))
    )
    assert names(rota.resolve(Target.OFFICERS, "e1", NOW)) == ["li", "wu"]


def first(loads: dict[str, Load], *known: str) -> list[str]:
    return names(least_busy((person("li"), person("wu"), person("zhao")), known, loads, NOW))


def test_of_several_officers_the_one_with_the_fewest_alerts_in_hand_is_first() -> None:
    assert first({"li": Load(held=1), "wu": Load(alarms=3), "zhao": Load(held=1)}) == ["wu"]


def test_equally_busy_officers_take_turns() -> None:
    loads = {"li": Load(alarms=1, last_at=NOW), "wu": Load(alarms=1, last_at=NOW - HOUR)}
    assert first(loads) == ["zhao"]
    assert first(loads | {"zhao": Load(alarms=1, last_at=NOW - HOUR / 2)}) == ["wu"]


def test_whoever_was_told_of_an_alert_first_stays_the_one_for_it() -> None:
    assert first({"li": Load(held=5, alarms=9, last_at=NOW)}, "li") == ["li"]


def test_an_alert_is_not_left_to_one_officer_who_cannot_be_reached_for_certain() -> None:
    li, wu = (replace(person(name), contacts=()) for name in ("li", "wu"))
    assert names(least_busy((li, person("zhao")), (), {"zhao": Load(held=9)}, NOW)) == ["zhao"]
    assert names(least_busy((li, wu), (), {}, NOW)) == ["li", "wu"]


def hours(account: str, first: int, last: int) -> Shift:
    return Shift(account, "officer", NOW + first * HOUR, NOW + last * HOUR)


def cover(account: str, first: int, last: int, shift: int = 0) -> Cover:
    return Cover(shift, account, NOW + first * HOUR, NOW + last * HOUR)


def test_who_stands_in_for_the_middle_of_a_shift_has_it_and_its_holder_keeps_the_ends() -> None:
    assert effective((hours("li", 0, 12),), [cover("wu", 4, 6)]) == (
        hours("li", 0, 4),
        hours("wu", 4, 6),
        hours("li", 6, 12),
    )


def test_what_was_taken_over_can_be_handed_on() -> None:
    handed_on = effective((hours("li", 0, 12),), [cover("wu", 0, 12), cover("sun", 6, 12)])
    assert handed_on == (hours("wu", 0, 6), hours("sun", 6, 12))


def test_a_cover_never_reaches_beyond_its_shift() -> None:
    assert effective((hours("li", 2, 4),), [cover("wu", 0, 12)]) == (hours("wu", 2, 4),)
    assert effective((hours("li", 2, 4),), [cover("wu", 5, 6)]) == (hours("li", 2, 4),)


def test_who_is_on_leave_has_no_duty_not_even_a_taken_over_one() -> None:
    leave = Leave("wu", NOW + 5 * HOUR, NOW + 24 * HOUR)
    assert effective((hours("li", 0, 12),), [cover("wu", 4, 8)], (leave,)) == (
        hours("li", 0, 4),
        hours("wu", 4, 5),
        hours("li", 8, 12),
    )


SPANS = st.tuples(st.sampled_from(["li", "wu", "sun"]), st.integers(0, 24), st.integers(1, 12))


@given(
    st.lists(SPANS, min_size=1, max_size=4),
    st.lists(st.tuples(SPANS, st.integers(0, 3)), max_size=5),
    st.lists(SPANS, max_size=3),
)
def test_duty_by_the_hour_is_what_a_plain_reference_says(
    planned: list[tuple[str, int, int]],
    agreed: list[tuple[tuple[str, int, int], int]],
    away: list[tuple[str, int, int]],
) -> None:
    shifts = tuple(hours(who, first, first + n) for who, first, n in planned)
    covers = [cover(who, first, first + n, shift % len(shifts)) for (who, first, n), shift in agreed]
    leaves = tuple(Leave(who, NOW + first * HOUR, NOW + (first + n) * HOUR) for who, first, n in away)
    found = effective(shifts, covers, leaves)
    for hour in range(40):
        moment = NOW + hour * HOUR + HOUR / 2
        holders = []
        for index, shift in enumerate(shifts):
            if not shift.starts_at <= moment < shift.ends_at:
                continue
            holder = shift.account
            for one in covers:
                if one.shift == index and one.starts_at <= moment < one.ends_at:
                    holder = one.account
            if not any(x.account == holder and x.starts_at <= moment < x.ends_at for x in leaves):
                holders.append(holder)
        assert sorted(s.account for s in found if s.starts_at <= moment < s.ends_at) == sorted(holders)


def test_whose_contacts_lapse_before_a_shift_of_the_next_week_is_named_now() -> None:
    old = Contact(Channel.VOICE, "v://", NOW - timedelta(days=28))
    li = replace(person("li"), contacts=(REACHED[0], old))
    tomorrow, in_three_days = hours("li", 24, 32), hours("li", 72, 80)
    assert lapses(Rota((li,), (tomorrow,)), NOW) == []
    assert [at for at, *_ in lapses(Rota((replace(li, contacts=()),), (tomorrow,)), NOW)] == [NOW + 24 * HOUR]
    assert lapses(Rota((li,), (in_three_days,)), NOW)[0][0] == NOW + 72 * HOUR


def test_an_estate_has_the_rota_of_those_who_look_after_it() -> None:
    rota = Rota(
        (person("li", "duty_officer", "e1"), person("wu", "duty_officer", "e2")), (on("li"), on("wu"))
    )
    assert names(for_estate(rota, "e1").people) == ["li"]
    assert for_estate(rota, "e1").shifts == (on("li"),)
