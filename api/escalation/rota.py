"""Who is on duty: pure look-ups in the rota, which never come up empty while anybody is there.

Neighbours: `planner` asks whom a step is for; `vigil.store.rota` keeps the rows.

Rules
-----
1. A target that nobody holds now falls through: officers to supervisors on shift, to any
   supervisor or manager, to the street's centre, to whoever has an account of an officer.
2. A person goes on duty only with two contacts verified within 30 days (pitfall 32).  Should
   that lapse on duty, they are told all the same, and so are those who come after them.
3. An hour without an officer within the next 7 days is said now, not then.
4. One officer of several is the one with least to do, and stays the same for an alert; where none
   of them is fit, all of them are told.
5. Who stands in for a part of a shift has it, and its holder has not; the last agreement
   counts.  Who is on leave has no duty, whatever the shifts say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from api.escalation.policies import Channel, Target

VERIFIED_WITHIN: Final = timedelta(days=30)
CONTACTS_NEEDED: Final = 2
LOOK_AHEAD: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach a person, an Apprise address."""

    channel: Channel
    url: str
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be told, with their contacts in the order they prefer.

    Attributes:
        pushed: A browser of theirs takes Web Push, beside whatever else they are told by.
    """

    account: str
    role: str
    estates: frozenset[str]
    contacts: tuple[Contact, ...] = ()
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class Shift:
    """A person's duty from `starts_at` until `ends_at`."""

    account: str
    duty: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Load:
    """What somebody has to do just now.

    Attributes:
        held: Open alerts that they have.
        alarms: Alerts that they were told of in the last 10 minutes.
        last_at: When they were told of the last one.
    """

    held: int = 0
    alarms: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """Somebody stands in for a part of a shift; `shift` is an index into the shifts given with it."""

    shift: int
    account: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Leave:
    """A person has no duty from `starts_at` until `ends_at`."""

    account: str
    starts_at: datetime
    ends_at: datetime


def effective(
    shifts: tuple[Shift, ...], covers: Iterable[Cover] = (), leaves: tuple[Leave, ...] = ()
) -> tuple[Shift, ...]:
    """Return who has duty when, after what was agreed and who is away (rule 5).

    Args:
        shifts: As they were planned.
        covers: Agreed ones alone, in the order in which they were agreed.
        leaves: Of anybody.
    """
    parts = [[shift] for shift in shifts]
    for cover in covers:
        mine = replace(shifts[cover.shift], account=cover.account)
        rest = [piece for part in parts[cover.shift] for piece in _without(part, cover)]
        taken = _within(mine, cover)
        parts[cover.shift] = [*rest, taken] if taken.starts_at < taken.ends_at else rest
    pieces = [part for of_shift in parts for part in of_shift]
    for leave in leaves:
        pieces = [
            kept
            for piece in pieces
            for kept in (_without(piece, leave) if piece.account == leave.account else [piece])
        ]
    return tuple(sorted(pieces, key=lambda piece: (piece.starts_at, piece.account)))


def _without(shift: Shift, span: Cover | Leave) -> list[Shift]:
    """Return what is left of a shift outside a span of time."""
    before = replace(shift, ends_at=min(shift.ends_at, span.starts_at))
    after = replace(shift, starts_at=max(shift.starts_at, span.ends_at))
    return [piece for piece in (before, after) if piece.starts_at < piece.ends_at]


def _within(shift: Shift, span: Cover) -> Shift:
    return replace(
        shift, starts_at=max(shift.starts_at, span.starts_at), ends_at=min(shift.ends_at, span.ends_at)
    )


@dataclass(frozen=True, slots=True)
class Rota:
    """Everybody, and who is on shift when."""

    people: tuple[Person, ...]
    shifts: tuple[Shift, ...]

    def resolve(self, target: Target, estate: str, now: datetime) -> tuple[Person, ...]:
        """Return whom a step is for; empty only where nobody at all could be told (rule 1)."""
        near = tuple(p for p in self.people if p.estates & {estate, "*"}) or self.people
        on = _OnShift(near, self.shifts, now)
        ladder = {
            Target.OFFICER: (on.duty("officer"), on.duty("supervisor")),
            Target.OFFICERS: (on.duty("officer"), on.duty("supervisor")),
            Target.SUPERVISOR: (on.duty("supervisor"),),
            Target.SHIFT: (on.duty("officer", "supervisor", "grid_worker"),),
            Target.RESIDENT: (),
            Target.PHONE_TREE: (_role(near, "supervisor", "community_manager", "street_centre"),),
        }[target]
        floor = (
            _role(near, "supervisor", "community_manager"),
            _role(near, "street_centre"),
            _role(near, "duty_officer"),
        )
        return _until_reachable((*ladder, *floor), now)


