"""Turns the wheel: canaries out, facts in, findings, verdicts, notices.

Place in the flow: `__main__` calls `step` four times a second; `page` calls what a person asks
for, from its own threads, so that everything here is under one lock.  `senses` holds what else
was seen, `welfare` who is unprotected.  Nothing here waits for the network: `courier`,
`officer`, `ears` and `probes` do, and bring facts.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from fallback import canary, lane, metrics, state, store, words
from fallback.canary import Run, Stage
from fallback.courier import Acked, Stored, device_of
from fallback.officer import Passed
from fallback.senses import Sensed, Senses
from fallback.state import Findings, Gates, Mode, Verdict
from fallback.welfare import Round, Welfare
from vigil.errors import NotFound
from vigil.roster import HIGH
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo
    from sqlite3 import Connection

    from fallback.liveness import Process
    from fallback.reconcile import Pair
    from fallback.store import Store
    from vigil.roster import Resident, Roster
    from vigil.topics import Address

STOOD_STILL: Final = timedelta(seconds=4)
"""Between two steps: the watchdog itself was stopped, or its clock jumped; what was under way
meanwhile says nothing of the platform."""
REMEMBERED: Final = timedelta(days=2)
"""How long canaries are kept; the log stays for ever."""
KEPT_RUNS: Final = 120
"""Canaries of an estate in memory: sixteen minutes, more than closing a fallback looks back."""
COVERED: Final = timedelta(seconds=1)
"""Between two looks at who is unprotected."""
_log = structlog.get_logger(__name__)

Fact = Acked | Stored | Passed | Sensed


@dataclass(frozen=True, slots=True)
class Estate:
    """What the watchdog knows of one estate.

    Attributes:
        id: The estate.
        nodes: Its canary nodes, used in turn, so that every partition is tried.
        runs: Its last canaries, oldest first.
    """

    id: str
    nodes: tuple[Address, ...]
    runs: tuple[Run, ...] = ()


class Watchdog:
    """The watchdog of one community.

    Args:
        store: Its memory.
        estates: Canary nodes of each estate.
        processes: Service and URL of each process to look at.
        tokens: Returns eight random hexadecimal digits.
        zone: The community's time zone, for what people read.
        now: Present time, at its start.
        roster: Returns the last good roster, or None.
        good_for: How long canaries must have been good before a fallback is closed.
    """

    def __init__(
        self,
        store_: Store,
        estates: Mapping[str, Sequence[Address]],
        processes: Sequence[Process],
        tokens: Callable[[], str],
        zone: tzinfo,
        now: datetime,
        roster: Callable[[], Roster | None] = lambda: None,
        good_for: timedelta = state.CANARY_GOOD,
    ) -> None:
        self._good_for = good_for
        self._store = store_
        self._senses = Senses(processes)
        self._welfare = Welfare(store_, roster)
        self._covered_at = now
        self._lock = threading.RLock()
        self._zone = zone
        self._estates = {
            id_: Estate(id_, tuple(nodes), tuple(store.runs(store_, id_, KEPT_RUNS)))
            for id_, nodes in estates.items()
        }
        self._stepped_at = now
        self._forgot_at = now
        kept = store.verdicts(store_)
        self._verdicts = {id_: kept.get(id_) or state.begin(now) for id_ in estates}
        nodes = [node.node for group in estates.values() for node in group]
        with store_.transaction() as connection:
            self._boots = {node: lane.open_boot(connection, node, tokens()) for node in nodes}
        self._turns = dict.fromkeys(estates, 0)
        self._practising: dict[str, datetime] = {}
        self._void()  # what an earlier start left under way cannot be judged any more

    def step(self, now: datetime, facts: Sequence[Fact] = ()) -> None:
        """Take facts in, send out what is due to be made, and look at every estate."""
        with self._lock:
            if not timedelta(0) <= now - self._stepped_at <= STOOD_STILL:
                _log.warning("the watchdog stood still", seconds=(now - self._stepped_at).total_seconds())
                self._void()
                self._senses.stood_still(now)
            self._stepped_at = now
            for fact in facts:
                self._take(fact)
            for id_ in self._estates:
                self._judge(id_, now)
                self._make(id_, now)
                self._look(id_, now)
            if now - self._covered_at >= COVERED:
                self._cover_all(now)
            self._forget(now)

    # -- facts ---------------------------------------------------------------------------

    def _take(self, fact: Fact) -> None:
        match fact:
            case Acked(event, at):
                self._stamp(UUID(event), Stage.PUBLISHED, at)
            case Stored(node, receipt, at):
                with self._store.transaction() as connection:
                    freed = lane.receive(connection, node, receipt, at)
                for event in freed if receipt.lane is Lane.ALARM else ():
                    self._stamp(UUID(event), Stage.STORED, at)
            case Passed(event, stage, at):
                self._stamp(event, stage, at)
            case _:
                self._senses.take(fact)

    def _stamp(self, event: UUID, stage: Stage, at: datetime) -> None:
        for estate in self._estates.values():
            for run in estate.runs:
                if run.event == event:
                    self._keep(estate.id, canary.stamped(run, stage, at))
                    return

    def _keep(self, id_: str, changed: Run) -> None:
        estate = self._estates[id_]
        runs = tuple(changed if run.event == changed.event else run for run in estate.runs)
        self._estates[id_] = replace(estate, runs=runs)
        with self._store.transaction() as connection:
            store.keep_run(connection, changed)

    def canary_of(self, alert: UUID) -> UUID | None:
        """Return the event of our canary that raises this alert, also one of earlier starts."""
        return store.event_of_alert(self._store, alert)

    # -- canaries ------------------------------------------------------------------------

    def _make(self, id_: str, now: datetime) -> None:
        estate = self._estates[id_]
        if not estate.nodes or (estate.runs and now - estate.runs[-1].made_at < canary.PERIOD):
            return
        if lane.waiting(self._store, id_) >= canary.WAITING_AT_MOST:
            return
        address = estate.nodes[self._turns[id_] % len(estate.nodes)]
        self._turns[id_] += 1
        with self._store.transaction() as connection:
            data = canary.fall(episode=f"canary-{now:%Y%m%dT%H%M%S}")
            envelope = lane.put(connection, address, device_of(address), self._boots[address.node], data, now)
            run = Run(envelope.id, id_, address.node, now)
            store.keep_run(connection, run)
        self._estates[id_] = replace(estate, runs=(*estate.runs, run)[-KEPT_RUNS:])

    def _judge(self, id_: str, now: datetime) -> None:
        for run in self._estates[id_].runs:
            judged = canary.judged(run, now)
            if judged is not run:
                metrics.judged(judged)
                self._keep(id_, judged)

    def _void(self) -> None:
        for id_, estate in self._estates.items():
            for run in estate.runs:
                if run.judgement is canary.Judgement.PENDING:
                    self._keep(id_, canary.voided(run))

    # -- verdicts ------------------------------------------------------------------------

    def findings(self, id_: str) -> Findings:
        """Return what is wrong with an estate now."""
        with self._lock:
            seen = self._senses.findings(id_, self._welfare.nodes(id_), self._stepped_at)
            canaries = canary.findings(list(self._estates[id_].runs))
            return Findings(seen.hard + canaries.hard, seen.soft + canaries.soft)

    def _look(self, id_: str, now: datetime) -> None:
        practising = now < self._practising.get(id_, now)
        after = state.look(self._verdicts[id_], self.findings(id_), now, practising=practising)
        self._enter(id_, after, now)

    def _enter(self, id_: str, after: Verdict, now: datetime) -> None:
        before, self._verdicts[id_] = self._verdicts[id_], after
        if after == before:
            return
        earnest = before.drill and not after.drill and after.mode is Mode.FALLBACK
        with self._store.transaction() as connection:
            store.keep_verdict(connection, id_, after)
            if after.mode is not before.mode or earnest:
                self._announce(connection, id_, after, now, earnest=earnest)
        if after.mode is not before.mode or earnest:
            if after.mode is Mode.FALLBACK and after.declared_at != before.declared_at:
                self._welfare.begin_rounds(id_)
            self._cover(id_, now)

    def _announce(
        self, connection: Connection, id_: str, verdict: Verdict, now: datetime, *, earnest: bool
    ) -> None:
        detail = "; ".join(words.cause(cause).en for cause in verdict.causes)
        _log.warning("verdict", estate=id_, mode=verdict.mode, causes=detail)
        store.write_log(connection, now, id_, verdict.by, verdict.mode, detail, drill=verdict.drill)
        residents = self._welfare.residents(id_)
        high = sum(resident.risk >= HIGH for resident in residents)
        told = words.notice(
            self.name(id_), verdict, self._zone, residents=len(residents), high=high, earnest=earnest
        )
        urgent = verdict.mode is Mode.FALLBACK
        store.add_notice(connection, now, id_, told.zh, told.en, urgent=urgent)

    def _cover_all(self, now: datetime) -> None:
        self._covered_at = now
        for id_ in self._estates:
            self._cover(id_, now)

    def _cover(self, id_: str, now: datetime) -> None:
        self._welfare.cover(id_, self._verdicts[id_], self._senses.silent(now), now)

    def _forget(self, now: datetime) -> None:
        if now - self._forgot_at < timedelta(hours=1):
            return
        self._forgot_at = now
        with self._store.transaction() as connection:
            store.forget(connection, now - REMEMBERED)

    # -- what people ask for -------------------------------------------------------------

    def declare(self, id_: str, person: str, reason: str, now: datetime, *, drill: bool = False) -> None:
        """Enter fallback for an estate, because a person says so.

        Raises:
            NotFound: No such estate.
            Rejected: See `state.declare`.
        """
        with self._lock:
            self._enter(id_, state.declare(self._verdict(id_), person, reason, now, drill=drill), now)

    def practise(self, id_: str, until: datetime) -> None:
        """Expect a part to be broken on purpose until a moment; one that has passed ends it.

        Raises:
            NotFound: No such estate.
        """
        with self._lock:
            self._verdict(id_)
            self._practising[id_] = until

    def begin_recovery(self, id_: str, person: str, now: datetime) -> None:
        """Begin an estate's recovery, because a person has seen the platform work.

        Raises:
            NotFound: No such estate.
            Rejected: See `state.begin_recovery`.
        """
        with self._lock:
            verdict = self._verdict(id_)
            self._enter(id_, state.begin_recovery(verdict, self.findings(id_), person, now), now)

    def close(self, id_: str, person: str, now: datetime) -> None:
        """Close an estate's fallback, because a person confirms that everybody has been seen.

        Raises:
            NotFound: No such estate.
            Rejected: See `state.close`.
        """
        with self._lock:
            self._enter(id_, state.close(self._verdict(id_), self.gates(id_), person, now), now)

    def gates(self, id_: str) -> Gates:
        """Return what stands between an estate and NORMAL."""
        with self._lock:
            good_since = canary.good_since(list(self._estates[id_].runs))
            verdict = self._verdicts[id_]
        unanswered = self._welfare.unanswered(id_, verdict)
        return Gates(good_since, unanswered, len(self.undecided(id_)), self._good_for)

    # -- what people see and owe ---------------------------------------------------------

    def name(self, id_: str) -> str:
        """Return what people call an estate."""
        return self._welfare.name(id_)

    def residents(self, id_: str) -> list[Resident]:
        """Return an estate's flagged residents, by the last good roster."""
        return self._welfare.residents(id_)

    def owed_since(self, id_: str) -> datetime | None:
        """Return since when a fallback's papers and alerts are laid side by side; None without one."""
        return self._welfare.owed_since(id_, self._verdict(id_))

    def pairs(self, id_: str) -> list[Pair]:
        """Return this fallback's papers and alerts, side by side."""
        return self._welfare.pairs(id_, self._verdict(id_))

    def undecided(self, id_: str) -> list[Pair]:
        """Return the pairs on which a person has still to decide."""
        return self._welfare.undecided(id_, self._verdict(id_))

    def round(self, id_: str, of: Verdict | None = None) -> Round:
        """Return who is to be seen in an estate, and how far people have come.

        Args:
            id_: The estate.
            of: In this fallback, which may be over; without one, in the present.

        Raises:
            NotFound: No such estate.
        """
        with self._lock:
            verdict, now = self._verdict(id_), self._stepped_at
        return self._welfare.round(id_, of or verdict, now)

    def verdict(self, id_: str) -> Verdict:
        """Return the verdict on an estate.

        Takes no lock: it is read inside the page's transactions, and the loop holds this lock
        while it waits for the store's.

        Raises:
            NotFound: No such estate.
        """
        return self._verdict(id_)

    def _verdict(self, id_: str) -> Verdict:
        if id_ not in self._verdicts:
            raise NotFound("estate", id_)
        return self._verdicts[id_]

    # -- what is shown -------------------------------------------------------------------

    def view(self) -> View:
        """Return everything as it stands, for the page and the metrics."""
        with self._lock:
            estates = tuple(
                EstateView(
                    id=id_,
                    name=self.name(id_),
                    verdict=self._verdicts[id_],
                    findings=self.findings(id_),
                    runs=estate.runs,
                    unprotected=self._welfare.unprotected(id_),
                    reduced=self._welfare.reduced(id_),
                )
                for id_, estate in self._estates.items()
            )
            return View(estates, self._senses.processes, self._stepped_at)


@dataclass(frozen=True, slots=True)
class EstateView:
    """An estate as it stands.

    Attributes:
        name: What people call it.
        findings: What is wrong now; the verdict's causes say why it was declared.
        unprotected: Residents without any protection, and since when.
        reduced: How many have lost some of it.
    """

    id: str
    name: str
    verdict: Verdict
    findings: Findings
    runs: tuple[Run, ...]
    unprotected: dict[str, datetime]
    reduced: int


@dataclass(frozen=True, slots=True)
class View:
    """The community as it stands at `at`."""

    estates: tuple[EstateView, ...]
    processes: tuple[Process, ...]
    at: datetime

    @property
    def mode(self) -> Mode:
        """The mode of the whole."""
        return state.whole([estate.verdict for estate in self.estates])
