"""An alert's life: one pure state machine.

Place in the flow: `processors` raise, `api` and the escalator move on; `vigil.store.alerts`
keeps every transition as a row with actor, reason and version.

Rules
-----
1. raised -> notifying -> delivered -> acknowledged -> attending -> resolved -> reviewed.
   "Delivered" means that a screen or a channel has confirmed it; "acknowledged" that a named
   person has it.  A later state may be reached without the ones between: a person at the
   console may take what was only just raised.
2. Beside them: `silenced` until a time, with a reason, at most 4 h and never a critical alert
   of a whole estate; `unanswered` when the last step of its policy has passed; and
   `fallback_owned` when the watchdog confirms that people on paper have it.
3. Nothing but a person acknowledges, attends, resolves, silences, reviews; the watchdog's robot
   may hand over to fallback; a canary's robot may answer its canary, as a drill; and a resident
   who says to be fine may close their own alert as false, unless it is critical.  Only the
   system re-opens: acknowledged without attendance in time, or a silence that ends, goes back
   to `notifying`.
4. A resolved alert stays resolved; later evidence opens a new one.  Reviewing changes nothing
   but the record.
5. Every transition names the version it was decided on; of two at once, one is refused.
6. Later evidence joins an open alert: it can make the alert more urgent, never less, and real
   where it was synthetic, never synthetic where it was real.  Neither that nor a notice that
   goes out, arrives or remains unanswered refuses a person who had decided just before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from vigil.errors import Rejected

SILENCE_AT_MOST: Final = timedelta(hours=4)


class State(StrEnum):
    """Where an alert stands."""

    RAISED = "raised"
    NOTIFYING = "notifying"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    ATTENDING = "attending"
    SILENCED = "silenced"
    UNANSWERED = "unanswered"
    FALLBACK_OWNED = "fallback_owned"
    RESOLVED = "resolved"
    REVIEWED = "reviewed"


class Priority(StrEnum):
    """How urgent; `trouble` is the platform itself."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    TROUBLE = "trouble"


class Outcome(StrEnum):
    """What a resolved alert turned out to be."""

    TRUE = "true"
    FALSE = "false"
    NO_ACCESS = "no_access"
    DRILL = "drill"


class Action(StrEnum):
    """What can be done to an alert."""

    NOTIFY = "notify"
    DELIVER = "deliver"
    ACKNOWLEDGE = "acknowledge"
    ATTEND = "attend"
    SILENCE = "silence"
    REOPEN = "reopen"
    GIVE_UP = "give_up"
    HAND_TO_FALLBACK = "hand_to_fallback"
    RESOLVE = "resolve"
    REVIEW = "review"


URGENCY: Final = tuple(Priority)
"""Most urgent first."""
OPEN: Final = frozenset(State) - {State.RESOLVED, State.REVIEWED}
UNTAKEN: Final = frozenset({State.RAISED, State.NOTIFYING, State.DELIVERED, State.UNANSWERED})
"""Nobody has it yet: escalation goes on."""
_HELD: Final = frozenset({State.ACKNOWLEDGED, State.ATTENDING})

TRANSITIONS: Final[dict[Action, tuple[frozenset[State], State]]] = {
    Action.NOTIFY: (frozenset({State.RAISED}), State.NOTIFYING),
    Action.DELIVER: (frozenset({State.RAISED, State.NOTIFYING}), State.DELIVERED),
    Action.ACKNOWLEDGE: (UNTAKEN | {State.SILENCED, State.FALLBACK_OWNED}, State.ACKNOWLEDGED),
    Action.ATTEND: (UNTAKEN | {State.ACKNOWLEDGED, State.FALLBACK_OWNED}, State.ATTENDING),
    Action.SILENCE: (UNTAKEN | _HELD, State.SILENCED),
    Action.REOPEN: (frozenset({State.ACKNOWLEDGED, State.SILENCED}), State.NOTIFYING),
    Action.GIVE_UP: (frozenset({State.NOTIFYING, State.DELIVERED}), State.UNANSWERED),
    Action.HAND_TO_FALLBACK: (UNTAKEN | _HELD, State.FALLBACK_OWNED),
    Action.RESOLVE: (OPEN, State.RESOLVED),
    Action.REVIEW: (frozenset({State.RESOLVED}), State.REVIEWED),
}
"""Action -> (states it may be taken in, state it leads to)."""

