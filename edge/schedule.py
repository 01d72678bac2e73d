"""When a row is sent again, and when it is given up on: pure functions of what is known of it.

Place in the flow: `edge.outbox` keeps a `Sending` for each row that was sent and not yet
stored, and asks here.  The rules are those of the design, "Sending again":

1. An alarm without `stored` is due again 10 s after it was sent, then after 20, 40, 48 s.
2. Any other row is due again after 60 s, then after 2, 4, 8 min, and while the platform
   says that it is not storing it is not due at all.
3. Each wait is made longer by up to a quarter, by chance, so that a thousand boxes that
   lost the platform together do not come back together; 48 s and 8 min thus end at the
   60 s and 10 min that the design allows.
4. A row that was sent 20 times in vain, while the platform went on storing what this node
   accepted later, stands aside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vigil.topics import Lane

if TYPE_CHECKING:
    from random import Random

ALARM_FIRST_S: Final = 10.0
ALARM_LONGEST_S: Final = 48.0
OTHER_FIRST_S: Final = 60.0
OTHER_LONGEST_S: Final = 480.0
JITTER: Final = 0.25
SENDS: Final = 20
"""Sends in vain after which a row stands aside."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What is known of a row that was sent and not yet stored.

    Attributes:
        lane: The row's lane.
        sent: How often it was sent.
        due: Monotonic second at which it is due again.
        vain: Earlier sends after which the platform accounted for other rows, not for it.
        heard: Receipts that had come when it was last sent.
    """

    lane: Lane
    sent: int
    due: float
    vain: int = 0
    heard: int = 0


def wait_s(lane: Lane, sent: int, rng: Random) -> float:
    """Return how long after its `sent`-th sending a row is due again, in seconds."""
    alarm = lane is Lane.ALARM
    first, longest = (ALARM_FIRST_S, ALARM_LONGEST_S) if alarm else (OTHER_FIRST_S, OTHER_LONGEST_S)
    return min(first * 2.0 ** min(sent - 1, 8), longest) * (1 + JITTER * rng.random())


def sent_once_more(before: Sending | None, lane: Lane, now: float, heard: int, rng: Random) -> Sending:
    """Return what is known of a row after it has been sent at `now`.

    Args:
        before: What was known, or None before its first sending.
        lane: The row's lane.
        now: Monotonic second.
        heard: Receipts that have come to this node so far, of any lane.
        rng: Source of the jitter.
    """
    sent, vain = (before.sent + 1, sent_in_vain(before, heard)) if before else (1, 0)
    return Sending(lane, sent, now + wait_s(lane, sent, rng), vain, heard)


def sent_in_vain(row: Sending, heard: int) -> int:
    """Return how many sends the platform let pass while it accounted for something else."""
    return row.vain + (heard > row.heard)


def is_due(row: Sending, now: float, *, storing: bool) -> bool:
    """Say whether a row is to be sent again now."""
    return now >= row.due and (storing or row.lane is Lane.ALARM)


def stands_aside(row: Sending, heard: int, *, at_head: bool) -> bool:
    """Say whether a row is to be set aside.

    Args:
        row: What is known of it, due once more.
        heard: Receipts that have come to this node so far.
        at_head: It is the first of its boot and lane that is not stored: only that one is
            known to be missing; what stands behind it may have been stored long ago.
    """
    return at_head and sent_in_vain(row, heard) >= SENDS


def put_off(row: Sending, now: float, rng: Random) -> Sending:
    """Return a row that was held back, due a first wait from `now`: receipts may yet come."""
    return replace(row, due=max(row.due, now + wait_s(row.lane, 1, rng)))
