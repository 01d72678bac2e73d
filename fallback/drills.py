"""Drills: what is measured, when one has failed, and who then does what.  Pure.

Place in the flow: `desk` plans, begins and ends drills; during one, everything runs as in
earnest and carries the drill's mark.  Afterwards the log is measured here; a measure that
misses its goal opens an action with an owner and a date, and `papers` prints the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fallback.rounds import SEEN
from fallback.words import Both

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fallback.procedures import Procedure
    from fallback.rounds import Check, Progress

KINDS: Final = {
    "tabletop": Both("桌面推演", "tabletop"),
    "component": Both("部件中断", "component"),
    "unannounced": Both("突击演练", "unannounced"),
}
FORMS_COMPLETE: Final = 0.98
STEPS_FOLLOWED: Final = 0.95
"""Goals of issue 8; hospitals were seen to follow 27.6% of their steps."""
DETECTED: Final = timedelta(seconds=30)
INFORMED: Final = timedelta(seconds=60)
FIRST_CONTACT: Final = timedelta(minutes=5)
IN_TIME: Final = 1.0
ACTION_DUE: Final = timedelta(days=14)


def stage(row: Mapping[str, Any]) -> str:
    """Return how far a drill's row has come, and so what the platform has to be told next."""
    if row["ended_at"] is not None:
        return "ended"
    return "planned" if row["begun_at"] is None else "begun"


@dataclass(frozen=True, slots=True)
class Happened:
    """What the log says of a drill.

    Attributes:
        begun_at: When something was broken, or the exercise was called.
        declared_at: When the fallback was declared; None where it never was.
        informed_at: When the last notice of it was taken by a route.
    """

    begun_at: datetime
    declared_at: datetime | None
    informed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure beside its goal; `value` is None where it never happened."""

    name: str
    words: Both
    value: float | None
    goal: float
    unit: str
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether the goal was met."""
        if self.value is None:
            return False
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def measure(
    happened: Happened, checks: Sequence[Check], everyone: Progress, steps_due: int, steps_done: int
) -> list[Measure]:
    """Measure a drill.

    Args:
        happened: Its times.
        checks: What was found in it.
        everyone: How far people came.
        steps_due: Steps of the procedures that were due by its end.
        steps_done: Of them, how many were ticked.
    """
    declared = happened.declared_at
    first = min((check.at for check in checks), default=None)
    papers_ = [check for check in checks if check.source == "paper"]
    complete = sum(_complete(check) for check in papers_)
    return [
        _time("detected", Both("发现", "detected and declared"), happened.begun_at, declared, DETECTED),
        _time(
            "informed", Both("通知到人", "people informed"), happened.begun_at, happened.informed_at, INFORMED
        ),
        _time("first_contact", Both("首次接触", "first contact"), declared, first, FIRST_CONTACT),
        _share("in_time", Both("按时见到", "seen in time"), everyone.in_time, everyone.residents, IN_TIME),
        _share("forms", Both("表格完整", "forms complete"), complete, len(papers_), FORMS_COMPLETE),
        _share("steps", Both("步骤执行", "steps followed"), steps_done, steps_due, STEPS_FOLLOWED),
    ]


def _complete(check: Check) -> bool:
    """Whether a form says all that it asks: who, how, what, and whether they had fallen."""
    return check.result not in SEEN or check.fell is not None


def _time(name: str, words: Both, since: datetime | None, at: datetime | None, goal: timedelta) -> Measure:
    value = None if since is None or at is None else round((at - since).total_seconds(), 1)
    return Measure(name, words, value, goal.total_seconds(), "s", at_most=True)


def _share(name: str, words: Both, part: int, of: int, goal: float) -> Measure:
    # Nothing asked for is nothing missed: a drill without papers has no incomplete form.
    return Measure(name, words, round(part / of, 4) if of else 1.0, goal, "", at_most=False)


def due_steps(procedures: Sequence[Procedure], lasted: timedelta) -> list[tuple[str, str]]:
    """Return the steps (procedure, step) that were due within the time that a drill lasted."""
    return [
        (procedure.id, step.id)
        for procedure in procedures
        for step in procedure.steps
        if timedelta(minutes=step.at_min) <= lasted
    ]


@dataclass(frozen=True, slots=True)
class Action:
    """What a drill that missed a goal asks somebody to do."""

    what: str
    owner: str
    due_at: datetime


def actions(measures: Sequence[Measure], owner: str, now: datetime) -> list[Action]:
    """Return an action for each measure that missed its goal."""
    return [
        Action(f"{each.words.zh} {each.words.en}: {said(each)}", owner, now + ACTION_DUE)
        for each in measures
        if not each.met
    ]


def said(each: Measure) -> str:
    """Return a measure beside its goal, for people."""
    sign = "≤" if each.at_most else "≥"
    if each.unit == "s":
        value = "-" if each.value is None else f"{each.value:g} s"
        return f"{value} ({sign} {each.goal:g} s)"
    value = "-" if each.value is None else f"{each.value:.1%}"
    return f"{value} ({sign} {each.goal:.0%})"
