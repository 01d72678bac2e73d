"""Who is unprotected, who was seen since, and what people still owe before a fallback is closed.

Place in the flow: `watchdog` tells it the verdicts and the silent nodes; `coverage`, `rounds`
and `reconcile` decide, `records` keeps.  `watchdog` hands its answers on to the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from fallback import coverage, reconcile, records, rounds
from fallback.state import Mode
from vigil.roster import HIGH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fallback.coverage import Coverage
    from fallback.reconcile import Pair
    from fallback.rounds import Check, Progress, Task
    from fallback.state import Verdict
    from fallback.store import Store
    from vigil.roster import Resident, Roster

BEFORE: Final = timedelta(minutes=1)
"""Longer than the way can have been broken before the first look or canary that missed."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_BREAKS: Final = frozenset({"canary", "canary_flapping", "service"})
"""Causes whose beginning is the beginning of being unprotected."""


@dataclass(frozen=True, slots=True)
class Round:
    """Who is to be seen, most urgent first, and how far people have come."""

    tasks: tuple[Task, ...]
    checks: tuple[Check, ...]
    high: Progress
    everyone: Progress
    helpers: tuple[str, ...]


class Welfare:
    """The residents of a community, as far as a fallback concerns them.

    Args:
        store: Keeps the intervals, and what people found.
        roster: Returns the last good roster, or None.
    """

    def __init__(self, store: Store, roster: Callable[[], Roster | None]) -> None:
        self._store = store
        self._roster = roster
        self._coverage: dict[str, list[Coverage]] = {}

    def name(self, estate: str) -> str:
        """Return what people call an estate; its id where no roster says it."""
        roster = self._roster()
        return roster.estates.get(estate, estate) if roster else estate

    def residents(self, estate: str) -> list[Resident]:
        """Return an estate's flagged residents, by the last good roster."""
        roster = self._roster()
        return [each for each in roster.residents if each.estate == estate] if roster else []

    def nodes(self, estate: str) -> set[str]:
        """Return the nodes that watch over an estate's residents."""
        return {each.node for resident in self.residents(estate) for each in resident.protections}

    # -- coverage ------------------------------------------------------------------------

    def cover(self, estate: str, verdict: Verdict, silent: Mapping[str, datetime], now: datetime) -> None:
        """Write down who is unprotected, in the moment in which they are."""
        fallback = verdict.mode is Mode.FALLBACK
        broken = {estate: _broken_since(verdict)} if fallback else {}
        found = coverage.of(self.residents(estate), broken, silent)
        self._coverage[estate] = found
        unprotected = {each.resident: each.since for each in found if each.since is not None}
        changed = coverage.intervals(records.open_intervals(self._store, estate), unprotected, now)
        if not changed and not fallback:
            return
        with self._store.transaction() as connection:
            records.keep_intervals(connection, estate, changed, fallback=fallback)
            if fallback:
                records.mark_fallback(connection, estate)

    def unprotected(self, estate: str) -> dict[str, datetime]:
        """Return who has no protection at all, and since when."""
        return {each.resident: each.since for each in self._coverage.get(estate, ()) if each.since}

    def reduced(self, estate: str) -> int:
        """Return how many have lost some of their protection."""
        return sum(bool(each.lost) and not each.unprotected for each in self._coverage.get(estate, ()))

    def begin_rounds(self, estate: str) -> None:
        """Forget who was here and who went to whom: a new fallback begins."""
        residents = [resident.id for resident in self.residents(estate)]
        with self._store.transaction() as connection:
            records.clear_round(connection, estate, residents)

    # -- what people have done, and owe -----------------------------------------------------

    def unanswered(self, estate: str, verdict: Verdict) -> int:
        """Return how many unprotected intervals of a fallback have no welfare result."""
        if verdict.declared_at is None:
            return 0
        owed = records.fallback_intervals(self._store, estate, verdict.declared_at)
        earliest = min((each.since for each in owed), default=verdict.declared_at)
        checks = records.checks(self._store, estate, earliest, drill=verdict.drill)
        last_seen = {check.resident: check.at for check in checks if check.result in rounds.SEEN}
        return sum(last_seen.get(each.resident, _NEVER) < each.since for each in owed)

    def owed_since(self, estate: str, verdict: Verdict) -> datetime | None:
        """Return since when papers and alerts of a fallback are laid side by side.

        A little before the first unprotected interval: the way was broken before it was seen to be.
        """
        if verdict.declared_at is None:
            return None
        owed = records.fallback_intervals(self._store, estate, verdict.declared_at)
        return min((each.since for each in owed), default=verdict.declared_at) - BEFORE

    def pairs(self, estate: str, verdict: Verdict) -> list[Pair]:
        """Return this fallback's papers and alerts, side by side."""
        since = self.owed_since(estate, verdict)
        if since is None:
            return []
        alerts = records.late_alerts(self._store, estate, since)
        checks = records.checks(self._store, estate, since, drill=verdict.drill)
        return reconcile.reconcile(alerts, checks)

    def undecided(self, estate: str, verdict: Verdict) -> list[Pair]:
        """Return the pairs on which a person has still to decide."""
        return reconcile.undecided(self.pairs(estate, verdict), records.decided(self._store, estate))

    def round(self, estate: str, verdict: Verdict, now: datetime) -> Round:
        """Return who is to be seen in an estate, and how far people have come."""
        since = verdict.declared_at or verdict.since
        unprotected = self._to_be_seen(estate, since)
        residents = {resident.id: resident for resident in self.residents(estate)}
        earliest = min(unprotected.values(), default=since)
        checks = records.checks(self._store, estate, earliest, drill=verdict.drill)
        assigned = records.assignments(self._store)
        tasks = rounds.open_tasks(residents, unprotected, checks, assigned, since)
        high = [resident for resident in residents.values() if resident.risk >= HIGH]
        return Round(
            tasks=tuple(rounds.by_urgency(tasks, now)),
            checks=tuple(checks),
            high=rounds.progress(high, unprotected, checks, since, now),
            everyone=rounds.progress(list(residents.values()), unprotected, checks, since, now),
            helpers=tuple(records.helpers(self._store, estate)),
        )

    def _to_be_seen(self, estate: str, since: datetime) -> dict[str, datetime]:
        """Return who was unprotected in this fallback or is now, each since their latest interval."""
        owed = records.fallback_intervals(self._store, estate, since)
        owed += [each for each in records.open_intervals(self._store, estate) if each not in owed]
        latest: dict[str, datetime] = {}
        for each in owed:
            latest[each.resident] = max(each.since, latest.get(each.resident, each.since))
        return latest


def _broken_since(verdict: Verdict) -> datetime:
    """Return since when nothing comes through, which is earlier than the declaration."""
    hard = [cause.since for cause in verdict.causes if cause.code in _BREAKS]
    return min([verdict.since, *hard])
