"""The watchdog's own memory: SQLite, in one file that nothing else touches.

Used by `watchdog`, `courier`, `page` and what hangs on them.  The loop, the page's threads
and the ops server share one connection under a lock: there are some ten writes a second.
Every change is on the disk before it counts (WAL, synchronous=FULL).
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from fallback.canary import Judgement, Run, Stage
from fallback.state import Verdict
from vigil.errors import Stop, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = (
    """
    CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE boot (node TEXT NOT NULL, ordinal INTEGER NOT NULL, boot TEXT NOT NULL,
                       seq INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (node, ordinal)) STRICT;
    CREATE TABLE spool (node TEXT NOT NULL, boot TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL,
                        event TEXT NOT NULL, envelope BLOB NOT NULL, made_at REAL NOT NULL,
                        sent INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, stored_at REAL,
                        PRIMARY KEY (node, boot, lane, seq)) STRICT;
    CREATE INDEX spool_waiting ON spool (node, next_at) WHERE stored_at IS NULL;
    CREATE TABLE run (event TEXT PRIMARY KEY, alert TEXT NOT NULL UNIQUE, estate TEXT NOT NULL, node TEXT NOT NULL, made_at REAL NOT NULL,
                      published_at REAL, stored_at REAL, alerted_at REAL, acknowledged_at REAL,
                      judgement TEXT NOT NULL) STRICT;
    CREATE INDEX run_estate ON run (estate, made_at);
    CREATE TABLE verdict (estate TEXT PRIMARY KEY, verdict BLOB NOT NULL) STRICT;
    CREATE TABLE log (id INTEGER PRIMARY KEY, at REAL NOT NULL, estate TEXT NOT NULL, actor TEXT NOT NULL,
                      what TEXT NOT NULL, detail TEXT NOT NULL, drill INTEGER NOT NULL) STRICT;
    CREATE TABLE notice (id INTEGER PRIMARY KEY, made_at REAL NOT NULL, estate TEXT NOT NULL,
                         title TEXT NOT NULL, body TEXT NOT NULL, urgent INTEGER NOT NULL,
                         tries INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, sent_at REAL) STRICT;
    """,
    """
    CREATE TABLE roster (id INTEGER PRIMARY KEY CHECK (id = 1), signed BLOB NOT NULL, fetched_at REAL NOT NULL)
        STRICT;
    CREATE TABLE interval (resident TEXT NOT NULL, estate TEXT NOT NULL, since REAL NOT NULL, until REAL,
                           fallback INTEGER NOT NULL, PRIMARY KEY (resident, since)) STRICT;
    CREATE TABLE checked (id INTEGER PRIMARY KEY, resident TEXT NOT NULL, estate TEXT NOT NULL, at REAL NOT NULL,
                          by TEXT NOT NULL, method TEXT NOT NULL, result TEXT NOT NULL, fell INTEGER,
                          note TEXT NOT NULL, source TEXT NOT NULL, form INTEGER NOT NULL,
                          keyed_at REAL NOT NULL, drill INTEGER NOT NULL) STRICT;
    CREATE INDEX checked_resident ON checked (resident, at);
    CREATE TABLE assigned (resident TEXT PRIMARY KEY, helper TEXT NOT NULL, at REAL NOT NULL) STRICT;
    CREATE TABLE helper (name TEXT NOT NULL, estate TEXT NOT NULL, here_at REAL NOT NULL,
                         PRIMARY KEY (name, estate)) STRICT;
    CREATE TABLE keyed (form INTEGER NOT NULL, estate TEXT NOT NULL, facts BLOB NOT NULL, by TEXT NOT NULL,
                        at REAL NOT NULL, PRIMARY KEY (estate, form)) STRICT;
    CREATE TABLE late_alert (id TEXT PRIMARY KEY, estate TEXT NOT NULL, resident TEXT NOT NULL,
                             kind TEXT NOT NULL, event_time REAL NOT NULL) STRICT;
    CREATE TABLE decision (key TEXT PRIMARY KEY, estate TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
                           by TEXT NOT NULL, at REAL NOT NULL) STRICT;
    CREATE TABLE step_done (estate TEXT NOT NULL, procedure TEXT NOT NULL, step TEXT NOT NULL, by TEXT NOT NULL,
                            at REAL NOT NULL, declared_at REAL NOT NULL, PRIMARY KEY (estate, step, declared_at))
        STRICT;
    CREATE TABLE pack (path TEXT PRIMARY KEY, estate TEXT NOT NULL, made_at REAL NOT NULL, roster_at REAL NOT NULL,
                       sha256 TEXT NOT NULL) STRICT;
    CREATE TABLE drill (id INTEGER PRIMARY KEY, estate TEXT NOT NULL, kind TEXT NOT NULL, scenario TEXT NOT NULL,
                        owner TEXT NOT NULL, planned_at REAL NOT NULL, begun_at REAL, ended_at REAL,
                        measures BLOB) STRICT;
    CREATE TABLE action (id INTEGER PRIMARY KEY, drill INTEGER NOT NULL REFERENCES drill, what TEXT NOT NULL,
                         owner TEXT NOT NULL, due_at REAL NOT NULL, closed_at REAL, closed_by TEXT) STRICT;
    """,
    """
    ALTER TABLE drill ADD COLUMN minutes INTEGER NOT NULL DEFAULT 60;
    ALTER TABLE drill ADD COLUMN told TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE checkpoint (id INTEGER PRIMARY KEY, signed BLOB NOT NULL, wrong TEXT) STRICT;
    """,
)
"""Scripts in order; the database's `user_version` says how many have been run."""
BUSY_S: Final = 5.0


