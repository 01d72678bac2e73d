"""Paper and platform, laid side by side: matched, paper only, event only, conflict.  Pure.

Place in the flow: in RECOVERING the platform's late alerts come in (`liaison`), and what people
found comes from `rounds`; here each pair is classed.  A person decides conflicts, and both
sides are kept whatever they decide.

Rules
-----
1. An alert belongs to the first welfare result of its resident that is not older than it,
   within `WINDOW`; a result may answer several alerts of one fall.
2. They *match* where the result can follow from the alert: after a fall somebody was found
   fallen, helped, or taken to hospital.  They *conflict* where it says the opposite.
3. A result that found somebody fallen or in need, without any alert, is *paper only*; an
   alert without a result is *event only*.  A result that found all well, without an alert, is
   no finding at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fallback.rounds import SEEN, Check, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW: Final = timedelta(hours=12)
"""A result later than this says nothing of the alert any more."""
_IN_NEED: Final = frozenset({Result.HELPED, Result.HOSPITAL})


class Match(StrEnum):
    """How a paper and an alert stand to each other."""

    MATCHED = "matched"
    PAPER_ONLY = "paper_only"
    EVENT_ONLY = "event_only"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class LateAlert:
    """An alert of the time without the platform, as it comes in afterwards."""

    id: str
    resident: str
    kind: str
    event_time: datetime


@dataclass(frozen=True, slots=True)
class Pair:
    """A paper and an alert that belong together, or one of them alone."""

    match: Match
    resident: str
    alert: LateAlert | None
    check: Check | None

    @property
    def key(self) -> str:
        """What a decision refers to: stable over repeated reconciliations."""
        if self.alert is not None:
            return f"alert:{self.alert.id}"
        assert self.check is not None  # noqa: S101 - a pair holds at least one of the two
        return f"check:{self.resident}:{self.check.at.isoformat()}"


def reconcile(alerts: Sequence[LateAlert], checks: Sequence[Check]) -> list[Pair]:
    """Lay alerts and results side by side."""
    seen = sorted((check for check in checks if check.result in SEEN), key=lambda check: check.at)
    pairs = [_pair(alert, seen) for alert in sorted(alerts, key=lambda a: (a.event_time, a.id))]
    answered = {(pair.resident, pair.check.at) for pair in pairs if pair.check is not None}
    alone = [check for check in seen if (check.resident, check.at) not in answered and _in_need(check)]
    return pairs + [Pair(Match.PAPER_ONLY, check.resident, None, check) for check in alone]


def _pair(alert: LateAlert, seen: Sequence[Check]) -> Pair:
    check = next(
        (
            each
            for each in seen
            if each.resident == alert.resident and alert.event_time <= each.at <= alert.event_time + WINDOW
        ),
        None,
    )
    if check is None:
        return Pair(Match.EVENT_ONLY, alert.resident, alert, None)
    match = Match.MATCHED if _follows(alert, check) else Match.CONFLICT
    return Pair(match, alert.resident, alert, check)


def _follows(alert: LateAlert, check: Check) -> bool:
    if alert.kind == "fall":
        return check.fell is True or (check.fell is None and check.result in _IN_NEED)
    return check.result is not Result.AWAY


def _in_need(check: Check) -> bool:
    return check.fell is True or check.result in _IN_NEED


def undecided(pairs: Sequence[Pair], decided: set[str]) -> list[Pair]:
    """Return what a person still has to decide: conflicts, and alerts that nobody has answered."""
    open_ = (Match.CONFLICT, Match.EVENT_ONLY)
    return [pair for pair in pairs if pair.match in open_ and pair.key not in decided]


def closes(check: Check, alert: LateAlert) -> bool:
    """Whether a person has seen the resident since it happened (then it does not page any more)."""
    return check.resident == alert.resident and check.result in SEEN and check.at >= alert.event_time
