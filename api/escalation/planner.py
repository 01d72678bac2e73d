"""What is due for an alert now: the pure heart of the escalation.

Place in the flow: `worker` claims a due row, this module decides, `worker` writes what was
decided in the same transaction; notices are then sent one by one.  `tests.sla` runs the same
code against simulated people.

Rules
-----
1. An alert that nobody has goes along its policy's timeline; whatever is due goes out, also
   when a dead worker or a jumped clock made it late.  A clock that went back starts nothing
   anew and holds nothing back: a beginning that lies ahead counts as now, and what lies
   further ahead than the policy ever waits is drawn near.
2. Past the last entry it is `unanswered`, and the last entries are said again until somebody
   answers.  Whatever was said before is labelled as a repeat.
3. Acknowledged without attendance in time, and a silence that ends, open it again: a new round.
4. A resident who is asked first and says to be fine ends it, unless it is critical; who wants
   help ends the wait, and everybody else is told at once; no answer goes on.
5. What a person has, what is closed, and what the people on paper have, is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from api.escalation.policies import Channel, Entry, Policy, Target, longest_wait, timeline
from api.escalation.rota import Load, Rota, least_busy
from vigil.alerts import OPEN, SILENCE_AT_MOST, UNTAKEN, Action, Outcome, State, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTOR: Final = "system:escalator"
APART: Final = timedelta(seconds=10)
"""Between two notices of an alert to a person by one channel: a call rings for about so long."""
LOOK_AGAIN: Final = timedelta(seconds=60)
"""How often an alert that somebody has is looked at, in case its state changes unheard."""


@dataclass(frozen=True, slots=True)
class Course:
    """How far the escalation of an alert has come.

    Attributes:
        round: 0, and one more each time it opens again.
        started_at: When the round began.
        next: Number of the next entry; past the timeline, of the repetitions after it.
        due_at: When to look again.
    """

    round: int
    policy: Policy
    started_at: datetime
    next: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What of the alert decides.

    Attributes:
        state: As it stands.
        since: When it came into that state.
        silenced_until: End of a silence.
        answer: What the resident has said since it was raised: `fine` or `help`.
        resident: Who has said so.
        critical: Then a resident's word alone does not end it.
    """

    state: State
    since: datetime
    silenced_until: datetime | None = None
    answer: str | None = None
    resident: str | None = None
    critical: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody is to be told: whom, by what, and whether it was said before in this round.

    Attributes:
        entry: Number within the round; with the round it names the call.
    """

    entry: int
    target: Target
    channel: Channel
    repeat: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    Attributes:
        course: As it goes on; None when it is over.
        calls: Who is to be told now.
        step: Transition of the alert, if any.
    """

    course: Course | None
    calls: tuple[Call, ...] = ()
    step: Step | None = None


def begin(policy: Policy, now: datetime, round_: int = 0) -> Course:
    """Return the course of a round that begins now."""
    return Course(round_, policy, now, 0, now)


def advance(course: Course, facts: Facts, now: datetime) -> Decision:
    """Decide what is due."""
    if facts.state not in OPEN:
        return Decision(None)
    if facts.state in UNTAKEN and _says_fine(course, facts):
        step = Step(Action.RESOLVE, f"resident:{facts.resident}", "says to be fine", outcome=Outcome.FALSE)
        return Decision(replace(course, due_at=now + LOOK_AGAIN), step=step)
    if facts.state in UNTAKEN:
        return _go_on(_sooner(course, facts, now), facts, now)
    ends, why = _holds_until(course, facts, now)
    if ends is None:
        return Decision(replace(course, due_at=now + LOOK_AGAIN))
    if now < ends:
        return Decision(replace(course, due_at=min(ends, now + LOOK_AGAIN)))
    again = begin(course.policy, now, course.round + 1)
    return Decision(again, step=Step(Action.REOPEN, ACTOR, why))


def _says_fine(course: Course, facts: Facts) -> bool:
    """Whether the resident's word ends it (rule 4)."""
    asked = course.policy.ask
    return asked is not None and asked.first and facts.answer == "fine" and not facts.critical


def _sooner(course: Course, facts: Facts, now: datetime) -> Course:
    """End the wait for the resident's answer when that is a call for help (rule 4)."""
    asked = course.policy.ask
    if asked is None or not asked.first or facts.answer != "help":
        return course
    return replace(course, started_at=min(course.started_at, now - timedelta(seconds=asked.within_s)))


def _holds_until(course: Course, facts: Facts, now: datetime) -> tuple[datetime | None, str]:
    """Return when an alert that somebody has opens again, and why (rule 3)."""
    if facts.state is State.SILENCED and facts.silenced_until is not None:
        return _believable(facts.silenced_until, now, SILENCE_AT_MOST), "the silence has ended"
    if facts.state is State.ACKNOWLEDGED:
        limit = timedelta(seconds=course.policy.attend_within_s)
        why = f"nobody was there within {limit / timedelta(minutes=1):.0f} min"
        return _believable(facts.since + limit, now, 2 * limit), why
    return None, ""


def _believable(ends: datetime, now: datetime, at_most: timedelta) -> datetime:
    """Return when a wait ends; one that lies too far ahead was set by a clock that was put back, and ends now."""
    return ends if ends <= now + at_most else now


