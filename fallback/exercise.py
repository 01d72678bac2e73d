"""The page's third part: drills are planned, begun, ended, measured, and their actions closed.

Place in the flow: a drill is a fallback declared with the drill's mark (`watchdog`); when it
ends, by a person or by itself, `drills` measures what the log holds, and this keeps the measures
and opens the actions.  `liaison` tells the platform of it, so that drill events page people there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from fallback import drills, papers, procedures, records
from fallback.state import WATCHDOG, Mode
from fallback.store import moment_of, stamp_of, write_log
from fallback.web import Request, Response, see
from vigil.errors import NotFound, Rejected

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from fallback.procedures import Procedure
    from fallback.store import Store
    from fallback.watchdog import Watchdog


LONGEST_MIN: Final = 720
"""As the platform has it (`api.drills.AT_MOST`)."""
_UNDER_WAY: Final = "SELECT * FROM drill WHERE begun_at IS NOT NULL AND ended_at IS NULL"


class Exercise:
    """What people do about drills.

    Args:
        watchdog: Declares them, with their mark.
        store: Keeps them.
        library: The procedures whose steps are counted.
        now: The clock.
        zone: For the times that people read and write.
        show: Renders a template for a request.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        store: Store,
        library: Sequence[Procedure],
        now: Callable[[], datetime],
        zone: tzinfo,
        show: Callable[..., Response],
    ) -> None:
        self._watchdog = watchdog
        self._store = store
        self._library = library
        self._now = now
        self._zone = zone
        self._show = show
        for row in store.read(_UNDER_WAY):
            self._practise(row)

    def routes(self) -> dict[tuple[str, str], Callable[[Request], Response]]:
        """Return the routes."""
        return {
            ("GET", "/drills"): self.overview,
            ("POST", "/drills/plan"): self.plan,
            ("POST", "/drills/begin"): self.begin,
            ("POST", "/drills/end"): self.end,
            ("POST", "/drills/close-action"): self.close_action,
            ("GET", "/drill-report/*"): self.report,
        }

    def overview(self, request: Request) -> Response:
        """Show what is planned, what was measured, and which actions are open."""
        rows = self._store.read("SELECT * FROM drill ORDER BY planned_at DESC LIMIT 50")
        measured = {row["id"]: _measures(row) for row in rows}
        return self._show(
            "drills.html",
            request,
            estates={estate.id: estate.name for estate in self._watchdog.view().estates},
            kinds=drills.KINDS,
            rows=rows,
            measured=measured,
            said=drills.said,
            told_when=drills.stage,
            actions=self._store.read("SELECT * FROM action WHERE closed_at IS NULL ORDER BY due_at"),
        )

    def plan(self, request: Request) -> Response:
        """Plan a drill; an unannounced one stands here for its owner alone to begin."""
        estate, kind = request.field("estate"), request.field("kind")
        self._watchdog.verdict(estate)
        if kind not in drills.KINDS:
            raise Rejected("invalid", f"{kind!r} is none of {', '.join(drills.KINDS)}")
        minutes = _minutes(request.form.get("minutes", "60"))
        planned = self._moment(request.field("planned"))
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO drill (estate, kind, scenario, owner, planned_at, minutes) VALUES (?, ?, ?, ?, ?, ?)",
                [estate, kind, request.field("scenario"), str(request.person), stamp_of(planned), minutes],
            )
            self._log(connection, estate, request, "drill planned", f"{kind} {planned:%Y-%m-%d %H:%M} UTC")
        return see("/drills")

    def _moment(self, written: str) -> datetime:
        try:
            return datetime.fromisoformat(written).replace(tzinfo=self._zone)
        except ValueError:
            raise Rejected("invalid", f"{written!r} is no time such as 2026-03-02T14:00") from None

    def begin(self, request: Request) -> Response:
        """Begin a drill: a component is broken by its owner; the others are declared at once."""
        row = self._drill(request.field("drill"))
        if row["begun_at"] is not None:
            raise Rejected("not_allowed", "this drill has begun already")
        now = self._now()
        if row["kind"] != "component":  # first of all: in a real fallback it is refused, and nothing begins
            actor = f"person:{request.person}"
            self._watchdog.declare(row["estate"], actor, row["scenario"], now, drill=True)
        with self._store.transaction() as connection:
            connection.execute("UPDATE drill SET begun_at = ? WHERE id = ?", [stamp_of(now), row["id"]])
            self._log(connection, row["estate"], request, "drill begun", row["scenario"])
        self._practise(self._drill(row["id"]))
        return see("/drills")

    def _practise(self, row: sqlite3.Row) -> None:
        if row["kind"] == "component":
            self._watchdog.practise(row["estate"], _ends_at(row))

    def end(self, request: Request) -> Response:
        """End a drill: measure it, and open an action for each goal that was missed."""
        row = self._drill(request.field("drill"))
        if row["begun_at"] is None or row["ended_at"] is not None:
            raise Rejected("not_allowed", "only a drill under way is ended")
        self._finish(row, f"person:{request.person}", self._now())
        return see("/drills")

    def end_overdue(self, now: datetime) -> None:
        """End the drills whose time is over: a mark that was forgotten would hide what is real."""
        for row in self._store.read(_UNDER_WAY):
            if _ends_at(row) <= now:
                self._finish(row, WATCHDOG, now)

    def _finish(self, row: sqlite3.Row, actor: str, now: datetime) -> None:
        measures = self._measured(row, now)
        opened = drills.actions(measures, row["owner"], now)
        if row["kind"] == "component":
            self._watchdog.practise(row["estate"], now)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE drill SET ended_at = ?, measures = ? WHERE id = ?",
                [stamp_of(now), msgspec.json.encode(measures), row["id"]],
            )
            connection.executemany(
                "INSERT INTO action (drill, what, owner, due_at) VALUES (?, ?, ?, ?)",
                [(row["id"], each.what, each.owner, stamp_of(each.due_at)) for each in opened],
            )
            detail = f"{len(opened)} actions opened"
            write_log(connection, now, row["estate"], actor, "drill ended", detail, drill=True)

    def _measured(self, row: sqlite3.Row, now: datetime) -> list[drills.Measure]:
        estate, begun = row["estate"], moment_of(row["begun_at"])
        verdict = self._watchdog.verdict(estate)
        declared = self._first(
            "SELECT min(at) FROM log WHERE estate = ? AND at >= ? AND what = 'fallback'", row
        )
        informed = self._first(
            "SELECT min(sent_at) FROM notice WHERE estate = ? AND made_at >= ? AND urgent", row
        )
        closed = self._first("SELECT min(at) FROM log WHERE estate = ? AND at >= ? AND what = 'normal'", row)
        # People may have closed it before somebody ends the drill: what they did is looked for all the same.
        of = replace(verdict, mode=Mode.FALLBACK, declared_at=declared or begun, drill=True)
        round_ = self._watchdog.round(estate, of)
        called = procedures.fitting(self._library, verdict.causes, fallback=declared is not None)
        due = drills.due_steps(called, (closed or now) - (declared or now))
        done = records.ticked(self._store, estate, of.declared_at or begun)
        return drills.measure(
            drills.Happened(begun, declared, informed),
            [check for check in round_.checks if check.at >= begun],
            round_.everyone,
            len(due),
            sum(step in done for _, step in due),
        )

    def _first(self, query: str, row: sqlite3.Row) -> datetime | None:
        (found,) = self._store.read(query, row["estate"], row["begun_at"])
        return None if found[0] is None else moment_of(found[0])

    def close_action(self, request: Request) -> Response:
        """Close an action, by name."""
        with self._store.transaction() as connection:
            changed = connection.execute(
                "UPDATE action SET closed_at = ?, closed_by = ? WHERE id = ? AND closed_at IS NULL",
                [stamp_of(self._now()), str(request.person), request.field("action")],
            )
            if changed.rowcount == 0:
                raise NotFound("open action", request.field("action"))
        return see("/drills")

    def report(self, request: Request) -> Response:
        """Give a drill's report as PDF."""
        row = self._drill(request.path.rpartition("/")[2])
        kind = drills.KINDS[row["kind"]]
        actions = self._store.read("SELECT * FROM action WHERE drill = ?", row["id"])
        lines = [
            f"{self._watchdog.name(row['estate'])} · {kind.zh} {kind.en} · {row['scenario']}",
            f"负责 owner: {row['owner']}",
            *(f"{name}: {self._local(row[column])}" for name, column in _TIMES),
        ]
        lines += [
            f"{'✓' if m.met else '× 未达 missed:'} {m.words.zh} {m.words.en}: {drills.said(m)}"
            for m in _measures(row)
        ]
        lines += [f"□ {a['what']} — {a['owner']}, {self._local(a['due_at'])}" for a in actions]
        headers = (("Content-Disposition", f'inline; filename="vigil-drill-{row["id"]}.pdf"'),)
        paper = papers.plain("演练报告 Drill report", lines)
        return Response(paper, type="application/pdf", headers=headers)

    def _local(self, stamp: float | None) -> str:
        return "-" if stamp is None else moment_of(stamp).astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def _drill(self, id_: str) -> sqlite3.Row:
        rows = self._store.read("SELECT * FROM drill WHERE id = ?", id_)
        if not rows:
            raise NotFound("drill", id_)
        return rows[0]

    def _log(
        self, connection: sqlite3.Connection, estate: str, request: Request, what: str, detail: str
    ) -> None:
        write_log(connection, self._now(), estate, f"person:{request.person}", what, detail, drill=True)


def _ends_at(row: sqlite3.Row) -> datetime:
    return moment_of(row["begun_at"]) + timedelta(minutes=row["minutes"])


def _minutes(written: str) -> int:
    minutes = int(written) if written.isdecimal() else 0
    if not 1 <= minutes <= LONGEST_MIN:
        raise Rejected("invalid", f"a drill lasts 1 to {LONGEST_MIN} minutes, not {written!r}")
    return minutes


_TIMES = (("计划 planned", "planned_at"), ("开始 begun", "begun_at"), ("结束 ended", "ended_at"))


def _measures(row: sqlite3.Row) -> list[drills.Measure]:
    if row["measures"] is None:
        return []
    found: list[drills.Measure] = msgspec.json.decode(row["measures"], type=list[drills.Measure])
    return found
