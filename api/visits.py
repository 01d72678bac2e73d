"""A task's life, from being given to what was found at the door: one pure state machine.

Place in the flow: an officer gives an alert to the grid worker of the building (`api.tasks`),
who goes there; `vigil.store.tasks` keeps every report as a row.

Rules
-----
1. given -> accepted -> done; a task that is not done may be withdrawn.  Who reports without
   having accepted has accepted by that.
2. Nobody answers: from knocking to the key-holder, if one is known, and on to the emergency
   services.  No answer never ends a task.
3. Seen well, well by telephone, refused: done at once.  Who needs help has the emergency
   services called, at whatever stage; when they are, the task is done.
4. The worker who has it reports; who gave it, or a leader, may withdraw it.
5. What was found does not close the alert: a person says how that turned out, in the same tap
   or later.
6. What a resident has reported of the neighbourhood (`api.own`) is put right, or passed on to whoever
   does that; either closes its alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from vigil.errors import Rejected

if TYPE_CHECKING:
    from api.escalation.rota import Person, Rota


class TaskState(StrEnum):
    """Where a task stands."""

    GIVEN = "given"
    ACCEPTED = "accepted"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Stage(StrEnum):
    """What the worker does next."""

    KNOCK = "knock"
    KEY_HOLDER = "key_holder"
    EMERGENCY = "emergency"


class Report(StrEnum):
    """What is said of a task."""

    ACCEPTED = "accepted"
    SEEN_WELL = "seen_well"
    PHONE_WELL = "phone_well"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    NEEDS_HELP = "needs_help"
    EMERGENCY_CALLED = "emergency_called"
    PUT_RIGHT = "put_right"
    PASSED_ON = "passed_on"
    WITHDRAWN = "withdrawn"


OPEN: Final = frozenset({TaskState.GIVEN, TaskState.ACCEPTED})
ENDS: Final = {
    Report.SEEN_WELL: "seen_well",
    Report.PHONE_WELL: "phone_well",
    Report.REFUSED: "refused",
    Report.EMERGENCY_CALLED: "emergency",
    Report.PUT_RIGHT: "put_right",
    Report.PASSED_ON: "passed_on",
}
"""Reports that end a task, and its outcome; the last two are of things, not of people (rule 6)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A task as it stands.

    Attributes:
        key_holder: Somebody with a key is known.
    """

    state: TaskState
    stage: Stage
    key_holder: bool
    outcome: str | None = None


def decide(task: Standing, report: Report) -> Standing:
    """Return the task after a report.

    Raises:
        Rejected: `not_allowed`; it is over, or accepted already.
    """
    if task.state not in OPEN:
        raise Rejected("not_allowed", f"this task is {task.state}")
    if report is Report.ACCEPTED and task.state is TaskState.ACCEPTED:
        raise Rejected("not_allowed", "this task is accepted already")
    if report is Report.WITHDRAWN:
        return Standing(TaskState.WITHDRAWN, task.stage, task.key_holder)
    if report in ENDS:
        return Standing(TaskState.DONE, task.stage, task.key_holder, ENDS[report])
    return Standing(TaskState.ACCEPTED, _stage(task, report), task.key_holder)


def _stage(task: Standing, report: Report) -> Stage:
    """Return what is done next (rules 2 and 3)."""
    if report is Report.NEEDS_HELP:
        return Stage.EMERGENCY
    if report is Report.NO_ANSWER:
        knocks = task.stage is Stage.KNOCK
        return Stage.KEY_HOLDER if knocks and task.key_holder else Stage.EMERGENCY
    return task.stage


@dataclass(frozen=True, slots=True)
class Beat:
    """A building that somebody looks after; an empty building is the whole estate."""

    account: str
    estate: str
    building: str


def choose(
    rota: Rota, beats: tuple[Beat, ...], estate: str, building: str | None, now: datetime
) -> Person | None:
    """Return who is to go to a door: the grid worker of the building, else of the estate, on duty first.

    Args:
        rota: Everybody, and who has duty.
        beats: Whose buildings these are.
        estate: Where the door is.
        building: Which building; None is not known.
        now: Present time.

    Returns:
        A person; None where the estate has no grid worker at all.
    """
    workers = [p for p in rota.people if p.role == "grid_worker" and p.estates & {estate, "*"}]
    on_duty = {s.account for s in rota.shifts if s.duty == "grid_worker" and s.starts_at <= now < s.ends_at}
    theirs = {b.account for b in beats if (b.estate, b.building) == (estate, building or "")}
    nearby = {b.account for b in beats if (b.estate, b.building) == (estate, "")}

    def nearness(person: Person) -> tuple[bool, bool, bool, bool, str]:
        account = person.account
        reachable = bool(person.contacts)
        return account not in on_duty, not reachable, account not in theirs, account not in nearby, account

    return min(workers, key=nearness, default=None)
