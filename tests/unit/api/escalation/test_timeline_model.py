"""Who is told when, for any policy and any worker's sleep, against a plain reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.escalation.planner import Facts, advance, begin
from api.escalation.policies import Ask, Channel, Policy, PolicyStep, Target, longest_wait
from vigil.alerts import State

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
PEOPLE = [target for target in Target if target is not Target.RESIDENT]
STEPS = st.builds(
    PolicyStep,
    wait_s=st.integers(0, 200),
    target=st.sampled_from(PEOPLE),
    channel=st.sampled_from([Channel.MESSAGE, Channel.VOICE]),
    repeats=st.integers(0, 3),
    every_s=st.integers(5, 60),
)
ASKS = st.one_of(st.none(), st.builds(Ask, within_s=st.integers(10, 120), first=st.booleans()))
WAKES = st.lists(st.integers(0, 700), min_size=1, max_size=25).map(sorted)


def plain(policy: Policy) -> list[tuple[int, Target, Channel]]:
    """Every moment of a policy, worked out by hand."""
    moments = []
    later = 0
    if policy.ask is not None:
        moments.append((0, Target.RESIDENT, Channel.RESIDENT))
        later = int(policy.ask.within_s) if policy.ask.first else 0
    for step in policy.steps:
        times = [int(later + step.wait_s + n * step.every_s) for n in range(step.repeats + 1)]
        moments += [(at, step.target, step.channel) for at in times]
    return moments


@given(st.lists(STEPS, min_size=1, max_size=5), ASKS, WAKES)
def test_at_every_waking_exactly_what_has_come_due_is_said_and_once(
    steps: list[PolicyStep], ask: Ask | None, wakes: list[int]
) -> None:
    policy = Policy("any", 1, tuple(steps), ask=ask)
    moments = plain(policy)
    last = max(at for at, _, _ in moments)
    course, before = begin(policy, NOW), -1
    for wake in wakes:
        decision = advance(course, Facts(State.NOTIFYING, NOW), NOW + timedelta(seconds=wake))
        assert decision.course is not None
        course = decision.course
        said = {(call.target, call.channel) for call in decision.calls}
        due = {(target, channel) for at, target, channel in moments if before < at <= wake}
        if before < last:
            assert said == due
            assert len(decision.calls) == len(said)
        else:  # past the end the last ones are said again, or nothing is due yet
            assert said <= {
                (target, channel) for _, target, channel in moments if target is not Target.RESIDENT
            }
        before = wake


@given(st.lists(STEPS, min_size=1, max_size=5), ASKS)
def test_a_worker_that_wakes_when_told_to_says_everything_at_its_time(
    steps: list[PolicyStep], ask: Ask | None
) -> None:
    policy = Policy("any", 1, tuple(steps), ask=ask)
    moments = sorted({at for at, _, _ in plain(policy)})
    course, spoken = begin(policy, NOW), list[int]()
    while len(spoken) < len(moments):
        now = course.due_at
        decision = advance(course, Facts(State.NOTIFYING, NOW), now)
        assert decision.course is not None
        assert decision.calls or now == NOW
        spoken += [int((now - NOW).total_seconds())] if decision.calls else []
        course = decision.course
    assert spoken == moments


@given(st.lists(st.integers(-7200, 7200), min_size=1, max_size=12))
def test_whatever_the_clock_does_an_alert_that_nobody_has_is_due_within_its_policys_pace(
    jumps: list[int],
) -> None:
    policy = Policy("any", 1, (PolicyStep(0, Target.OFFICERS, Channel.VOICE, repeats=2),), again_every_s=120)
    now, course = NOW, begin(policy, NOW)
    for jump in jumps:
        now += timedelta(seconds=jump)
        decision = advance(course, Facts(State.NOTIFYING, NOW), now)
        assert decision.course is not None
        course = decision.course
        assert course.due_at <= now + timedelta(seconds=longest_wait(policy))
