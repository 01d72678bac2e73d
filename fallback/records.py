"""What people did: intervals, checks, helpers, decisions, steps; as rows.

Used by `watchdog` (intervals), `page` (what people enter) and `liaison` (late alerts).  Rows
about people are added and never changed; the pure modules make sense of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fallback.coverage import Interval
from fallback.reconcile import LateAlert
from fallback.rounds import Check, Method, Result
from fallback.store import moment_of, stamp_of
from vigil.roster import Signed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from fallback.pack import Written
    from fallback.store import Store


def keep_roster(connection: sqlite3.Connection, signed: Signed, now: datetime) -> None:
    """Keep the latest roster, as it was signed."""
    connection.execute(
        "INSERT OR REPLACE INTO roster VALUES (1, ?, ?)", [msgspec.json.encode(signed), stamp_of(now)]
    )


def kept_roster(store: Store) -> Signed | None:
    """Return the roster that was kept last, to be verified again."""
    rows = store.read("SELECT signed FROM roster")
    return msgspec.json.decode(rows[0]["signed"], type=Signed) if rows else None


def open_intervals(store: Store, estate: str) -> list[Interval]:
    """Return the unprotected intervals of an estate that have no end."""
    rows = store.read("SELECT * FROM interval WHERE estate = ? AND until IS NULL", estate)
    return [Interval(row["resident"], moment_of(row["since"])) for row in rows]


def keep_intervals(
    connection: sqlite3.Connection, estate: str, intervals: Iterable[Interval], *, fallback: bool
) -> None:
    """Keep intervals that have begun or ended.

    Args:
        connection: Inside a transaction.
        estate: Theirs.
        intervals: With or without an end.
        fallback: Whether a person must have seen these residents before the fallback is closed.
    """
    rows = [
        (each.resident, estate, stamp_of(each.since), each.until and stamp_of(each.until), fallback)
        for each in intervals
    ]
    connection.executemany(
        "INSERT INTO interval VALUES (?, ?, ?, ?, ?) ON CONFLICT (resident, since)"
        " DO UPDATE SET until = excluded.until, fallback = max(fallback, excluded.fallback)",
        rows,
    )


def mark_fallback(connection: sqlite3.Connection, estate: str) -> None:
    """Let every open interval of an estate want a welfare result."""
    connection.execute("UPDATE interval SET fallback = 1 WHERE estate = ? AND until IS NULL", [estate])


def fallback_intervals(store: Store, estate: str, since: datetime) -> list[Interval]:
    """Return the intervals that want a welfare result and lasted into this fallback."""
    rows = store.read(
        "SELECT * FROM interval WHERE estate = ? AND fallback AND (until IS NULL OR until >= ?)",
        estate,
        stamp_of(since),
    )
    return [Interval(row["resident"], moment_of(row["since"]), _moment(row["until"])) for row in rows]


def _moment(stamp: float | None) -> datetime | None:
    return None if stamp is None else moment_of(stamp)


def keep_check(
    connection: sqlite3.Connection, estate: str, check: Check, now: datetime, *, drill: bool
) -> None:
    """Keep what a call, a visit or a paper found."""
    connection.execute(
        "INSERT INTO checked (resident, estate, at, by, method, result, fell, note, source, form, keyed_at, drill)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            check.resident,
            estate,
            stamp_of(check.at),
            check.by,
            check.method,
            check.result,
            check.fell,
            check.note,
            check.source,
            check.form,
            stamp_of(now),
            drill,
        ],
    )


def checks(store: Store, estate: str, since: datetime, *, drill: bool) -> list[Check]:
    """Return what was found in an estate since a moment, oldest first.

    Args:
        store: Where it is kept.
        estate: Which one.
        since: That moment.
        drill: With what was only practised, which counts for the drill and for nothing else.
    """
    rows = store.read(
        "SELECT * FROM checked WHERE estate = ? AND at >= ? AND drill <= ? ORDER BY at, id",
        estate,
        stamp_of(since),
        drill,
    )
    return [
        Check(
            resident=row["resident"],
            at=moment_of(row["at"]),
            by=row["by"],
            method=Method(row["method"]),
            result=Result(row["result"]),
            fell=None if row["fell"] is None else bool(row["fell"]),
            note=row["note"],
            source=row["source"],
            form=row["form"],
        )
        for row in rows
    ]


def assign(connection: sqlite3.Connection, dealt: dict[str, str], now: datetime) -> None:
    """Send helpers to residents; the latest word counts."""
    connection.executemany(
        "INSERT OR REPLACE INTO assigned VALUES (?, ?, ?)",
        [(resident, helper, stamp_of(now)) for resident, helper in dealt.items()],
    )


def release(connection: sqlite3.Connection, resident: str) -> None:
    """Let whoever was to go to a resident go elsewhere."""
    connection.execute("DELETE FROM assigned WHERE resident = ?", [resident])


def assignments(store: Store) -> dict[str, str]:
    """Return who goes to whom."""
    return {row["resident"]: row["helper"] for row in store.read("SELECT resident, helper FROM assigned")}


def clear_round(connection: sqlite3.Connection, estate: str, residents: Sequence[str]) -> None:
    """Forget who was here and who went to whom: a new fallback begins."""
    connection.execute("DELETE FROM helper WHERE estate = ?", [estate])
    connection.executemany("DELETE FROM assigned WHERE resident = ?", [(each,) for each in residents])


def join(connection: sqlite3.Connection, estate: str, name: str, now: datetime) -> None:
    """Note that a helper is here."""
    connection.execute("INSERT OR IGNORE INTO helper VALUES (?, ?, ?)", [name, estate, stamp_of(now)])


def helpers(store: Store, estate: str) -> list[str]:
    """Return who is here, in the order of coming."""
    rows = store.read("SELECT name FROM helper WHERE estate = ? ORDER BY here_at, name", estate)
    return [row["name"] for row in rows]


def keep_late(connection: sqlite3.Connection, estate: str, alert: LateAlert) -> None:
    """Keep an alert of the platform that belongs to the time without it."""
    connection.execute(
        "INSERT OR IGNORE INTO late_alert VALUES (?, ?, ?, ?, ?)",
        [alert.id, estate, alert.resident, alert.kind, stamp_of(alert.event_time)],
    )


def late_alerts(store: Store, estate: str, since: datetime) -> list[LateAlert]:
    """Return the platform's alerts about a time since a moment."""
    rows = store.read(
        "SELECT * FROM late_alert WHERE estate = ? AND event_time >= ? ORDER BY event_time",
        estate,
        stamp_of(since),
    )
    return [LateAlert(row["id"], row["resident"], row["kind"], moment_of(row["event_time"])) for row in rows]