def _until_reachable(rungs: tuple[tuple[Person, ...], ...], now: datetime) -> tuple[Person, ...]:
    """Return the first rung with anybody on it, and further ones while nobody on them is fit (rule 2)."""
    told: dict[str, Person] = {}
    for people in rungs:
        told.update((person.account, person) for person in people)
        if any(unfit(person, now) is None for person in people):
            break
    return tuple(told.values())


def least_busy(
    people: tuple[Person, ...], known: Collection[str], loads: Mapping[str, Load], now: datetime
) -> tuple[Person, ...]:
    """Return the one of several people who is to be told first (rule 4); all, where nobody is fit.

    Args:
        people: Whom a step is for.
        known: Accounts that were told of this alert before.
        loads: What each has to do; who is not in it has nothing.
        now: Present time.
    """
    fit = [person for person in people if unfit(person, now) is None]
    if not fit:
        return people
    return (min(fit, key=lambda person: (person.account not in known, *_busy(loads, person))),)


def _busy(loads: Mapping[str, Load], person: Person) -> tuple[int, int, float, str]:
    load = loads.get(person.account, Load())
    return load.held, load.alarms, load.last_at.timestamp() if load.last_at else 0.0, person.account


@dataclass(frozen=True, slots=True)
class _OnShift:
    people: tuple[Person, ...]
    shifts: tuple[Shift, ...]
    now: datetime

    def duty(self, *duties: str) -> tuple[Person, ...]:
        on = {s.account for s in self.shifts if s.duty in duties and s.starts_at <= self.now < s.ends_at}
        return tuple(p for p in self.people if p.account in on)


def _role(people: tuple[Person, ...], *roles: str) -> tuple[Person, ...]:
    return tuple(p for p in people if p.role in roles)


def unfit(person: Person, now: datetime) -> str | None:
    """Return why a person may not go on duty, or None (rule 2)."""
    good = [c for c in person.contacts if c.verified_at and now - c.verified_at <= VERIFIED_WITHIN]
    if len(good) >= CONTACTS_NEEDED:
        return None
    days = VERIFIED_WITHIN.days
    return f"{person.account} has {len(good)} of {CONTACTS_NEEDED} contacts verified within {days} days"


def gaps(shifts: tuple[Shift, ...], now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times of the next 7 days at which no officer is on shift (rule 3)."""
    end, at = now + LOOK_AHEAD, now
    found = []
    for shift in sorted((s for s in shifts if s.duty == "officer"), key=lambda s: s.starts_at):
        if at < min(shift.starts_at, end):
            found.append((at, min(shift.starts_at, end)))
        at = max(at, shift.ends_at)
    return [*found, (at, end)] if at < end else found


def lapses(rota: Rota, now: datetime) -> list[tuple[datetime, str, str]]:
    """Return when, within the next 7 days, who begins a shift (or is on one) unfit, and why (rule 2)."""
    people = {person.account: person for person in rota.people}
    ahead = sorted(
        (max(shift.starts_at, now), shift.account)
        for shift in rota.shifts
        if shift.starts_at < now + LOOK_AHEAD and shift.ends_at > now
    )
    first = {account: at for at, account in reversed(ahead)}
    reasons = ((at, who, unfit(people[who], at)) for who, at in first.items() if who in people)
    return sorted((at, who, why) for at, who, why in reasons if why)


def for_estate(rota: Rota, estate: str) -> Rota:
    """Return the rota of those who look after an estate."""
    near = {p.account for p in rota.people if p.estates & {estate, "*"}}
    return Rota(
        tuple(p for p in rota.people if p.account in near),
        tuple(s for s in rota.shifts if s.account in near),
    )


def route(person: Person, channel: Channel) -> tuple[Contact, ...]:
    """Return a person's contacts in the order to try them: those of the channel, then the others."""
    first = tuple(c for c in person.contacts if c.channel is channel)
    return first + tuple(c for c in person.contacts if c.channel is not channel)
