"""Who has looked at more than their work asked for: pure rules over the access log.

Neighbour: `api.cases` reads the log on a clock and opens a case for what is found here.  A rule accuses
nobody: it names what a person has to look into.

Rules
-----
1. Bulk: more residents in an hour than a duty brings: `ONE_BY_ONE` opened singly, or `LISTED` as a list.
2. Own family: a look at somebody who has, or whose family or key-holder has, the telephone number of the
   person who looks.
3. Off shift: a look for care by somebody who works by the rota, more than `MARGIN` outside of their shifts.
4. What an alert, a task, a hand-up or a broken glass brings along is looked at where those are, and what
   robots do is no look of a person's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

ONE_BY_ONE: Final = 40
"""An officer's busiest hour has some ten alerts; a grid worker's round some twenty doors."""
LISTED: Final = 500
"""Five pages of the list; an estate has some 2,000."""
HOUR: Final = timedelta(hours=1)
MARGIN: Final = timedelta(minutes=30)
CARE: Final = "care"
"""The purpose of a look that nothing but the person's own choice led to."""
LISTS: Final = frozenset({"list", "search", "coverage", "round", "sheet"})
SHORTEST_NUMBER: Final = 7
"""Digits; shorter ones are extensions that many people share."""


class Rule(StrEnum):
    """Which rule has seen something."""

    BULK = "bulk"
    OWN_FAMILY = "own_family"
    OFF_SHIFT = "off_shift"


@dataclass(frozen=True, slots=True)
class Look:
    """A line of the access log; `estate` is the resident's."""

    id: int
    at: datetime
    actor: str
    resident: str
    estate: str
    purpose: str
    what: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What somebody has to look into.

    Attributes:
        key: The same for the same thing seen again: one case.
        resident: Whom it is about, where it is one.
        looks: Numbers of lines of the access log, the first ones.
        count: How many residents, or looks.
    """

    rule: Rule
    actor: str
    key: str
    estate: str
    resident: str | None
    at: datetime
    looks: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Duty:
    """When somebody had a duty."""

    starts_at: datetime
    ends_at: datetime


def by_choice(looks: Iterable[Look]) -> list[Look]:
    """Leave what a person chose to look at, in time's order."""
    chosen = [look for look in looks if look.purpose == CARE and look.actor.startswith("person:")]
    return sorted(chosen, key=lambda look: (look.at, look.id))


def bulk(looks: Iterable[Look]) -> list[Suspicion]:
    """Find who has looked at more residents in an hour than a duty brings."""
    found = []
    grouped: dict[tuple[str, bool], list[Look]] = defaultdict(list)
    for look in by_choice(looks):
        grouped[look.actor, look.what in LISTS].append(look)
    for (actor, listed), theirs in sorted(grouped.items()):
        if busiest := _busiest_hour(theirs, LISTED if listed else ONE_BY_ONE):
            first = busiest[0]
            key = f"{'list' if listed else 'single'}:{first.at:%Y-%m-%d}"
            found.append(_suspicion(Rule.BULK, actor, key, busiest, len({one.resident for one in busiest})))
    return found


def _busiest_hour(looks: Sequence[Look], most: int) -> Sequence[Look]:
    """Return the first hour with more residents than `most`, or nothing; looks are in time's order."""
    begin, inside = 0, defaultdict[str, int](int)
    for end, look in enumerate(looks):
        inside[look.resident] += 1
        while look.at - looks[begin].at > HOUR:
            inside[looks[begin].resident] -= 1
            if not inside[looks[begin].resident]:
                del inside[looks[begin].resident]
            begin += 1
        if len(inside) > most:
            return looks[begin : end + 1]
    return ()


def own_family(
    looks: Iterable[Look], phones: Mapping[str, str], numbers: Mapping[str, Collection[str]]
) -> list[Suspicion]:
    """Find who has looked at their own family.

    Args:
        looks: Lines of the access log.
        phones: Telephone of each actor.
        numbers: Telephones of each resident, their family and key-holders.
    """
    theirs = {resident: {digits(one) for one in known} for resident, known in numbers.items()}
    grouped: dict[tuple[str, str], list[Look]] = defaultdict(list)
    for look in by_choice(looks):
        phone = digits(phones.get(look.actor, ""))
        if (
            look.what not in LISTS
            and len(phone) >= SHORTEST_NUMBER
            and phone in theirs.get(look.resident, ())
        ):
            grouped[look.actor, look.resident].append(look)
    return [
        _suspicion(Rule.OWN_FAMILY, actor, f"{resident}:{found[0].at:%Y-%m-%d}", found, len(found), resident)
        for (actor, resident), found in sorted(grouped.items())
    ]


def off_shift(looks: Iterable[Look], duties: Mapping[str, Sequence[Duty]]) -> list[Suspicion]:
    """Find who has looked outside of their shifts.

    Args:
        looks: Lines of the access log.
        duties: Of everybody who works by the rota, by actor; who is not in it is not asked.
    """
    grouped: dict[tuple[str, str], list[Look]] = defaultdict(list)
    for look in by_choice(looks):
        if look.actor in duties and not any(_covers(duty, look.at) for duty in duties[look.actor]):
            grouped[look.actor, f"{look.at:%Y-%m-%d}"].append(look)
    return [
        _suspicion(Rule.OFF_SHIFT, actor, day, found, len(found))
        for (actor, day), found in sorted(grouped.items())
    ]


def _covers(duty: Duty, at: datetime) -> bool:
    return duty.starts_at - MARGIN <= at <= duty.ends_at + MARGIN


def digits(phone: str) -> str:
    """Return a telephone number as digits, without the country's code of China."""
    plain = "".join(one for one in phone if one.isdigit())
    return plain.removeprefix("0086") if plain.startswith("0086") else plain.removeprefix("86")


def _suspicion(
    rule: Rule, actor: str, key: str, looks: Sequence[Look], count: int, resident: str | None = None
) -> Suspicion:
    ids = tuple(look.id for look in looks[:20])
    return Suspicion(rule, actor, key, looks[0].estate, resident, looks[0].at, ids, count)
