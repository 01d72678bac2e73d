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
3. Nothing but a person (or the watchdog, for `fallback_owned`) acknowledges, attends,
   resolves, silences.  Only the system re-opens: acknowledged without attendance in time, or
   a silence that ends, goes back to `notifying`.
4. A resolved alert stays resolved; later evidence opens a new one.  Reviewing changes nothing
   but the record.
5. Every transition names the version it was decided on; of two at once, one is refused.
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

_NEEDS_REASON: Final = frozenset({Action.SILENCE, Action.REOPEN, Action.GIVE_UP})


@dataclass(frozen=True, slots=True)
class Step:
    """A transition asked for.

    Attributes:
        action: What is to be done.
        actor: `person:...`, `robot:...` or `system:...`.
        reason: In words; needed for silence, re-opening and giving up.
        until: End of a silence.
        outcome: Of a resolution.
    """

    action: Action
    actor: str
    reason: str = ""
    until: datetime | None = None
    outcome: Outcome | None = None


def decide(
    state: State, priority: Priority, step: Step, now: datetime, *, whole_estate: bool = False
) -> State:
    """Return the state that a step leads to.

    Raises:
        Rejected: `not_allowed` from this state, or `incomplete`: what the step lacks.
    """
    allowed, target = TRANSITIONS[step.action]
    if state not in allowed:
        raise Rejected("not_allowed", f"an alert that is {state} cannot {step.action}")
    if step.action in _NEEDS_REASON and not step.reason.strip():
        raise Rejected("incomplete", f"{step.action} needs a reason in words")
    if (step.action is Action.RESOLVE) != (step.outcome is not None):
        raise Rejected("incomplete", "resolve, and nothing else, needs an outcome")
    if step.action is Action.SILENCE:
        _check_silence(step.until, now, estate_critical=whole_estate and priority is Priority.CRITICAL)
    return target


def _check_silence(until: datetime | None, now: datetime, *, estate_critical: bool) -> None:
    if estate_critical:
        raise Rejected("not_allowed", "a critical alert of a whole estate is never silenced")
    if until is None or not now < until <= now + SILENCE_AT_MOST:
        raise Rejected("incomplete", "a silence ends within 4 hours from now; say when")
