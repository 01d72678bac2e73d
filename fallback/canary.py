"""The canary: a synthetic fall that goes the whole way, and what its stages mean.  Pure.

Place in the flow: `watchdog` makes one per estate every 8 s, `courier` publishes it,
`officer` sees its alert and answers; each stamps its stage here, so that a canary that does
not arrive says *where* the way is broken.  `state` takes the findings.

A canary is good when the platform has taken the robot's acknowledgement within `LATE`.  Two
late in a row, or every second one of the last `KEPT`, and the way is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fallback.state import Cause, Findings
from vigil.events import FallSuspected, derived_id

if TYPE_CHECKING:
    from uuid import UUID

PERIOD: Final = timedelta(seconds=8)
"""Between two canaries of one estate."""
LATE: Final = timedelta(seconds=8)
"""A canary that has not come back by then is late."""
LATE_AT_MOST: Final = 2
"""Late in a row that mean a broken way (DESIGN.md, Watchdog): declared within 24 s."""
KEPT: Final = 15
"""Canaries looked back on: two minutes."""
WAITING_AT_MOST: Final = 6
"""Unstored canaries of an estate; beyond it none is made, so that an outage of hours leaves
no flood of them behind.  More than `LATE_AT_MOST`, so that the verdict is clear by then."""


class Stage(StrEnum):
    """What a canary passes, in order; `stored` and `alerted` may come the other way round."""

    PUBLISHED = "published"
    STORED = "stored"
    ALERTED = "alerted"
    ACKNOWLEDGED = "acknowledged"


class Judgement(StrEnum):
    """What became of a canary; `void`: the watchdog itself stood still meanwhile."""

    PENDING = "pending"
    GOOD = "good"
    LATE = "late"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Run:
    """One canary on its way.

    Attributes:
        event: Id of its event.
        estate: Whose way it tries.
        node: The canary node that sent it, and so the partition it went over.
        made_at: When it set out.
        stamps: When it passed each stage.
        judgement: Final once it is no longer pending; a stamp may still be added.
    """

    event: UUID
    estate: str
    node: str
    made_at: datetime
    stamps: tuple[tuple[Stage, datetime], ...] = ()
    judgement: Judgement = Judgement.PENDING

    @property
    def alert(self) -> UUID:
        """Id of the alert it raises, derived as `processors.decide` derives it."""
        return derived_id("alert", derived_id("detection", "fall", self.event))

    @property
    def missing(self) -> Stage | None:
        """The first stage it has not passed, or None."""
        passed = {stage for stage, _ in self.stamps}
        return next((stage for stage in Stage if stage not in passed), None)

    def at(self, stage: Stage) -> datetime | None:
        """Return when it passed a stage."""
        return dict(self.stamps).get(stage)


def stamped(run: Run, stage: Stage, now: datetime) -> Run:
    """Note that a canary has passed a stage; the first time counts."""
    if run.at(stage) is not None:
        return run
    return replace(run, stamps=(*run.stamps, (stage, now)))


def judged(run: Run, now: datetime) -> Run:
    """Judge a canary that is still pending."""
    if run.judgement is not Judgement.PENDING:
        return run
    back = run.at(Stage.ACKNOWLEDGED)
    if back is not None and back - run.made_at <= LATE:
        return replace(run, judgement=Judgement.GOOD)
    if now - run.made_at > LATE:
        return replace(run, judgement=Judgement.LATE)
    return run


def voided(run: Run) -> Run:
    """Take a canary out of the count, because the watchdog could not look at it."""
    return replace(run, judgement=Judgement.VOID) if run.judgement is Judgement.PENDING else run


def findings(runs: list[Run]) -> Findings:
    """Return what an estate's canaries mean.

    Args:
        runs: Of one estate, oldest first.
    """
    counted = [run for run in runs if run.judgement in (Judgement.GOOD, Judgement.LATE)][-KEPT:]
    streak = _late_at_end(counted)
    late = [run for run in counted if run.judgement is Judgement.LATE]
    if len(streak) >= LATE_AT_MOST:
        return Findings(hard=(_cause("canary", streak),))
    if len(counted) == KEPT and 2 * len(late) > KEPT:
        return Findings(hard=(_cause("canary_flapping", late),))
    if streak:
        return Findings(soft=(_cause("canary_late", streak),))
    return Findings(soft=_unreceipted(counted))


def good_since(runs: list[Run]) -> datetime | None:
    """Return since when every canary that counts came through; None where the last did not."""
    good_at = None
    for run in reversed([run for run in runs if run.judgement in (Judgement.GOOD, Judgement.LATE)]):
        if run.judgement is Judgement.LATE:
            break
        good_at = run.made_at
    return good_at


def _late_at_end(runs: list[Run]) -> list[Run]:
    streak: list[Run] = []
    for run in reversed(runs):
        if run.judgement is not Judgement.LATE:
            break
        streak.insert(0, run)
    return streak


def _unreceipted(runs: list[Run]) -> tuple[Cause, ...]:
    """Alerts come through, receipts do not: the edges will fill up."""
    last = runs[-LATE_AT_MOST:]
    if len(last) == LATE_AT_MOST and all(run.missing is Stage.STORED for run in last):
        return (Cause("receipt", last[0].estate, last[0].made_at),)
    return ()


def _cause(code: str, runs: list[Run]) -> Cause:
    last = runs[-1]
    # Where it came back in the end, the way is open but slow.
    stage = last.missing or "slow"
    return Cause(code, stage, runs[0].made_at, f"{len(runs)} late, last over {last.node}")


def fall(episode: str) -> FallSuspected:
    """Return the synthetic fall: standing, falling, an impact of 5 g at sample 100, lying still.

    The course is that of the recorded falls (SisFall, waist): the trunk turns by 90 degrees in
    half a second of lessened weight, the impact rings for 0.2 s, and only breathing follows.
    """
    samples = [_sample(number) for number in range(200)]
    peak = max(math.hypot(*sample) for sample in samples)
    flat = [round(value * 1000) for sample in samples for value in sample]
    return FallSuspected(accel_mg=flat, peak_g=round(peak, 3), placement="waist", episode=episode)


def _sample(number: int) -> tuple[float, float, float]:
    """Return the acceleration in g at one of the window's 200 samples."""
    tremor = 0.02 * math.sin(number * 1.7)
    if number < 70:  # standing, with the sway of a step
        return (tremor + 0.05 * math.sin(number / 8), -1.0 + 0.08 * math.sin(number / 5), tremor)
    if number < 97:  # going down: the trunk turns, the weight is lessened
        angle = (number - 70) / 27 * math.pi / 2
        weight = 1.0 - 0.7 * math.sin((number - 70) / 27 * math.pi)
        return (tremor, -weight * math.cos(angle), weight * math.sin(angle))
    if number < 112:  # the impact, and its ringing
        ringing = 5.0 * math.exp(-abs(number - 100) / 2.5) * (1 if number <= 100 else math.cos(number - 100))
        return (0.35 * ringing, -0.4 * ringing, 1.0 + 0.85 * ringing)
    breath = 0.01 * math.sin(number / 20)
    return (0.05 + breath, -0.08, 0.99 + breath)  # lying
