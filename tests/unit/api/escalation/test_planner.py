"""What is due for an alert: by example, and for every order of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from api.escalation.planner import APART, Call, Course, Facts, advance, begin, to_people
from api.escalation.policies import DEFAULTS, Ask, Channel, Policy, PolicyStep, Target, timeline
from api.escalation.rota import Contact, Load, Person, Rota, Shift
from vigil.alerts import UNTAKEN, Action, Outcome, Priority, State, Step, Subject, decide, possible

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
POLICY = Policy(
    "test",
    1,
    (
        PolicyStep(0, Target.OFFICERS, Channel.MESSAGE),
        PolicyStep(30, Target.OFFICERS, Channel.VOICE, repeats=1, every_s=30),
        PolicyStep(90, Target.SUPERVISOR, Channel.VOICE),
    ),
    attend_within_s=600,
    again_every_s=120,
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def facts(state: State = State.RAISED, since: datetime = NOW, until: datetime | None = None) -> Facts:
    return Facts(state, since, until)


def said(
    course: Course, at: datetime, state: State = State.NOTIFYING
) -> tuple[Course, list[tuple[Channel, bool]]]:
    decision = advance(course, facts(state), at)
    assert decision.course is not None
    return decision.course, [(call.channel, call.repeat) for call in decision.calls]


def test_the_first_notice_goes_out_at_once_and_the_alert_is_notifying() -> None:
    decision = advance(begin(POLICY, NOW), facts(), NOW)
    assert [call.target for call in decision.calls] == [Target.OFFICERS]
    assert decision.step == Step(Action.NOTIFY, "system:escalator")
    assert decision.course is not None
    assert decision.course.due_at == after(30)


def test_steps_follow_at_their_times_and_repeats_are_labelled() -> None:
    course = begin(POLICY, NOW)
    heard = []
    for seconds in (0, 30, 60, 90):
        assert course.due_at == after(seconds)
        course, calls = said(course, course.due_at)
        heard += calls
    assert heard == [
        (Channel.MESSAGE, False),
        (Channel.VOICE, False),
        (Channel.VOICE, True),
        (Channel.VOICE, False),
    ]


def test_looking_early_says_nothing() -> None:
    course, _ = said(begin(POLICY, NOW), NOW)
    assert said(course, after(29))[1] == []


def test_what_a_dead_worker_left_goes_out_when_it_is_found_and_once() -> None:
    course, calls = said(begin(POLICY, NOW), after(75))
    assert calls == [(Channel.MESSAGE, False), (Channel.VOICE, False)]
    assert course.due_at == after(90)


def test_past_the_last_step_it_is_unanswered_and_said_again_until_somebody_answers() -> None:
    course, _ = said(begin(POLICY, NOW), after(90))
    assert course.due_at == after(210)
    decision = advance(course, facts(State.DELIVERED), after(210))
    assert decision.step is not None
    assert decision.step.action is Action.GIVE_UP
    assert all(call.repeat for call in decision.calls)
    assert decision.course is not None
    again = advance(decision.course, facts(State.UNANSWERED), after(330))
    assert again.step is None
    assert again.calls


def test_repetitions_that_were_missed_are_not_made_up_for() -> None:
    course, _ = said(begin(POLICY, NOW), after(90))
    late = advance(course, facts(State.UNANSWERED), after(210 + 3600))
    assert late.course is not None
    assert after(210 + 3600) < late.course.due_at <= after(210 + 3600 + 120)


def test_a_clock_that_went_back_holds_nothing_back() -> None:
    course, _ = said(begin(POLICY, after(3600)), after(3600))
    course, _ = said(course, NOW)
    assert course.due_at == after(30)
    assert said(course, after(30))[1] == [(Channel.VOICE, False)]


def test_who_has_it_is_left_alone_until_the_time_to_be_there_is_over() -> None:
    course, _ = said(begin(POLICY, NOW), NOW)
    taken = facts(State.ACKNOWLEDGED, since=after(20))
    assert not advance(course, taken, after(619)).calls
    decision = advance(course, taken, after(620))
    assert decision.step is not None
    assert decision.step.action is Action.REOPEN
    assert decision.course is not None
    assert (decision.course.round, decision.course.next, decision.course.due_at) == (1, 0, after(620))


def test_a_silence_ends_at_its_time() -> None:
    course, _ = said(begin(POLICY, NOW), NOW)
    silenced = facts(State.SILENCED, until=after(1800))
    assert advance(course, silenced, after(1799)).step is None
    decision = advance(course, silenced, after(1800))
    assert decision.step is not None
    assert decision.step.action is Action.REOPEN


@pytest.mark.parametrize("state", [State.ATTENDING, State.FALLBACK_OWNED])
def test_whom_somebody_is_with_and_what_is_on_paper_is_left_alone(state: State) -> None:
    decision = advance(begin(POLICY, NOW), facts(state), after(100_000))
    assert not decision.calls
    assert decision.step is None
    assert decision.course is not None


@pytest.mark.parametrize("state", [State.RESOLVED, State.REVIEWED])
def test_what_is_closed_is_over(state: State) -> None:
    assert advance(begin(POLICY, NOW), facts(state), NOW).course is None


def test_who_was_told_before_is_told_again_with_a_label() -> None:
    people = (Person("li", "duty_officer", frozenset("*")), Person("sun", "supervisor", frozenset("*")))
    rota = Rota(
        people, (Shift("li", "officer", NOW, after(100)), Shift("sun", "supervisor", NOW, after(100)))
    )
    call = Call(5, Target.SHIFT, Channel.VOICE, repeat=False)
    planned = to_people((call,), rota, "e1", {("li", Channel.MESSAGE): NOW}, NOW)
    assert {p.account: p.repeat for p in planned} == {"li": True, "sun": False}


def test_one_person_is_told_once_by_one_channel_at_one_time() -> None:
    rota = Rota((Person("li", "duty_officer", frozenset("*")),), (Shift("li", "officer", NOW, after(100)),))
    staff = [target for target in Target if target is not Target.RESIDENT]
    calls = tuple(Call(n, target, Channel.VOICE, repeat=False) for n, target in enumerate(staff))
    assert len(to_people(calls, rota, "e1", {}, NOW)) == 1


def test_whom_two_steps_name_is_not_rung_while_the_telephone_is_still_ringing() -> None:
    """Seen in the demo: officers are of the shift too, and were called every 6 s."""
    rota = Rota((Person("li", "duty_officer", frozenset("*")),), (Shift("li", "officer", NOW, after(1000)),))
    course, told, rung = begin(DEFAULTS[Priority.CRITICAL], NOW), dict[tuple[str, str], datetime](), []
    while course.due_at < after(240):
        now = course.due_at
        decision = advance(course, facts(State.NOTIFYING), now)
        for one in to_people(decision.calls, rota, "e1", told, now):
            told[str(one.account), one.channel] = now
            rung += [(now - NOW).total_seconds()] if one.channel is Channel.VOICE else []
        assert decision.course is not None
        course = decision.course
    assert rung[:7] == [12, 24, 36, 48, 60, 75, 90]
    assert min(b - a for a, b in pairwise(rung)) >= APART.total_seconds()


def test_a_high_alert_goes_to_one_officer_for_a_minute_and_then_to_the_other_too() -> None:
    reached = (Contact(Channel.MESSAGE, "m", NOW), Contact(Channel.VOICE, "v", NOW))
    people = tuple(Person(name, "duty_officer", frozenset("*"), reached) for name in ("li", "wu"))
    rota = Rota(people, tuple(Shift(one.account, "officer", NOW, after(1000)) for one in people))
    course, told, heard = begin(DEFAULTS[Priority.HIGH], NOW), dict[tuple[str, str], datetime](), []
    while course.due_at < after(90):
        now = course.due_at
        decision = advance(course, facts(State.NOTIFYING), now)
        for one in to_people(decision.calls, rota, "e1", told, now, {"li": Load(held=1)}):
            told[str(one.account), one.channel] = now
            if one.channel is not Channel.CONSOLE:
                heard.append(((now - NOW).total_seconds(), one.account, one.channel, one.repeat))
        assert decision.course is not None
        course = decision.course
    assert heard == [
        (0, "wu", Channel.MESSAGE, False),
        (30, "wu", Channel.VOICE, True),
        (60, "li", Channel.VOICE, False),
        (60, "wu", Channel.VOICE, True),
    ]


def test_that_there_is_nobody_is_said_and_not_passed_over() -> None:
    call = Call(0, Target.OFFICERS, Channel.MESSAGE, repeat=False)
    (planned,) = to_people((call,), Rota((), ()), "e1", {}, NOW)
    assert planned.account is None


AT_THE_END = {Action.REVIEW, Action.RESOLVE}


class AnyNight(RuleBasedStateMachine):
    """An alert, its escalation, people and a clock, in whatever order; against what must always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.state = State.RAISED
        self.since = NOW
        self.until: datetime | None = None
        self.last_said = NOW - timedelta(days=1)
        self.course: Course | None = begin(POLICY, NOW)
        self.said: list[tuple[int, Call]] = []

    @initialize()
    def start(self) -> None:
        self.escalate()

    @rule(seconds=st.integers(1, 2000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def escalate(self) -> None:
        while self.course is not None and self.course.due_at <= self.now:
            decision = advance(self.course, Facts(self.state, self.since, self.until), self.now)
            if decision.calls:
                self.said += [(self.course.round, call) for call in decision.calls]
                self.last_said = self.now
            self.course = decision.course
            if decision.step:
                self.take(decision.step)
        if self.state in UNTAKEN:  # nobody has it: somebody was told no longer ago than the policy says
            assert self.now - self.last_said <= timedelta(seconds=POLICY.again_every_s)

    @precondition(lambda self: bool(possible(self.state) - AT_THE_END))
    @rule(data=st.data())
    def a_person_acts(self, data: st.DataObject) -> None:
        action = data.draw(st.sampled_from(sorted(possible(self.state) - AT_THE_END)))
        until = self.now + timedelta(minutes=30) if action is Action.SILENCE else None
        self.take(Step(action, "person:li", "why", until))

    @precondition(lambda self: self.state is State.ATTENDING)
    @rule()
    def it_is_closed(self) -> None:
        self.take(Step(Action.RESOLVE, "person:li", outcome=Outcome.TRUE))

    def take(self, step: Step) -> None:
        before, self.state = self.state, decide(self.state, Subject(Priority.CRITICAL), step, self.now)
        if before is not self.state:
            self.since = self.now
        self.until = step.until

    @invariant()
    def an_open_alert_is_never_forgotten(self) -> None:
        assert (self.course is None) <= (self.state in (State.RESOLVED, State.REVIEWED))

    @invariant()
    def nothing_is_put_off_for_longer_than_the_policy_says(self) -> None:
        if self.course is not None:
            assert self.course.due_at <= self.now + timedelta(seconds=POLICY.again_every_s)

    @invariant()
    def nothing_is_said_twice_without_a_label(self) -> None:
        unlabelled = [(round_, call.entry) for round_, call in self.said if not call.repeat]
        assert len(unlabelled) == len(set(unlabelled))
        steps = {n for n, entry in enumerate(timeline(POLICY)) if not entry.repeat}
        assert {entry for _, entry in unlabelled} <= steps | {1, 2}


AnyNight.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyNight = AnyNight.TestCase


ASKED_FIRST = Policy("asked", 1, POLICY.steps, ask=Ask(45, first=True))
BESIDE = Policy("beside", 1, POLICY.steps, ask=Ask(45))


def told(course: Course, at: datetime, **more: object) -> tuple[Course, list[Target]]:
    decision = advance(course, Facts(State.NOTIFYING, NOW, **more), at)  # type: ignore[arg-type]
    assert decision.course is not None
    return decision.course, [call.target for call in decision.calls]


def test_a_resident_who_is_asked_first_has_the_time_that_the_policy_gives_and_no_more() -> None:
    course, first = told(begin(ASKED_FIRST, NOW), NOW)
    assert first == [Target.RESIDENT]
    assert course.due_at == after(45)
    assert told(course, after(45))[1] == [Target.OFFICERS]


def test_a_resident_who_is_asked_beside_the_officers_holds_nobody_up() -> None:
    assert told(begin(BESIDE, NOW), NOW)[1] == [Target.RESIDENT, Target.OFFICERS]


def test_i_am_fine_ends_it_where_the_resident_was_asked_first_and_it_is_not_critical() -> None:
    course, _ = told(begin(ASKED_FIRST, NOW), NOW)
    fine = Facts(State.NOTIFYING, NOW, answer="fine", resident="r1", critical=False)
    step = advance(course, fine, after(10)).step
    assert step == Step(Action.RESOLVE, "resident:r1", "says to be fine", outcome=Outcome.FALSE)
    assert decide(State.NOTIFYING, Subject(Priority.HIGH), step, NOW) is State.RESOLVED


def test_i_am_fine_does_not_end_what_is_critical_nor_what_the_resident_was_asked_about_beside() -> None:
    for policy, critical in ((ASKED_FIRST, True), (BESIDE, False)):
        facts = Facts(State.NOTIFYING, NOW, answer="fine", resident="r1", critical=critical)
        assert advance(begin(policy, NOW), facts, after(1)).step is None


def test_i_need_help_ends_the_wait_at_once_and_every_later_step_keeps_its_time() -> None:
    course, _ = told(begin(ASKED_FIRST, NOW), NOW)
    course, called = told(course, after(5), answer="help", resident="r1")
    assert called == [Target.OFFICERS]
    assert course.due_at == after(35)
    assert told(course, after(20), answer="help", resident="r1")[1] == []


def test_a_resident_is_asked_once_and_never_when_nobody_answers_at_the_end() -> None:
    course = begin(Policy("one", 1, POLICY.steps[:1], ask=Ask(45, first=True)), NOW)
    heard = []
    for _ in range(6):
        course, targets = told(course, course.due_at)
        heard += targets
    assert heard.count(Target.RESIDENT) == 1
    assert heard.count(Target.OFFICERS) == 5


@pytest.mark.parametrize(
    "held",
    [
        Facts(State.ACKNOWLEDGED, after(4 * 3600)),
        Facts(State.SILENCED, NOW, silenced_until=after(6 * 3600)),
    ],
)
def test_a_wait_that_a_clock_which_was_put_back_has_set_too_far_ahead_ends_now(held: Facts) -> None:
    course, _ = said(begin(POLICY, NOW), NOW)
    step = advance(course, held, after(60)).step
    assert step is not None
    assert step.action is Action.REOPEN
