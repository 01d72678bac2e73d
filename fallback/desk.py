"""The page's second half: rounds, checks, papers keyed in, procedures, reconciliation.

Place in the flow: `page` signs people in and shows the verdict; here helpers join, are sent to
residents and tick off, and a person lays papers and events side by side.  Everything is
readable on a telephone held in one hand, and works without scripts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fallback import capacity, pack, papers, printing, procedures, records, rounds, words
from fallback.rounds import Check, Method, Result
from fallback.state import Mode
from fallback.store import stamp_of, write_log
from fallback.web import Request, Response, see
from vigil.errors import NotFound, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

    from fallback.procedures import Procedure
    from fallback.snapshot import Keeper
    from fallback.store import Store
    from fallback.watchdog import Watchdog
    from vigil.roster import Resident

CRITICAL: Final = ("resident", "result", "fell", "time")
"""Fields of a paper that two people key in alike before they count: who copies, copies errors."""
SHOWN: Final = 60
"""Residents on one page; the rest follow as these are ticked off."""


class Desk:
    """What people do.

    Args:
        watchdog: Knows who is unprotected.
        store: Keeps what people did.
        keeper: Holds the roster.
        library: The procedures.
        now: The clock.
        zone: For the times that people read and write.
        show: Renders a template for a request.
        printer: CUPS name of a printer, or None.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        store: Store,
        keeper: Keeper,
        library: Sequence[Procedure],
        now: Callable[[], datetime],
        zone: tzinfo,
        show: Callable[..., Response],
        printer: str | None = None,
    ) -> None:
        self._printer = printer
        self._watchdog = watchdog
        self._store = store
        self._keeper = keeper
        self._library = library
        self._now = now
        self._zone = zone
        self._show = show

    def routes(self) -> dict[tuple[str, str], Callable[[Request], Response]]:
        """Return the routes."""
        return {
            ("GET", "/rounds/*"): self.rounds,
            ("POST", "/join"): self.join,
            ("POST", "/deal"): self.deal,
            ("POST", "/next"): self.next,
            ("POST", "/check"): self.check,
            ("POST", "/tick"): self.tick,
            ("POST", "/paper"): self.paper,
            ("GET", "/reconcile/*"): self.reconcile,
            ("POST", "/decide"): self.decide,
            ("GET", "/pack/*"): self.pack,
            ("POST", "/print"): self.print,
        }

    # -- rounds --------------------------------------------------------------------------

    def rounds(self, request: Request) -> Response:
        """Show who is to be seen, how far people have come, and what the procedures ask."""
        id_, view = self._estate(request)
        round_ = self._watchdog.round(id_)
        mine = [task for task in round_.tasks if task.assigned == request.person]
        others = [task for task in round_.tasks if task.assigned != request.person]
        of = view.verdict.declared_at or view.verdict.since
        risks = [resident.risk for resident in self._watchdog.residents(id_)]
        called = procedures.fitting(
            self._library, view.verdict.causes, fallback=view.verdict.mode is Mode.FALLBACK
        )
        return self._show(
            "rounds.html",
            request,
            estate=view,
            round=round_,
            mine=rounds.by_way(mine),
            others=others[:SHOWN],
            more=max(0, len(others) - SHOWN),
            plan=capacity.plan(risks, len(round_.helpers)),
            procedures=called,
            done=records.ticked(self._store, id_, of),
            who=procedures.WHO,
            minutes=int((self._now() - of) / timedelta(minutes=1)),
            age=papers.age_words(self._now() - self._keeper.roster.made_at) if self._keeper.roster else None,
            results=words.RESULTS,
            methods=words.METHODS,
            printer=self._printer,
        )

    def join(self, request: Request) -> Response:
        """Note that a helper is here; a leader may sign others in by name."""
        id_ = request.field("estate")
        self._watchdog.round(id_)
        name = request.form.get("name", "").strip() or str(request.person)
        with self._store.transaction() as connection:
            records.join(connection, id_, name, self._now())
            self._log(connection, id_, request, "joined", name)
        return see(f"/rounds/{id_}")

    def deal(self, request: Request) -> Response:
        """Send everybody who is here to a stretch of doors."""
        id_ = request.field("estate")
        round_ = self._watchdog.round(id_)
        if not round_.helpers:
            raise Rejected("incomplete", "nobody has joined yet; join first")
        dealt = rounds.share(round_.tasks, round_.helpers)
        with self._store.transaction() as connection:
            records.assign(connection, dealt, self._now())
            self._log(connection, id_, request, "dealt", f"{len(dealt)} to {len(round_.helpers)} helpers")
        return see(f"/rounds/{id_}")

    def next(self, request: Request) -> Response:
        """Send a helper who is free to whoever is most urgent, and log how they are to be reached."""
        id_, person = request.field("estate"), str(request.person)
        round_ = self._watchdog.round(id_)
        walks = person in round_.helpers[: rounds.walkers(len(round_.helpers))]
        found = rounds.next_task([task for task in round_.tasks if task.assigned is None], walks=walks)
        if found is None:
            raise Rejected("not_allowed", "somebody is on the way to everybody who is left")
        task, method = found
        with self._store.transaction() as connection:
            records.join(connection, id_, person, self._now())
            records.assign(connection, {task.resident.id: person}, self._now())
            self._log(connection, id_, request, "sent", f"{task.resident.id}: {method}")
        return see(f"/rounds/{id_}#{task.resident.id}")

    def check(self, request: Request) -> Response:
        """Take what a call or a visit found."""
        id_ = request.field("estate")
        resident = self._resident(id_, request.field("resident"))
        check = Check(
            resident=resident.id,
            at=self._now(),
            by=str(request.person),
            method=_one(Method, request.field("method")),
            result=_one(Result, request.field("result")),
            fell=_yes_no(request.form.get("fell", "")),
            note=request.form.get("note", "")[:500],
        )
        self._keep(id_, check, request)
        return see(f"/rounds/{id_}")

    def _keep(self, id_: str, check: Check, request: Request) -> None:
        drill = self._verdict_drill(id_)
        with self._store.transaction() as connection:
            records.keep_check(connection, id_, check, self._now(), drill=drill)
            if (check.method, check.result) == (Method.PHONE, Result.NO_ANSWER):
                records.release(connection, check.resident)  # whoever is free next goes to the door
            self._log(connection, id_, request, "checked", f"{check.resident}: {check.method} {check.result}")

    def tick(self, request: Request) -> Response:
        """Note that a procedure's step was done."""
        id_, procedure, step = (request.field(name) for name in ("estate", "procedure", "step"))
        known = {(each.id, one.id) for each in self._library for one in each.steps}
        if (procedure, step) not in known:
            raise NotFound("step", f"{procedure} {step}")
        verdict = self._watchdog.verdict(id_)
        of = verdict.declared_at or verdict.since
        with self._store.transaction() as connection:
            records.tick(connection, id_, procedure, step, str(request.person), self._now(), of)
            self._log(connection, id_, request, "step", step)
        return see(f"/rounds/{id_}#procedures")

    # -- papers --------------------------------------------------------------------------

    def paper(self, request: Request) -> Response:
        """Take a paper form: the second time, by somebody else, its critical fields must say the same."""
        id_ = request.field("estate")
        number = request.field("form").rpartition("-")[2]
        if not number.isdecimal():
            raise Rejected("invalid", "a form's number ends with digits, as printed: 1024-007")
        facts = {name: request.form.get(name, "").strip() for name in (*CRITICAL, "method", "note")}
        check = self._paper_check(id_, facts, int(number), request)
        first = self._store.read("SELECT * FROM keyed WHERE estate = ? AND form = ?", id_, int(number))
        if first:
            _somebody_else(str(first[0]["by"]), str(request.person))
            _compare(msgspec.json.decode(first[0]["facts"]), facts)
            self._keep(id_, check, request)
            verb = "paper confirmed"
        else:
            verb = "paper keyed once"
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO keyed VALUES (?, ?, ?, ?, ?)",
                [int(number), id_, msgspec.json.encode(facts), str(request.person), stamp_of(self._now())],
            )
            self._log(connection, id_, request, verb, number)
        return see(f"/reconcile/{id_}")

    def _paper_check(self, id_: str, facts: Mapping[str, str], form: int, request: Request) -> Check:
        return Check(
            resident=self._resident(id_, facts["resident"]).id,
            at=self._time(facts["time"]),
            by=str(request.person),
            method=_one(Method, facts["method"] or "door"),
            result=_one(Result, facts["result"]),
            fell=_yes_no(facts["fell"]),
            note=facts["note"][:500],
            source="paper",
            form=form,
        )

    def _time(self, written: str) -> datetime:
        """Return the latest moment, not after now, at which the community's clocks showed this."""
        now = self._now().astimezone(self._zone)
        try:
            at = datetime.strptime(written, "%H:%M").replace(tzinfo=self._zone)
        except ValueError:
            raise Rejected("invalid", f"{written!r} is no time such as 14:05") from None
        moment = at.replace(year=now.year, month=now.month, day=now.day)
        return moment if moment <= now else moment - timedelta(days=1)

    def reconcile(self, request: Request) -> Response:
        """Show papers and events side by side, and what still stands open."""
        id_, view = self._estate(request)
        undecided = {pair.key for pair in self._watchdog.undecided(id_)}
        names = {resident.id: resident.name for resident in self._watchdog.residents(id_)}
        once = self._store.read(
            "SELECT form, by, at FROM keyed k WHERE estate = ? AND NOT EXISTS"
            " (SELECT 1 FROM checked c WHERE c.estate = k.estate AND c.form = k.form) ORDER BY form",
            id_,
        )
        decisions = self._store.read("SELECT * FROM decision WHERE estate = ? ORDER BY at", id_)
        return self._show(
            "reconcile.html",
            request,
            estate=view,
            pairs=self._watchdog.pairs(id_),
            undecided=undecided,
            names=names,
            once=once,
            decisions=decisions,
            results=words.RESULTS,
            methods=words.METHODS,
            matches=words.MATCHES,
        )

    def decide(self, request: Request) -> Response:
        """Take a person's word on a pair; both sides are kept."""
        id_, key = request.field("estate"), request.field("key")
        if key not in {pair.key for pair in self._watchdog.undecided(id_)}:
            raise NotFound("undecided pair", key)
        verdict, reason = request.field("verdict"), request.field("reason")
        if verdict not in ("paper", "event", "both"):
            raise Rejected("invalid", "the verdict is paper, event or both")
        with self._store.transaction() as connection:
            records.decide(connection, id_, key, verdict, reason, str(request.person), self._now())
            self._log(connection, id_, request, "decided", f"{key}: {verdict}; {reason}")
        return see(f"/reconcile/{id_}")

    def pack(self, request: Request) -> Response:
        """Show the pack as it would be now, from the last good roster, however old it is."""
        id_, _ = self._estate(request)
        facts = self._facts(id_)
        headers = (("Content-Disposition", f'inline; filename="vigil-{facts.number}.pdf"'),)
        return Response(papers.pdf(facts, ""), type="application/pdf", headers=headers)

    def print(self, request: Request) -> Response:
        """Print the pack as it would be now."""
        id_ = request.field("estate")
        if self._printer is None:
            raise Rejected("not_allowed", "there is no printer: VIGIL_FALLBACK_PRINTER names one")
        facts = self._facts(id_)
        printing.send(papers.pdf(facts, ""), self._printer, f"vigil-{facts.number}")
        with self._store.transaction() as connection:
            self._log(connection, id_, request, "printed", f"vigil-{facts.number}")
        return see(f"/rounds/{id_}")

    def _facts(self, id_: str) -> papers.Facts:
        view = self._view(id_)
        if self._keeper.roster is None:
            raise NotFound("roster for", id_)
        return pack.facts_of(
            *(self._keeper.roster, id_, view.unprotected, self._library, self._zone, self._now()),
            drill=view.verdict.drill,
        )

    # -- helpers -------------------------------------------------------------------------

    def _estate(self, request: Request) -> tuple[str, Any]:
        id_ = request.path.rpartition("/")[2]
        return id_, self._view(id_)

    def _view(self, id_: str) -> Any:
        for estate in self._watchdog.view().estates:
            if estate.id == id_:
                return estate
        raise NotFound("estate", id_)

    def _verdict_drill(self, id_: str) -> bool:
        return self._watchdog.verdict(id_).drill

    def _resident(self, id_: str, resident: str) -> Resident:
        for each in self._watchdog.residents(id_):
            if each.id == resident:
                return each
        raise NotFound("resident in this estate's roster:", resident)

    def _log(self, connection: Any, id_: str, request: Request, what: str, detail: str) -> None:
        drill = self._verdict_drill(id_)
        write_log(connection, self._now(), id_, f"person:{request.person}", what, detail, drill=drill)


def _somebody_else(first: str, second: str) -> None:
    if first == second:
        detail = f"{first} has keyed this paper in already; the second time somebody else reads it"
        raise Rejected("same_person", detail)


def _compare(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    differ = [name for name in CRITICAL if first[name] != second[name]]
    if differ:
        said = "; ".join(f"{name}: {first[name]!r}, now {second[name]!r}" for name in differ)
        raise Rejected("differs", f"keyed in differently the first time, look at the paper again: {said}")


def _yes_no(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text)


def _one(kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Rejected("invalid", f"{text!r} is none of {', '.join(kind)}") from None