def _go_on(course: Course, facts: Facts, now: datetime) -> Decision:
    course = _drawn_near(course, now)
    entries = timeline(course.policy)
    if course.next >= len(entries):
        return _say_again(course, facts, now)
    due = [n for n in range(course.next, len(entries)) if _at(course, n) <= now]
    number = due[-1] + 1 if due else course.next
    step = Step(Action.NOTIFY, ACTOR) if due and facts.state is State.RAISED else None
    return Decision(replace(course, next=number, due_at=_at(course, number)), _calls(entries, due), step)


def _drawn_near(course: Course, now: datetime) -> Course:
    """Undo what a clock did that ran ahead and was put back (rule 1)."""
    course = replace(course, started_at=min(course.started_at, now))
    too_far = _at(course, course.next) - now - timedelta(seconds=longest_wait(course.policy))
    return replace(course, started_at=course.started_at - max(too_far, timedelta()))


def _calls(entries: tuple[Entry, ...], due: list[int]) -> tuple[Call, ...]:
    """Say what is due; what is due several times at once, since we are late, is said once."""
    first = {(entries[n].target, entries[n].channel): n for n in reversed(due)}
    return tuple(
        Call(n, *key, entries[n].repeat) for key, n in sorted(first.items(), key=lambda item: item[1])
    )


def _say_again(course: Course, facts: Facts, now: datetime) -> Decision:
    """Go on past the last entry (rule 2); repetitions that were missed are not made up for."""
    if now < _at(course, course.next):
        return Decision(replace(course, due_at=_at(course, course.next)))
    entries = timeline(course.policy)
    told = [entry for entry in entries if entry.target is not Target.RESIDENT]
    said = sorted({(entry.target, entry.channel) for entry in told[-2:]})
    calls = tuple(Call(course.next, target, channel, repeat=True) for target, channel in said)
    gives_up = facts.state in (State.NOTIFYING, State.DELIVERED)
    step = Step(Action.GIVE_UP, ACTOR, "nobody has answered") if gives_up else None
    missed = (now - _at(course, course.next)) // timedelta(seconds=course.policy.again_every_s)
    number = course.next + 1 + missed
    return Decision(replace(course, next=number, due_at=_at(course, number)), calls, step)


def _at(course: Course, number: int) -> datetime:
    """Return when an entry is due, or the repetition with a number past the timeline."""
    entries = timeline(course.policy)
    within = min(number, len(entries) - 1)
    past = (number - within) * course.policy.again_every_s
    return course.started_at + timedelta(seconds=entries[within].wait_s + past)


@dataclass(frozen=True, slots=True)
class Planned:
    """One notice to one person; no account means that there is nobody who could be told."""

    account: str | None
    entry: int
    channel: Channel
    repeat: bool


def to_people(
    calls: tuple[Call, ...],
    rota: Rota,
    estate: str,
    told: Mapping[tuple[str, str], datetime],
    now: datetime,
    loads: Mapping[str, Load] | None = None,
) -> tuple[Planned, ...]:
    """Turn calls into notices: each person once per channel, and a repeat to whom it was said before.

    Whom two steps name (an officer is of the shift too) is not rung again while the telephone may
    still be ringing: that call is left out, the next one of the policy comes.  What goes to a person
    goes to their browsers as well, which costs nobody a further call.

    Args:
        calls: What is due.
        rota: Everybody, and who is on shift.
        estate: Where it is.
        told: When accounts last had a notice of this alert, by account and channel.
        now: Present time.
        loads: What people have to do, where a step is for one of several.
    """
    before = {account for account, channel in told if channel != Channel.CONSOLE}
    planned: dict[tuple[str | None, Channel], Planned] = {}
    for call in calls:
        if call.target is Target.RESIDENT:
            planned[None, call.channel] = Planned(None, call.entry, call.channel, call.repeat)
            continue
        meant = rota.resolve(call.target, estate, now)
        if call.target is Target.OFFICER:
            meant = least_busy(meant, before, loads or {}, now)
        people: list[str | None] = [person.account for person in meant]
        for account in people or [None]:
            if account is not None and _just_told(told.get((account, call.channel)), now):
                continue
            repeat = call.channel is not Channel.CONSOLE and account in before
            notice = Planned(account, call.entry, call.channel, repeat)
            planned.setdefault((account, call.channel), notice)
    return (*planned.values(), *_pushed(tuple(planned.values()), rota))


def _pushed(planned: tuple[Planned, ...], rota: Rota) -> tuple[Planned, ...]:
    """Return what goes along to people's browsers: once each, with what is sent to them."""
    taking = {person.account for person in rota.people if person.pushed}
    sent = {one.account: one for one in reversed(planned) if one.channel in (Channel.MESSAGE, Channel.VOICE)}
    return tuple(replace(one, channel=Channel.PUSH) for account, one in sent.items() if account in taking)


def _just_told(last: datetime | None, now: datetime) -> bool:
    """Whether a notice went out a moment ago; one that lies ahead was made by a clock that ran ahead."""
    return last is not None and timedelta() <= now - last < APART
