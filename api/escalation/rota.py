"""Who is on duty: pure look-ups in the rota, which never come up empty while anybody is there.

Neighbours: `planner` asks whom a step is for; `vigil.store.escalation` reads the rows.

Rules
-----
1. A target that nobody holds now falls through: officers to supervisors on shift, to any
   supervisor or manager, to the street's centre, to whoever has an account of an officer.
2. A person goes on duty only with two contacts verified within 30 days (pitfall 32).
3. An hour without an officer within the next 7 days is said now, not then.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """Somebody who can be told, with their contacts in the order they prefer."""

    account: str
    role: str
    estates: frozenset[str]
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class Shift:
    """A person's duty from `starts_at` until `ends_at`."""

    account: str
    duty: str
    starts_at: datetime
    ends_at: datetime


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
            Target.OFFICERS: (on.duty("officer"), on.duty("supervisor")),
            Target.SUPERVISOR: (on.duty("supervisor"),),
            Target.SHIFT: (on.duty("officer", "supervisor", "grid_worker"),),
            Target.PHONE_TREE: (_role(near, "supervisor", "community_manager", "street_centre"),),
        }[target]
        floor = (
            _role(near, "supervisor", "community_manager"),
            _role(near, "street_centre"),
            _role(near, "duty_officer"),
        )
        return next((people for people in (*ladder, *floor) if people), ())


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


def route(person: Person, channel: Channel) -> tuple[Contact, ...]:
    """Return a person's contacts in the order to try them: those of the channel, then the others."""
    first = tuple(c for c in person.contacts if c.channel is channel)
    return first + tuple(c for c in person.contacts if c.channel is not channel)
