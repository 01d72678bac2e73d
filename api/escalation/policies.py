"""Who is told by what, and when: policies as data, and which one applies.  Pure.

Neighbours: `planner` walks along a policy's timeline; `vigil.store.escalation` keeps versions.
A policy in the database goes before the built-in one of the same priority.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from vigil.alerts import Priority


class Target(StrEnum):
    """Whom a step is for; `rota.Rota` says who that is now."""

    OFFICER = "officer"
    """One of the officers on duty, who has least to do just now (`rota.least_busy`)."""
    OFFICERS = "officers"
    SUPERVISOR = "supervisor"
    SHIFT = "shift"
    PHONE_TREE = "phone_tree"
    RESIDENT = "resident"


class Channel(StrEnum):
    """By what: the console is there already when the alert is; the others go to a person's contacts."""

    CONSOLE = "console"
    MESSAGE = "message"
    VOICE = "voice"
    RESIDENT = "resident"
    """The resident's own: a call to them, or a page."""
    PUSH = "push"
    """A person's own browsers.  No step of a policy: it goes along with what is sent to them."""


class Ask(Struct, frozen=True, forbid_unknown_fields=True):
    """The resident is asked whether all is well.

    Attributes:
        within_s: How long an answer is waited for; none goes on.
        first: Nobody else is told before that; otherwise the resident is asked beside them.
    """

    within_s: float
    first: bool = False


class PolicyStep(Struct, frozen=True, forbid_unknown_fields=True):
    """One step.

    Attributes:
        wait_s: Seconds from the beginning of the round.
        target: Whom.
        channel: By what.
        repeats: How often it is said again, `every_s` apart.
    """

    wait_s: float
    target: Target
    channel: Channel
    repeats: int = 0
    every_s: float = 30


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy in one version.

    Attributes:
        name: With `version` names it in records.
        steps: In any order.
        attend_within_s: Acknowledged, but nobody there by then: it opens again.
        again_every_s: After the last step the last ones are said again, this far apart, until
            somebody answers: nothing is ever given up in silence.
        ask: The resident is asked first, or beside the others; None: not asked.
    """

    name: str
    version: int
    steps: tuple[PolicyStep, ...]
    attend_within_s: float = 600
    again_every_s: float = 120
    ask: Ask | None = None


class Stored(Struct, frozen=True):
    """A policy and what it is for; None fits everything."""

    policy: Policy
    priority: str
    estate: str | None = None
    kind: str | None = None
    from_hour: int | None = None
    to_hour: int | None = None


class Entry(Struct, frozen=True):
    """A moment of a policy's timeline."""

    wait_s: float
    target: Target
    channel: Channel
    repeat: bool


def timeline(policy: Policy) -> tuple[Entry, ...]:
    """Return a policy's steps with their repeats, in order of time; the question to the resident first."""
    later = policy.ask.within_s if policy.ask and policy.ask.first else 0
    entries = (
        Entry(later + step.wait_s + n * step.every_s, step.target, step.channel, n > 0)
        for step in policy.steps
        for n in range(step.repeats + 1)
    )
    asked = (Entry(0, Target.RESIDENT, Channel.RESIDENT, repeat=False),) if policy.ask else ()
    return asked + tuple(sorted(entries, key=lambda entry: entry.wait_s))


def longest_wait(policy: Policy) -> float:
    """Return a bound, in seconds, of how far ahead the next moment of a policy can ever lie."""
    return max(policy.again_every_s, timeline(policy)[-1].wait_s)


def choose(stored: list[Stored], priority: Priority, estate: str, kind: str, hour: int) -> Policy:
    """Return the policy that applies: the most specific, then the newest; else the built-in one.

    Args:
        stored: Every policy, in every version.
        priority: Of the alert.
        estate: Where it is.
        kind: What it is.
        hour: Local hour, 0 to 23.
    """
    fitting = [s for s in stored if s.priority == priority and _fits(s, estate, kind, hour)]
    if not fitting:
        return OF_KIND.get(kind, DEFAULTS[priority])
    return max(fitting, key=lambda s: (_weight(s), s.policy.version)).policy


def _fits(stored: Stored, estate: str, kind: str, hour: int) -> bool:
    return (
        stored.estate in (None, estate)
        and stored.kind in (None, kind)
        and _within(hour, stored.from_hour, stored.to_hour)
    )


def _within(hour: int, first: int | None, last: int | None) -> bool:
    if first is None or last is None:
        return True
    return first <= hour <= last if first <= last else hour >= first or hour <= last


def _weight(stored: Stored) -> tuple[bool, bool, bool]:
    return stored.estate is not None, stored.kind is not None, stored.from_hour is not None


def read(body: object) -> Policy:
    """Read a policy from its JSON value.

    Raises:
        msgspec.ValidationError: Names the field that is wrong.
    """
    return msgspec.convert(body, Policy)


_P: Final = PolicyStep
DEFAULTS: Final[dict[Priority, Policy]] = {
    # Nobody is told later than the design says, most are told earlier: decision 0005.
    Priority.CRITICAL: Policy(
        "critical",
        1,
        (
            _P(0, Target.OFFICERS, Channel.CONSOLE),
            _P(0, Target.OFFICERS, Channel.MESSAGE),
            _P(12, Target.OFFICERS, Channel.VOICE, repeats=3, every_s=12),
            _P(15, Target.SUPERVISOR, Channel.VOICE, repeats=2, every_s=30),
            _P(30, Target.SHIFT, Channel.VOICE, repeats=2, every_s=30),
            _P(120, Target.PHONE_TREE, Channel.VOICE, repeats=2, every_s=30),
        ),
    ),
    # One officer first, and the others a minute later: decision 0014.
    Priority.HIGH: Policy(
        "high",
        2,
        (
            _P(0, Target.OFFICERS, Channel.CONSOLE),
            _P(0, Target.OFFICER, Channel.MESSAGE),
            _P(30, Target.OFFICER, Channel.VOICE),
            _P(60, Target.OFFICERS, Channel.VOICE, repeats=1, every_s=30),
            _P(120, Target.SUPERVISOR, Channel.VOICE, repeats=1, every_s=60),
            _P(240, Target.SHIFT, Channel.VOICE),
        ),
        attend_within_s=1200,
        again_every_s=300,
    ),
    Priority.MEDIUM: Policy(
        "medium",
        1,
        (
            _P(0, Target.OFFICERS, Channel.CONSOLE),
            _P(120, Target.OFFICERS, Channel.MESSAGE, repeats=1, every_s=300),
            _P(900, Target.SUPERVISOR, Channel.MESSAGE),
        ),
        attend_within_s=3600,
        again_every_s=1800,
    ),
    Priority.TROUBLE: Policy(
        "trouble",
        1,
        (
            _P(0, Target.OFFICERS, Channel.CONSOLE),
            _P(60, Target.SUPERVISOR, Channel.MESSAGE, repeats=1, every_s=300),
        ),
        attend_within_s=3600,
        again_every_s=1800,
    ),
}
OF_KIND: Final = {
    # What a resident reports of the neighbourhood is a grid worker's task already; it wakes nobody.
    "neighbourhood": Policy(
        "neighbourhood",
        1,
        (
            _P(0, Target.OFFICERS, Channel.CONSOLE),
            _P(86_400, Target.SUPERVISOR, Channel.MESSAGE),
        ),
        attend_within_s=86_400,
        again_every_s=86_400,
    ),
}
"""Built-in policies of a kind, whatever its priority."""