class Store:
    """The open database.

    Args:
        path: Of the file; its folder is made where it is missing.

    Raises:
        Stop: The file cannot be opened, is broken, or was written by a later version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise Stop(f"VIGIL_FALLBACK_STATE {path} cannot be used: {error}") from None

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(SCHEMA):
            raise Stop(f"the watchdog's state is of version {version}, this program knows {len(SCHEMA)}")
        for number, script in enumerate(SCHEMA[version:], version + 1):
            self._connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={number};COMMIT;")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction, to one thread at a time.

        Raises:
            Unavailable: The disk refuses.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._back_out()
                raise Unavailable("the watchdog's disk", error) from error
            except BaseException:
                self._back_out()
                raise

    def _back_out(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def read(self, query: str, *parameters: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()


def stamp_of(moment: datetime) -> float:
    """Return a moment as SQLite keeps it: seconds since 1970."""
    return moment.timestamp()


def moment_of(stamp: float) -> datetime:
    """Return a kept moment, in UTC."""
    return datetime.fromtimestamp(stamp, UTC)


def secret(store: Store, name: str, fresh: bytes) -> bytes:
    """Return the kept secret of this name; the first time that is `fresh`."""
    with store.transaction() as connection:
        connection.execute("INSERT OR IGNORE INTO secret VALUES (?, ?)", [name, fresh])
        row = connection.execute("SELECT value FROM secret WHERE name = ?", [name]).fetchone()
    return bytes(row["value"])


def verdicts(store: Store) -> dict[str, Verdict]:
    """Return the verdict on each estate that has one."""
    rows = store.read("SELECT estate, verdict FROM verdict")
    return {row["estate"]: msgspec.json.decode(row["verdict"], type=Verdict) for row in rows}


def keep_verdict(connection: sqlite3.Connection, estate: str, verdict: Verdict) -> None:
    """Keep an estate's verdict."""
    connection.execute(
        "INSERT INTO verdict VALUES (?, ?) ON CONFLICT (estate) DO UPDATE SET verdict = excluded.verdict",
        [estate, msgspec.json.encode(verdict)],
    )


def write_log(
    connection: sqlite3.Connection,
    at: datetime,
    estate: str,
    actor: str,
    what: str,
    detail: str = "",
    *,
    drill: bool = False,
) -> None:
    """Append a line to the log; nothing ever changes or removes one."""
    connection.execute(
        "INSERT INTO log (at, estate, actor, what, detail, drill) VALUES (?, ?, ?, ?, ?, ?)",
        [stamp_of(at), estate, actor, what, detail, drill],
    )


def add_notice(
    connection: sqlite3.Connection, at: datetime, estate: str, title: str, body: str, *, urgent: bool
) -> None:
    """Put a notice into the outbox; `notify` sends it and only then marks it."""
    connection.execute(
        "INSERT INTO notice (made_at, estate, title, body, urgent, next_at) VALUES (?, ?, ?, ?, ?, ?)",
        [stamp_of(at), estate, title, body, urgent, stamp_of(at)],
    )


def keep_run(connection: sqlite3.Connection, run: Run) -> None:
    """Keep a canary as it stands."""
    stamps = [_stamp(run.at(stage)) for stage in Stage]
    connection.execute(
        "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [str(run.event), str(run.alert), run.estate, run.node, stamp_of(run.made_at), *stamps, run.judgement],
    )


def _stamp(moment: datetime | None) -> float | None:
    return None if moment is None else stamp_of(moment)


def event_of_alert(store: Store, alert: UUID) -> UUID | None:
    """Return the event of our canary that raises this alert, or None where it is none of ours."""
    rows = store.read("SELECT event FROM run WHERE alert = ?", str(alert))
    return UUID(rows[0]["event"]) if rows else None


def runs(store: Store, estate: str, limit: int) -> list[Run]:
    """Return an estate's last canaries, oldest first."""
    rows = store.read("SELECT * FROM run WHERE estate = ? ORDER BY made_at DESC LIMIT ?", estate, limit)
    return [_run(row) for row in reversed(rows)]


def _run(row: sqlite3.Row) -> Run:
    stamps = tuple(
        (stage, moment_of(row[f"{stage}_at"])) for stage in Stage if row[f"{stage}_at"] is not None
    )
    return Run(
        event=UUID(row["event"]),
        estate=row["estate"],
        node=row["node"],
        made_at=moment_of(row["made_at"]),
        stamps=stamps,
        judgement=Judgement(row["judgement"]),
    )


def forget(connection: sqlite3.Connection, before: datetime) -> None:
    """Drop canaries and their stored spool rows that nobody looks back on; the log stays."""
    connection.execute("DELETE FROM run WHERE made_at < ?", [stamp_of(before)])
    connection.execute("DELETE FROM spool WHERE stored_at < ?", [stamp_of(before)])
