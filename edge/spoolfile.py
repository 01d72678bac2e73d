"""The spool's file: its schema, its opening, and what is done when it cannot be trusted.

Place in the flow: `edge.spool` opens its file here and works on it.  A file that fails
SQLite's own check is never repaired in place and never thrown away: it is renamed, what
can be read of it goes into a new file, and what is known to be missing is told.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from vigil.errors import Stop
from vigil.events import Shed
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

BUSY_S: Final = 5.0
"""How long a transaction waits for somebody who looks into the file from outside."""
CORRUPT: Final = ("malformed", "not a database", "corrupt")

_ROW: Final = (
    "lane TEXT NOT NULL, ordinal INTEGER NOT NULL, seq INTEGER NOT NULL, device TEXT NOT NULL,"
    " keep INTEGER NOT NULL, machine TEXT NOT NULL, happened REAL NOT NULL, payload BLOB NOT NULL,"
    " PRIMARY KEY (lane, ordinal, seq)"
)
SCHEMA: Final = """
-- Every opening of the spool, for ever.
CREATE TABLE IF NOT EXISTS boot (ordinal INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
-- The last number given out, and up to which the platform has accounted for all; for ever.
CREATE TABLE IF NOT EXISTS accepted (
    boot TEXT NOT NULL, lane TEXT NOT NULL, last INTEGER NOT NULL, stored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (boot, lane)
) WITHOUT ROWID;
-- What the platform has not yet accounted for.
-- Without a separate index, which would save a tenth of the time: a bad page of it would hide the
-- rows of many good ones.
CREATE TABLE IF NOT EXISTS spooled (%ROW%) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spooled_keep ON spooled (lane) WHERE keep;
-- What it never stored although it stored later ones.
CREATE TABLE IF NOT EXISTS aside (%ROW%) WITHOUT ROWID;
-- What was given up, and why; for ever.
CREATE TABLE IF NOT EXISTS shed (
    boot TEXT NOT NULL, lane TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (boot, lane, first)
) WITHOUT ROWID;
""".replace("%ROW%", _ROW)

_COPY: Final = (
    (
        "SELECT * FROM spooled WHERE lane = ? AND ordinal = ? AND seq = ?",
        "INSERT INTO spooled VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    (
        "SELECT * FROM aside WHERE lane = ? AND ordinal = ? AND seq = ?",
        "INSERT INTO aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    ),
)
_HERE: Final = (
    "SELECT seq FROM spooled WHERE lane = ? AND ordinal = ?"
    " UNION ALL SELECT seq FROM aside WHERE lane = ? AND ordinal = ?"
)


@dataclass(frozen=True, slots=True)
class Salvage:
    """What became of a file that could not be trusted.

    Attributes:
        aside: Where it is now.
        why: What SQLite said of it.
        rows: Rows that were taken over into the new file.
        lost: Ranges that are known to be missing.
        complete: The counters could be read, so that `lost` is all that is missing.
    """

    aside: Path
    why: str
    rows: int
    lost: tuple[Shed, ...]
    complete: bool


class SpoolFile:
    """The open file, held alone: a second process that opens it is told to stop.

    Attributes:
        db: The connection, without implicit transactions.
        salvage: What became of a file that could not be trusted, or None.
    """

    def __init__(self, path: Path, now: datetime) -> None:
        """Open or make the file.

        Raises:
            Stop: It is open elsewhere, or cannot be made here.
        """
        self._lock = _locked(path)
        try:
            why = _distrust(path)
            found = _set_aside(path, why, now) if why else None
            self.db = _connected(path)
            self.db.executescript(SCHEMA)
            self.salvage = _saved(found, self.db) if found else None
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise Stop(f"the spool {path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file and let others open it."""
        self.db.close()
        os.close(self._lock)


def runs(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Join (ordinal, seq) pairs, in order, to ranges (ordinal, first, last) without a hole."""
    numbered = enumerate(places)
    for _, run in groupby(numbered, lambda item: (item[1][0], item[1][1] - item[0])):
        members = [place for _, place in run]
        yield members[0][0], members[0][1], members[-1][1]


def ordinal_of(boot: str) -> int:
    """Return the ordinal that a boot's id begins with."""
    return int(boot.split("-", maxsplit=1)[0])


def _locked(path: Path) -> int:
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Stop(f"the spool {path} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Stop(f"the spool {path} is in use by another process") from None
    return handle


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 4194304"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _distrust(path: Path) -> str | None:
    """Return what is wrong with the file, or None."""
    if not path.exists():
        return None
    try:
        db = _connected(path)
    except sqlite3.DatabaseError as error:
        return _damage(error)
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        db.executescript(SCHEMA)
    except sqlite3.DatabaseError as error:
        return _damage(error)
    finally:
        db.close()
    return None if verdict == "ok" else str(verdict)


def _damage(error: sqlite3.DatabaseError) -> str:
    """Return what the error says of the file; an error of the disk or of rights is raised on."""
    if isinstance(error, sqlite3.OperationalError) and not any(word in str(error) for word in CORRUPT):
        raise error
    return str(error)


def _set_aside(path: Path, why: str, now: datetime) -> Salvage:
    aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%S.%f}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return Salvage(aside, why, 0, (), complete=False)


def _saved(salvage: Salvage, db: sqlite3.Connection) -> Salvage:
    """Take over into the new file what can be read of the old one."""
    try:
        old = _connected(salvage.aside)
    except sqlite3.DatabaseError:
        return salvage
    try:
        ends, complete = _all(old, "SELECT boot, lane, last, stored FROM accepted")
        shed, _ = _all(old, "SELECT boot, lane, first, last, reason FROM shed")
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO accepted VALUES (?, ?, ?, ?)", ends)
        db.executemany("INSERT INTO boot VALUES (?, ?)", {(ordinal_of(end[0]), end[0]) for end in ends})
        db.executemany("INSERT INTO shed VALUES (?, ?, ?, ?, ?)", shed)
        copied = sum(_copied(old, db, read, write, ends) for read, write in _COPY)
        lost = tuple(_missing(db, ends))
        db.execute("COMMIT")
    finally:
        old.close()
    return Salvage(salvage.aside, salvage.why, copied, lost, complete)


def _all(old: sqlite3.Connection, query: str) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows that can be read, and whether these are all."""
    rows: list[tuple[Any, ...]] = []
    try:
        rows.extend(old.execute(query))
    except sqlite3.DatabaseError:
        return rows, False
    return rows, True


def _copied(
    old: sqlite3.Connection,
    db: sqlite3.Connection,
    read: str,
    write: str,
    ends: list[tuple[Any, ...]],
) -> int:
    """Copy the rows that can be read, one by one: a bad page spoils its own rows only."""
    copied = 0
    for boot, lane, last, stored in ends:
        for seq in range(stored + 1, last + 1):
            with suppress(sqlite3.DatabaseError):
                found = old.execute(read, (lane, ordinal_of(boot), seq)).fetchone()
                if found is not None:
                    db.execute(write, found)
                    copied += 1
    return copied


def _missing(db: sqlite3.Connection, ends: list[tuple[Any, ...]]) -> Iterator[Shed]:
    """Yield what was accepted and is neither stored, nor here, nor shed before."""
    for boot, lane, last, stored in ends:
        here = {seq for (seq,) in db.execute(_HERE, (lane, ordinal_of(boot)) * 2)}
        shed = "SELECT first, last FROM shed WHERE boot = ? AND lane = ?"
        for first, end in db.execute(shed, (boot, lane)):
            here.update(range(first, end + 1))
        gone = [(0, seq) for seq in range(stored + 1, last + 1) if seq not in here]
        for _, first, end in runs(gone):
            yield Shed(of_boot=boot, of_lane=Lane(lane), first=first, last=end, reason="spool_corrupt")
