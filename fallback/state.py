"""The verdict on one estate: one pure state machine.

Place in the flow: `watchdog` brings the findings of `liveness` and `canary`, keeps the
verdict in `store`, and tells people through `notify` and `page` when the mode has changed.

Rules
-----
1. NORMAL -> DEGRADED -> FALLBACK -> RECOVERING -> NORMAL.
2. A *hard* cause (nothing comes through) enters FALLBACK at once, from any mode, by itself:
   liveness has already waited for three missed looks or two late canaries.  A *soft* cause
   (something is wrong, and residents are still served) enters DEGRADED, from NORMAL alone.
3. DEGRADED ends by itself after `SETTLE` without any cause, so that a flapping part does
   not flap the verdict.
4. A person may declare FALLBACK at any time, with a reason in words.
5. Nothing but a person leaves FALLBACK, and only while no hard cause stands: to RECOVERING,
   where people still keep watch while the backlog drains.  A hard cause, or a person, goes
   back to FALLBACK.
6. Nothing but a person leaves RECOVERING for NORMAL, and only when every unprotected
   interval has a welfare result, no conflict is open, and the canary has been good for
   `CANARY_GOOD`.
7. `since` moves with the mode and with nothing else; in FALLBACK the causes only grow, so
   that the page still says why it was declared.
8. A drill's mark hides nothing real: a hard cause takes it off, and people begin anew in earnest.
   Only while a part is broken on purpose (*practising*: a component drill, until its end) do
   hard causes carry the mark themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from vigil.errors import Rejected

SETTLE: Final = timedelta(seconds=60)
"""Without any cause, before DEGRADED ends by itself."""
CANARY_GOOD: Final = timedelta(minutes=10)
"""Of good canaries, before a person may close a fallback (issue 8)."""
WATCHDOG: Final = "system:watchdog"


class Mode(StrEnum):
    """How an estate is looked after."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    FALLBACK = "fallback"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong.

    Attributes:
        code: What kind, such as `canary` or `service`; `words` puts it into sentences.
        subject: Which one: a stage, a service, an estate.
        since: When it began, as far as was seen.
        detail: What was seen, in a few words.
    """

    code: str
    subject: str
    since: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at one estate found: nothing comes through, or something is wrong."""

    hard: tuple[Cause, ...] = ()
    soft: tuple[Cause, ...] = ()

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Return all of them, the worst first."""
        return self.hard + self.soft


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an estate stands.

    Attributes:
        mode: The mode.
        since: When this mode was entered.
        by: Who brought it about: `system:watchdog` or `person:...`.
        causes: Why; in FALLBACK and RECOVERING those of the declaration stay.
        reason: A person's words.
        well_since: Since when no cause at all has been seen; None while one stands.
        drill: Declared as an exercise.
        declared_at: When the fallback was first declared; kept over recovery and relapse, and set
            anew when an exercise turns into earnest.
    """

    mode: Mode
    since: datetime
    by: str = WATCHDOG
    causes: tuple[Cause, ...] = ()
    reason: str = ""
    well_since: datetime | None = None
    drill: bool = False
    declared_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gates:
    """What must be done before a fallback may be closed.

    Attributes:
        canary_good_since: Since when every canary came through; None where none did.
        unanswered: Unprotected intervals without a welfare result.
        conflicts: Pairs of paper and event on which a person has still to decide.
        good_for: How long the canary has to have been good.
    """

    canary_good_since: datetime | None
    unanswered: int = 0
    conflicts: int = 0
    good_for: timedelta = CANARY_GOOD


def begin(now: datetime) -> Verdict:
    """Return the verdict of a watchdog that has seen nothing yet."""
    return Verdict(Mode.NORMAL, now)


def look(verdict: Verdict, findings: Findings, now: datetime, *, practising: bool = False) -> Verdict:
    """Take what a look found into the verdict (rules 2, 3, 7 and 8).

    Args:
        verdict: As it stood.
        findings: What the look found.
        now: Present time.
        practising: A component drill is under way: something is broken on purpose.
    """
    turns_earnest = verdict.drill and bool(findings.hard) and not practising
    if verdict.mode is Mode.FALLBACK:
        noted = _noted(verdict, findings, now)
        return replace(noted, drill=False, by=WATCHDOG, declared_at=now) if turns_earnest else noted
    if findings.hard:
        first = now if turns_earnest else verdict.declared_at or now
        drill = practising and (verdict.drill or verdict.declared_at is None)
        return Verdict(Mode.FALLBACK, now, causes=findings.causes, drill=drill, declared_at=first)
    if verdict.mode is Mode.RECOVERING:
        return _noted(verdict, findings, now)
    if findings.soft:
        since = verdict.since if verdict.mode is Mode.DEGRADED else now
        return Verdict(Mode.DEGRADED, since, causes=findings.soft, drill=practising)
    return _settled(verdict, now)