def decide(
    connection: sqlite3.Connection, estate: str, key: str, verdict: str, reason: str, by: str, now: datetime
) -> None:
    """Keep a person's word on a pair; the first stands, and both sides of the pair are kept."""
    connection.execute(
        "INSERT OR IGNORE INTO decision VALUES (?, ?, ?, ?, ?, ?)",
        [key, estate, verdict, reason, by, stamp_of(now)],
    )


def decided(store: Store, estate: str) -> set[str]:
    """Return the keys of the pairs on which a person has decided."""
    return {row["key"] for row in store.read("SELECT key FROM decision WHERE estate = ?", estate)}


def tick(
    connection: sqlite3.Connection,
    estate: str,
    procedure: str,
    step: str,
    by: str,
    at: datetime,
    of: datetime,
) -> None:
    """Note that a procedure's step was done, in the fallback that was declared at `of`."""
    connection.execute(
        "INSERT OR IGNORE INTO step_done VALUES (?, ?, ?, ?, ?, ?)",
        [estate, procedure, step, by, stamp_of(at), stamp_of(of)],
    )


def ticked(store: Store, estate: str, of: datetime) -> dict[str, tuple[str, datetime]]:
    """Return who did each step, and when."""
    rows = store.read("SELECT * FROM step_done WHERE estate = ? AND declared_at = ?", estate, stamp_of(of))
    return {row["step"]: (row["by"], moment_of(row["at"])) for row in rows}


def keep_pack(
    connection: sqlite3.Connection,
    estate: str,
    made_at: datetime,
    roster_at: datetime,
    written: Sequence[Written],
) -> None:
    """Keep where a pack was written."""
    connection.executemany(
        "INSERT OR REPLACE INTO pack VALUES (?, ?, ?, ?, ?)",
        [(str(each.path), estate, stamp_of(made_at), stamp_of(roster_at), each.sha256) for each in written],
    )


def last_pack(store: Store, estate: str) -> datetime | None:
    """Return when the latest pack of an estate was made."""
    rows = store.read("SELECT max(made_at) AS at FROM pack WHERE estate = ?", estate)
    return _moment(rows[0]["at"])


def pack_due(store: Store, estate: str, before: datetime) -> bool:
    """Return whether the latest pack of an estate is older than a moment."""
    last = last_pack(store, estate)
    return last is None or last <= before
