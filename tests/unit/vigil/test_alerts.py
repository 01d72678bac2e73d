"""The life of an alert, against its rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.alerts import (
    OPEN,
    SILENCE_AT_MOST,
    TRANSITIONS,
    Action,
    Outcome,
    Priority,
    State,
    Step,
    Subject,
    decide,
    possible,
)
from vigil.errors import Rejected

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
FALL = Subject(Priority.CRITICAL)
PERSONS = (Action.ACKNOWLEDGE, Action.ATTEND, Action.SILENCE, Action.RESOLVE, Action.REVIEW)
AUTOMATIC = (Action.NOTIFY, Action.DELIVER, Action.REOPEN, Action.GIVE_UP)


def step(action: Action, actor: str = "") -> Step:
    """Return a step that lacks nothing, by whom it is for."""
    by = actor or ("system:escalator" if action in AUTOMATIC else "person:li.na")
    outcome = Outcome.TRUE if action is Action.RESOLVE else None
    until = NOW + timedelta(hours=1) if action is Action.SILENCE else None
    return Step(action, by, "a reason", until, outcome)


def refusal(state: State, asked: Step, subject: Subject = FALL) -> str:
    with pytest.raises(Rejected) as refused:
        decide(state, subject, asked, NOW)
    return refused.value.reason


def test_the_usual_way_leads_from_raised_to_reviewed() -> None:
    state = State.RAISED
    for action in (
        Action.NOTIFY,
        Action.DELIVER,
        Action.ACKNOWLEDGE,
        Action.ATTEND,
        Action.RESOLVE,
        Action.REVIEW,
    ):
        state = decide(state, FALL, step(action), NOW)
    assert state is State.REVIEWED


def test_a_person_may_take_what_was_only_just_raised() -> None:
    assert decide(State.RAISED, FALL, step(Action.ACKNOWLEDGE), NOW) is State.ACKNOWLEDGED


def test_nobody_takes_what_somebody_has() -> None:
    assert refusal(State.ACKNOWLEDGED, step(Action.ACKNOWLEDGE)) == "not_allowed"
    assert refusal(State.ATTENDING, step(Action.ACKNOWLEDGE)) == "not_allowed"


@given(st.sampled_from(State), st.sampled_from(Action))
def test_a_step_leads_where_the_table_says_or_is_refused(state: State, action: Action) -> None:
    allowed, target = TRANSITIONS[action]
    if state in allowed:
        assert decide(state, FALL, step(action), NOW) is target
    else:
        assert refusal(state, step(action)) == "not_allowed"


@given(
    st.sampled_from(State), st.sampled_from(PERSONS), st.sampled_from(["system:escalator", "robot:canary"])
)
def test_nothing_but_a_person_answers_a_real_alert(state: State, action: Action, actor: str) -> None:
    assert refusal(state, step(action, actor)) == "not_allowed"


@given(st.sampled_from(State), st.sampled_from(AUTOMATIC), st.sampled_from(["person:li.na", "robot:canary"]))
def test_nothing_but_the_system_notifies_reopens_or_gives_up(
    state: State, action: Action, actor: str
) -> None:
    assert refusal(state, step(action, actor)) == "not_allowed"


def test_the_canarys_robot_answers_its_canary_as_a_drill_and_as_nothing_else() -> None:
    canary = Subject(Priority.CRITICAL, synthetic="canary")
    robot = "robot:canary"
    assert decide(State.RAISED, canary, step(Action.ACKNOWLEDGE, robot), NOW) is State.ACKNOWLEDGED
    drill = Step(Action.RESOLVE, robot, outcome=Outcome.DRILL)
    assert decide(State.ACKNOWLEDGED, canary, drill, NOW) is State.RESOLVED
    assert (
        refusal(State.ACKNOWLEDGED, Step(Action.RESOLVE, robot, outcome=Outcome.TRUE), canary)
        == "not_allowed"
    )


@pytest.mark.parametrize("synthetic", ["demo", "drill", None])
def test_a_flag_other_than_canary_gives_a_robot_nothing(synthetic: str | None) -> None:
    subject = Subject(Priority.CRITICAL, synthetic=synthetic)
    assert refusal(State.RAISED, step(Action.ACKNOWLEDGE, "robot:canary"), subject) == "not_allowed"


def test_the_watchdogs_robot_may_hand_a_real_alert_to_the_people_on_paper() -> None:
    asked = step(Action.HAND_TO_FALLBACK, "robot:watchdog")
    assert decide(State.UNANSWERED, FALL, asked, NOW) is State.FALLBACK_OWNED


@pytest.mark.parametrize("action", [Action.SILENCE, Action.REOPEN, Action.GIVE_UP])
def test_silence_reopening_and_giving_up_need_words(action: Action) -> None:
    state = next(iter(TRANSITIONS[action][0]))
    full = step(action)
    assert refusal(state, Step(action, full.actor, "  ", full.until)) == "incomplete"


def test_resolving_needs_an_outcome_and_nothing_else_has_one() -> None:
    assert refusal(State.ATTENDING, Step(Action.RESOLVE, "person:li.na")) == "incomplete"
    assert (
        refusal(State.RAISED, Step(Action.ACKNOWLEDGE, "person:li.na", outcome=Outcome.TRUE)) == "incomplete"
    )


@pytest.mark.parametrize(
    "until", [None, NOW, NOW - timedelta(minutes=1), NOW + SILENCE_AT_MOST + timedelta(seconds=1)]
)
def test_a_silence_ends_within_four_hours_from_now(until: datetime | None) -> None:
    assert refusal(State.DELIVERED, Step(Action.SILENCE, "person:li.na", "why", until)) == "incomplete"


def test_a_silence_may_last_exactly_four_hours() -> None:
    asked = Step(Action.SILENCE, "person:li.na", "why", NOW + SILENCE_AT_MOST)
    assert decide(State.DELIVERED, FALL, asked, NOW) is State.SILENCED


def test_a_critical_alert_of_a_whole_estate_is_never_silenced() -> None:
    estate = Subject(Priority.CRITICAL, whole_estate=True)
    assert refusal(State.DELIVERED, step(Action.SILENCE), estate) == "not_allowed"
    less = Subject(Priority.HIGH, whole_estate=True)
    assert decide(State.DELIVERED, less, step(Action.SILENCE), NOW) is State.SILENCED


@given(st.sampled_from(Action))
def test_a_resolved_alert_stays_resolved(action: Action) -> None:
    if action is Action.REVIEW:
        assert decide(State.RESOLVED, FALL, step(action), NOW) not in OPEN
    else:
        assert refusal(State.RESOLVED, step(action)) == "not_allowed"


@given(st.sampled_from(sorted(OPEN)))
def test_a_person_can_always_bring_an_open_alert_to_its_end(state: State) -> None:
    assert Action.RESOLVE in possible(state)


@given(st.sampled_from(State))
def test_what_is_offered_to_a_person_is_what_they_may_do(state: State) -> None:
    for action in PERSONS:
        offered = action in possible(state)
        try:
            decide(state, FALL, step(action), NOW)
        except Rejected:
            assert not offered
        else:
            assert offered


@pytest.mark.parametrize("priority", Priority)
def test_a_resident_closes_their_own_alert_as_false_unless_it_is_critical_and_does_nothing_else(
    priority: Priority,
) -> None:
    for action in Action:
        for outcome in (None, *Outcome):
            step = Step(action, "resident:r1", "says to be fine", NOW + timedelta(hours=1), outcome)
            allowed = (action, outcome) == (
                Action.RESOLVE,
                Outcome.FALSE,
            ) and priority is not Priority.CRITICAL
            try:
                decide(State.NOTIFYING, Subject(priority), step, NOW)
            except Rejected:
                assert not allowed
            else:
                assert allowed
