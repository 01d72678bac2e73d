"""An alert's life in any order of steps, against a reference that says the rules in other words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vigil.alerts import Action, Outcome, Priority, State, Step, Subject, decide, possible
from vigil.errors import Rejected

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
ACTORS = ("person:li", "robot:watchdog", "system:escalator", "resident:r1")
TIMES = st.sampled_from([None, -1, 0, 1, 239, 240, 241])


class Plain:
    """The rules as a person would tell them: what is open, who has it, what is over."""

    def __init__(self, priority: Priority, synthetic: str | None, *, whole_estate: bool) -> None:
        self.critical = priority is Priority.CRITICAL
        self.canary = synthetic == "canary"
        self.whole_estate = whole_estate
        self.state = "raised"

    @property
    def nobody_has_it(self) -> bool:
        return self.state in ("raised", "notifying", "delivered", "unanswered")

    @property
    def is_open(self) -> bool:
        return self.state not in ("resolved", "reviewed")

    def may(self, action: str, kind: str, outcome: str | None) -> bool:
        """Whether somebody of this kind ever takes this step."""
        if action in ("notify", "deliver", "reopen", "give_up"):
            return kind == "system"
        if kind == "resident":
            return action == "resolve" and outcome == "false" and not self.critical
        if kind == "robot":
            return action == "hand_to_fallback" or (self.canary and outcome in (None, "drill"))
        return kind == "person"

    def fits(self, action: str) -> bool:
        """Whether the step makes sense now."""
        has_somebody = self.state in ("acknowledged", "attending")
        on_paper = self.state == "fallback_owned"
        rests = self.state == "silenced"
        return {
            "notify": self.state == "raised",
            "deliver": self.state in ("raised", "notifying"),
            "give_up": self.state in ("notifying", "delivered"),
            "acknowledge": self.nobody_has_it or rests or on_paper,
            "attend": self.nobody_has_it or self.state == "acknowledged" or on_paper,
            "silence": self.nobody_has_it or has_somebody,
            "hand_to_fallback": self.nobody_has_it or has_somebody,
            "reopen": self.state == "acknowledged" or rests,
            "resolve": self.is_open,
            "review": self.state == "resolved",
        }[action]

    def complete(self, action: str, reason: str, outcome: str | None, minutes: int | None) -> bool:
        """Whether the step has what it needs."""
        if action in ("silence", "reopen", "give_up") and not reason:
            return False
        if (action == "resolve") != (outcome is not None):
            return False
        if action == "silence":
            forbidden = self.critical and self.whole_estate
            return not forbidden and minutes is not None and 0 < minutes <= 240
        return True

    def take(self, action: str) -> None:
        self.state = {
            "notify": "notifying",
            "deliver": "delivered",
            "give_up": "unanswered",
            "acknowledge": "acknowledged",
            "attend": "attending",
            "silence": "silenced",
            "hand_to_fallback": "fallback_owned",
            "reopen": "notifying",
            "resolve": "resolved",
            "review": "reviewed",
        }[action]


class AnyLife(RuleBasedStateMachine):
    """Whatever anybody tries, the machine and the reference agree."""

    @initialize(
        priority=st.sampled_from(Priority),
        synthetic=st.sampled_from([None, "demo", "canary"]),
        whole_estate=st.booleans(),
    )
    def raise_it(self, priority: Priority, synthetic: str | None, whole_estate: bool) -> None:
        self.subject = Subject(priority, whole_estate, synthetic)
        self.plain = Plain(priority, synthetic, whole_estate=whole_estate)
        self.state = State.RAISED

    @rule(
        action=st.sampled_from(Action),
        actor=st.sampled_from(ACTORS),
        reason=st.sampled_from(["", "why"]),
        outcome=st.sampled_from([None, *Outcome]),
        minutes=TIMES,
    )
    def somebody_tries(
        self, action: Action, actor: str, reason: str, outcome: Outcome | None, minutes: int | None
    ) -> None:
        until = None if minutes is None else NOW + timedelta(minutes=minutes)
        allowed = (
            self.plain.may(action, actor.partition(":")[0], outcome)
            and self.plain.fits(action)
            and self.plain.complete(action, reason, outcome, minutes)
        )
        try:
            self.state = decide(self.state, self.subject, Step(action, actor, reason, until, outcome), NOW)
        except Rejected:
            assert not allowed
        else:
            assert allowed
            self.plain.take(action)

    @invariant()
    def they_agree_on_where_it_stands(self) -> None:
        assert self.state == self.plain.state

    @invariant()
    def an_open_alert_can_always_be_closed_by_a_person(self) -> None:
        assert (Action.RESOLVE in possible(self.state)) == self.plain.is_open


AnyLife.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestAnyLife = AnyLife.TestCase