def _settled(verdict: Verdict, now: datetime) -> Verdict:
    well_since = verdict.well_since or now
    if verdict.mode is Mode.DEGRADED and now - well_since >= SETTLE:
        return Verdict(Mode.NORMAL, now, well_since=well_since)
    return replace(verdict, well_since=well_since)


def _noted(verdict: Verdict, findings: Findings, now: datetime) -> Verdict:
    known = {(cause.code, cause.subject) for cause in verdict.causes}
    fresh = tuple(cause for cause in findings.causes if (cause.code, cause.subject) not in known)
    well_since = None if findings.causes else verdict.well_since or now
    return replace(verdict, causes=verdict.causes + fresh, well_since=well_since)


def declare(verdict: Verdict, person: str, reason: str, now: datetime, *, drill: bool = False) -> Verdict:
    """Enter FALLBACK because a person says so.

    Raises:
        Rejected: `incomplete` without a reason, `not_allowed` where it is declared already.
    """
    if not reason.strip():
        raise Rejected("incomplete", "say in words why people are to take over")
    if verdict.mode is Mode.FALLBACK:
        raise Rejected("not_allowed", f"fallback was declared at {verdict.since:%H:%M:%S} UTC already")
    cause = Cause("declared", person, now, reason)
    causes = (*verdict.causes, cause)
    first = verdict.declared_at or now
    return Verdict(Mode.FALLBACK, now, person, causes, reason, drill=drill, declared_at=first)


def begin_recovery(verdict: Verdict, findings: Findings, person: str, now: datetime) -> Verdict:
    """Leave FALLBACK for RECOVERING because a person has seen the platform work again.

    Raises:
        Rejected: `not_allowed`: not in FALLBACK, or something is still broken.
    """
    if verdict.mode is not Mode.FALLBACK:
        raise Rejected("not_allowed", f"recovery begins in fallback; this is {verdict.mode}")
    if findings.hard:
        broken = ", ".join(f"{cause.code} {cause.subject}" for cause in findings.hard)
        raise Rejected("not_allowed", f"still broken: {broken}")
    return replace(verdict, mode=Mode.RECOVERING, since=now, by=person)


def close(verdict: Verdict, gates: Gates, person: str, now: datetime) -> Verdict:
    """Return to NORMAL because a person confirms that everybody has been seen (rule 6).

    Raises:
        Rejected: `not_allowed`: what is still to be done, all of it.
    """
    if verdict.mode is not Mode.RECOVERING:
        raise Rejected("not_allowed", f"only a recovery is closed; this is {verdict.mode}")
    missing = open_gates(gates, now)
    if missing:
        raise Rejected("not_allowed", "; ".join(missing))
    return Verdict(Mode.NORMAL, now, person, well_since=verdict.well_since)


def open_gates(gates: Gates, now: datetime) -> tuple[str, ...]:
    """Return what still stands between RECOVERING and NORMAL, a sentence each."""
    found = []
    if gates.unanswered:
        found.append(f"{gates.unanswered} unprotected residents have no welfare result")
    if gates.conflicts:
        found.append(f"{gates.conflicts} pairs of paper and event are undecided")
    if gates.canary_good_since is None or now - gates.canary_good_since < gates.good_for:
        minutes = gates.good_for / timedelta(minutes=1)
        found.append(f"the canary has not been good for {minutes:g} minutes")
    return tuple(found)


def whole(verdicts: list[Verdict]) -> Mode:
    """Return the mode of the community: FALLBACK when every estate is, else the worst news short of it."""
    modes = {verdict.mode for verdict in verdicts} or {Mode.NORMAL}
    if modes == {Mode.FALLBACK}:
        return Mode.FALLBACK
    if modes & {Mode.FALLBACK, Mode.DEGRADED}:
        return Mode.DEGRADED
    return Mode.RECOVERING if Mode.RECOVERING in modes else Mode.NORMAL
