"""Whoever plans, hands over and goes on leave in whatever order: the rota against an hour-by-hour list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.escalation.policies import Channel, Target
from api.escalation.rota import Contact, Cover, Leave, Person, Rota, Shift, effective, gaps

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURS = range(30)
OFFICERS = ("li", "wu", "sun")
WHO = st.sampled_from(OFFICERS)
FIRST = st.integers(0, 24)
LONG = st.integers(1, 6)
REACHED = (Contact(Channel.MESSAGE, "m://", NOW), Contact(Channel.VOICE, "v://", NOW))
PEOPLE = (
    *(Person(who, "duty_officer", frozenset("*"), REACHED) for who in OFFICERS),
    Person("boss", "supervisor", frozenset("*"), REACHED),
)


class AnyRota(RuleBasedStateMachine):
    """The reference is one dictionary a shift, hour -> who has it, and a list of who is away when."""

    def __init__(self) -> None:
        super().__init__()
        self.shifts: list[Shift] = []
        self.covers: list[Cover] = []
        self.leaves: list[Leave] = []
        self.held: list[dict[int, str]] = []
        self.away: list[tuple[str, range]] = []

    @rule(who=WHO, first=FIRST, long=LONG)
    def somebody_is_put_on_duty(self, who: str, first: int, long: int) -> None:
        self.shifts.append(Shift(who, "officer", NOW + first * HOUR, NOW + (first + long) * HOUR))
        self.held.append(dict.fromkeys(range(first, first + long), who))

    @precondition(lambda self: self.shifts)
    @rule(data=st.data(), who=WHO, first=FIRST, long=LONG)
    def somebody_stands_in(self, data: st.DataObject, who: str, first: int, long: int) -> None:
        number = data.draw(st.integers(0, len(self.shifts) - 1))
        self.covers.append(Cover(number, who, NOW + first * HOUR, NOW + (first + long) * HOUR))
        self.held[number] |= {hour: who for hour in range(first, first + long) if hour in self.held[number]}

    @rule(who=WHO, first=FIRST, long=LONG)
    def somebody_goes_on_leave(self, who: str, first: int, long: int) -> None:
        self.leaves.append(Leave(who, NOW + first * HOUR, NOW + (first + long) * HOUR))
        self.away.append((who, range(first, first + long)))

    @precondition(lambda self: self.leaves)
    @rule()
    def the_last_leave_is_taken_back(self) -> None:
        self.leaves.pop()
        self.away.pop()

    def on_duty(self, hour: int) -> set[str]:
        """Who has duty, by the reference."""
        held = {holder[hour] for holder in self.held if hour in holder}
        return held - {who for who, hours in self.away if hour in hours}

    def rota(self) -> Rota:
        return Rota(PEOPLE, effective(tuple(self.shifts), self.covers, tuple(self.leaves)))

    @invariant()
    def exactly_who_has_duty_is_told_and_without_anybody_the_supervisor_is(self) -> None:
        rota = self.rota()
        for hour in HOURS:
            told = {p.account for p in rota.resolve(Target.OFFICERS, "e1", NOW + hour * HOUR + HOUR / 2)}
            assert told == (self.on_duty(hour) or {"boss"})

    @invariant()
    def gaps_are_exactly_the_hours_without_anybody(self) -> None:
        found = gaps(self.rota().shifts, NOW)
        for hour in HOURS:
            moment = NOW + hour * HOUR + HOUR / 2
            assert any(a <= moment < b for a, b in found) == (not self.on_duty(hour))


AnyRota.TestCase.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
TestAnyRota = AnyRota.TestCase
