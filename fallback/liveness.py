"""Whether the platform's processes live, judged from looks at them: pure.

Place in the flow: `probes` looks every 5 s and reports here; `watchdog` turns the services
into findings for `state`.  Several processes may do the same work: the service stands while
one of them does, so that a rolling deployment is no failure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from fallback.state import Cause, Findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.progress import Work

PERIOD: Final = timedelta(seconds=5)
"""Between two looks at a process."""
MISSED: Final = 3
"""Looks in a row without an answer that make a process failed (DESIGN.md, Watchdog)."""
STARTING: Final = 6
"""The same for a process that is starting: half a minute, as long as a declaration may take."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it was last seen.

    Attributes:
        service: The work that it shares with its like.
        url: Where it answers.
        missed: Looks in a row that found it not ready.
        since: When the first of them was.
        detail: What the last look found wrong.
        seen_at: When it was last found ready.
        progress: How far each kind of its work had come at the last look.
        away: Whether it has not answered at all since it was last ready.
        answers: Whether it answered the last look, ready or not.
    """

    service: str
    url: str
    missed: int = 0
    since: datetime | None = None
    detail: str = ""
    seen_at: datetime | None = None
    progress: Mapping[str, Work] = field(default_factory=dict)
    away: bool = False
    answers: bool = True

    @property
    def failed(self) -> bool:
        """Whether it has missed too many looks."""
        starting = self.away and self.answers
        return self.missed >= (STARTING if starting else MISSED)


def looked(
    process: Process,
    wrong: str | None,
    now: datetime,
    progress: Mapping[str, Work] | None = None,
    *,
    answers: bool = True,
) -> Process:
    """Take one look's result in.

    Args:
        process: As it was.
        wrong: What kept it from being ready, or None.
        now: When it was looked at.
        progress: What it said of its work.
        answers: Whether it answered at all.
    """
    progress = progress or {}
    wrong = wrong or standing_still(process.progress, progress)
    if wrong is None:
        return Process(process.service, process.url, seen_at=now, progress=progress)
    return replace(
        process,
        missed=process.missed + 1,
        since=process.since or now,
        detail=wrong,
        progress=progress,
        away=process.away or not answers,
        answers=answers,
    )


def standing_still(before: Mapping[str, Work], now: Mapping[str, Work]) -> str | None:
    """Return which work has not moved since the look before although some was waiting then and is now."""
    still = [
        f"{name}: {work.waiting} waiting, none done"
        for name, work in now.items()
        if name in before and before[name].waiting and work.waiting and work.done == before[name].done
    ]
    return "; ".join(still) or None


def findings(processes: list[Process]) -> Findings:
    """Return what the processes' state means: a service without any process is hard."""
    hard, soft = [], []
    for service in sorted({process.service for process in processes}):
        mine = [process for process in processes if process.service == service]
        failed = [process for process in mine if process.failed]
        causes = [_cause(service, process) for process in failed]
        if len(failed) == len(mine):
            hard.append(causes[0])
        else:
            soft.extend(causes[:1])
    return Findings(tuple(hard), tuple(soft))


def _cause(service: str, process: Process) -> Cause:
    # `since` is set with the first miss, and a failed process has missed.
    assert process.since is not None  # noqa: S101 - an invariant of `looked`, for the type checker
    return Cause("service", service, process.since, process.detail)