_PERSONAL: Final = frozenset(
    {Action.ACKNOWLEDGE, Action.ATTEND, Action.SILENCE, Action.RESOLVE, Action.REVIEW}
)
_AUTOMATIC: Final = frozenset({Action.NOTIFY, Action.DELIVER, Action.REOPEN, Action.GIVE_UP})
PROGRESS: Final = frozenset({Action.NOTIFY, Action.DELIVER, Action.GIVE_UP})
"""Steps on which nobody has decided; see rule 6."""
_NEEDS_REASON: Final = frozenset({Action.SILENCE, Action.REOPEN, Action.GIVE_UP})


@dataclass(frozen=True, slots=True)
class Step:
    """A transition asked for.

    Attributes:
        action: What is to be done.
        actor: `person:...`, `robot:...`, `resident:...` or `system:...`.
        reason: In words; needed for silence, re-opening and giving up.
        until: End of a silence.
        outcome: Of a resolution.
    """

    action: Action
    actor: str
    reason: str = ""
    until: datetime | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What of an alert, beside its state, decides which steps are allowed.

    Attributes:
        priority: How urgent it is.
        whole_estate: It concerns a whole estate, not one resident or zone.
        synthetic: `canary`, `drill` or `demo`; None is real.
    """

    priority: Priority
    whole_estate: bool = False
    synthetic: str | None = None


def decide(state: State, subject: Subject, step: Step, now: datetime) -> State:
    """Return the state that a step leads to.

    Raises:
        Rejected: `not_allowed` from this state or to this actor, or `incomplete`: what the
            step lacks.
    """
    _check_actor(subject, step)
    allowed, target = TRANSITIONS[step.action]
    if state not in allowed:
        raise Rejected("not_allowed", f"an alert that is {state} cannot {step.action}")
    if step.action in _NEEDS_REASON and not step.reason.strip():
        raise Rejected("incomplete", f"{step.action} needs a reason in words")
    if (step.action is Action.RESOLVE) != (step.outcome is not None):
        raise Rejected("incomplete", "resolve, and nothing else, needs an outcome")
    if step.action is Action.SILENCE:
        _check_silence(subject, step.until, now)
    return target


def possible(state: State) -> frozenset[Action]:
    """Return what a person may do to an alert in this state."""
    return frozenset(action for action in _PERSONAL if state in TRANSITIONS[action][0])


def _check_actor(subject: Subject, step: Step) -> None:
    kind = step.actor.partition(":")[0]
    if not _may(kind, subject, step):
        raise Rejected("not_allowed", f"{step.actor} may not {step.action} this alert")


def _may(kind: str, subject: Subject, step: Step) -> bool:
    if step.action in _AUTOMATIC:
        return kind == "system"
    if kind == "person":
        return True
    if kind == "resident":
        closes = step.action is Action.RESOLVE and step.outcome is Outcome.FALSE
        return closes and subject.priority is not Priority.CRITICAL
    if step.action is Action.HAND_TO_FALLBACK:
        return kind == "robot"
    as_drill = step.outcome in (None, Outcome.DRILL)
    return kind == "robot" and subject.synthetic == "canary" and as_drill


def _check_silence(subject: Subject, until: datetime | None, now: datetime) -> None:
    if subject.whole_estate and subject.priority is Priority.CRITICAL:
        raise Rejected("not_allowed", "a critical alert of a whole estate is never silenced")
    if until is None or not now < until <= now + SILENCE_AT_MOST:
        raise Rejected("incomplete", "a silence ends within 4 hours from now; say when")
