"""The durable spool: an event is accepted when it is on this disk, and leaves it on a receipt.

Place in the flow: `edge.intake` puts readings in from one thread, `edge.publisher` sends
what is pending and hands receipts back.  One SQLite file in WAL mode with
`synchronous=FULL`; a batch of readings is one transaction and one fsync.

Rules
-----
1. Opening the spool makes a new boot (`12-9f3a1c04`).  Rows of earlier boots keep theirs.
2. A sequence number is given in the transaction that writes the row, so that the numbers
   of a boot and lane have no gap, whenever the process is killed.
3. A row is deleted by a receipt that covers it, or shed because the spool is full.  What is
   shed is reported by `Shed` events in the same transaction: telemetry first, then health,
   then events, oldest first.  Alarms and reports are never shed.
4. A file that cannot be trusted is set aside, what can be read of it is taken over, and
   what is known to be missing is reported by `Shed` events with reason `spool_corrupt`.
5. `accepted` keeps, for every boot and lane there ever was, the last number given out and
   how far the platform has accounted for them.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge.reading import Reading
from edge.spoolfile import SpoolFile, runs
from vigil.errors import Rejected, Stop, Unavailable
from vigil.events import (
    TYPE_OF,
    Data,
    Envelope,
    LaneEnd,
    LocalAlarm,
    Receipt,
    Shed,
    Tombstone,
    decode,
    encode,
    envelope_of,
)
from vigil.failpoints import passing
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edge.timesync import Instant

MAX_BYTES: Final = 1 << 30
"""1 GiB holds three days of an estate's readings and 500 alarms many times over."""
SHED_TO: Final = 15 / 16
"""A full spool is shed down to this part of its bound, so that sheds are few and large."""
COMPRESS_FROM: Final = 512
"""Bytes from which compression is worth its time; a window shrinks to a half."""
SHED_ORDER: Final = (Lane.TELEMETRY, Lane.HEALTH, Lane.EVENT)

_REPORTS: Final = (Shed, Tombstone, LocalAlarm)
_ONE: Final = "SELECT * FROM spooled WHERE lane = ? AND ordinal = ? AND seq = ?"
_REPORTED: Final = "SELECT * FROM spooled WHERE keep ORDER BY lane, ordinal, seq"
_BEHIND: Final = (
    "SELECT * FROM spooled WHERE lane = ? AND (ordinal, seq) > (?, ?) ORDER BY ordinal, seq LIMIT ?"
)
_MOVE_ASIDE: Final = (
    "INSERT INTO aside SELECT * FROM spooled WHERE lane = ? AND ordinal = ? AND seq = ?",
    "DELETE FROM spooled WHERE lane = ? AND ordinal = ? AND seq = ?",
)
_MOVE_BACK: Final = (
    "INSERT INTO spooled SELECT * FROM aside WHERE lane = ? AND ordinal = ? AND seq >= ?",
    "DELETE FROM aside WHERE lane = ? AND ordinal = ? AND seq >= ?",
)
_RELEASE: Final = "DELETE FROM spooled WHERE lane = ? AND ordinal = ? AND seq <= ?"


@dataclass(frozen=True, slots=True)
class Key:
    """A row's place: lanes by themselves, boots in order, numbers in order."""

    lane: Lane
    ordinal: int
    seq: int


@dataclass(frozen=True, slots=True)
class Row:
    """An accepted event.

    Attributes:
        key: Its place.
        device: Whose event it is.
        machine: The machine's start during which it was accepted.
        happened: Monotonic second of that start at which it happened.
        packed: The envelope as JSON, without `age` and `replayed`, perhaps compressed.
    """

    key: Key
    device: str
    machine: str
    happened: float
    packed: bytes

    def envelope(self) -> Envelope:
        """Return the event as it was accepted.

        Raises:
            Rejected: The disk did not keep what was written to it.
        """
        try:
            plain = self.packed if self.packed[:1] == b"{" else zlib.decompress(self.packed)
        except zlib.error as error:
            raise Rejected("malformed", f"{self.key} on the spool's disk: {error}") from None
        return decode(plain)


class Spool:
    """The spool of one node; used by one thread at a time.

    Attributes:
        boot: Id of this opening.
        ordinal: Its number, larger than that of every earlier opening.
        salvage: What became of a file that could not be trusted, or None.
        max_bytes: Bound of the file; it may be changed, and holds from the next put on.
    """

    def __init__(
        self,
        path: Path,
        address: Address,
        now: Instant,
        *,
        max_bytes: int = MAX_BYTES,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the spool, make a new boot, and report what a corrupt file has lost.

        Args:
            path: The SQLite file; made if it is not there.
            address: The node; its id is also the device that speaks for the node itself.
            now: The present moment.
            max_bytes: Bound of the file.
            entropy: Source of the boot's random part.

        Raises:
            Stop: The file cannot be opened or made at all, or somebody else has it open.
        """
        self._path, self._address, self.max_bytes = path, address, max_bytes
        self._file = SpoolFile(path, now.utc)
        self._db, self.salvage = self._file.db, self._file.salvage
        self._boots = {int(n): str(id_) for n, id_ in self._db.execute("SELECT ordinal, id FROM boot")}
        self._depth = Counter({lane: self._count(lane) for lane in Lane})
        self.ordinal = max(self._boots, default=0) + 1
        self.boot = f"{self.ordinal}-{entropy(4).hex()}"
        self._boots[self.ordinal] = self.boot
        self._last = dict.fromkeys(Lane, 0)
        with self._transaction():
            self._db.execute("INSERT INTO boot VALUES (?, ?)", (self.ordinal, self.boot))
            if self.salvage:
                self._give_up(self.salvage.lost, now)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def put(self, readings: Sequence[Reading], now: Instant) -> list[Row]:
        """Accept readings: when this returns, they survive whatever happens to the process.

        Args:
            readings: Checked ones, in the order in which they are to be numbered.
            now: The present moment.

        Returns:
            The rows, in the same order.

        Raises:
            Unavailable: The disk has no room, or the spool is full of alarms; nothing was
                accepted, and the same readings may be offered again.
            Stop: The file is damaged; opened again, it will be set aside.
        """
        with self._transaction():
            self._make_room(readings, now)
            rows = [self._insert(reading, now) for reading in readings]
            passing("edge.before_accept")
        passing("edge.after_accept")
        return rows

    def pending(self, lane: Lane, after: Key | None, limit: int) -> list[Row]:
        """Return a lane's oldest rows behind `after`, at most `limit`."""
        ordinal, seq = (after.ordinal, after.seq) if after else (0, 0)
        found = self._db.execute(_BEHIND, (lane, ordinal, seq, limit))
        return [_row(*columns) for columns in found]

    def row(self, key: Key) -> Row | None:
        """Return a row, or None where it has been stored or shed meanwhile."""
        found = self._db.execute(_ONE, (key.lane, key.ordinal, key.seq)).fetchone()
        return _row(*found) if found else None

    def reports(self) -> list[Row]:
        """Return the pending events that the node has made about itself."""
        return [_row(*columns) for columns in self._db.execute(_REPORTED)]

    def release(self, receipts: Iterable[Receipt]) -> int:
        """Delete the rows that the platform has accounted for.

        Args:
            receipts: As received; of an unknown boot, or beyond what was given out, they
                are not about this spool and change nothing.

        Returns:
            How many rows were deleted.
        """
        deleted = 0
        with self._transaction():
            for receipt in receipts:
                deleted += self._release(receipt)
            passing("edge.before_release")
        passing("edge.after_release")
        return deleted

    def set_aside(self, key: Key, sent: int, now: Instant) -> None:
        """Move a row that the platform never stored out of the way, and report it."""
        place = (key.lane, key.ordinal, key.seq)
        tombstone = Tombstone(of_boot=self._boots[key.ordinal], of_lane=key.lane, of_seq=key.seq, sent=sent)
        with self._transaction():
            gone = self._both(_MOVE_ASIDE, place)
            self._depth[key.lane] -= gone
            if gone:
                self._report((tombstone,), now)

    def bring_back(self, boot: str, lane: Lane, from_seq: int) -> int:
        """Put rows that were set aside back among the pending ones; return how many."""
        place = (lane, self.ordinal_of(boot) or 0, from_seq)
        with self._transaction():
            back = self._both(_MOVE_BACK, place)
            self._depth[lane] += back
        return back

    def ends(self) -> list[LaneEnd]:
        """Return the last number of each boot and lane, without boots that are wholly stored.

        The present boot and the newest earlier ones are always among them.
        """
        found = self._db.execute(
            "SELECT accepted.boot, lane, last FROM accepted JOIN boot ON boot.id = accepted.boot"
            " WHERE stored < last OR ordinal > ? ORDER BY ordinal, lane",
            (self.ordinal - 4,),
        )
        return [LaneEnd(boot, Lane(lane), last) for boot, lane, last in found]

    def depth(self) -> dict[Lane, int]:
        """Return how many rows each lane holds."""
        return {lane: self._depth[lane] for lane in Lane}

    def used_bytes(self) -> int:
        """Return the bytes of the file that hold something."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def ordinal_of(self, boot: str) -> int | None:
        """Return the ordinal of one of this spool's boots, None for another's."""
        return next((ordinal for ordinal, id_ in self._boots.items() if id_ == boot), None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = dict(self._last), self._depth.copy()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._write_ends(before[0])
            self._db.execute("COMMIT")
        except BaseException as error:
            self._last, self._depth = before
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(f"the spool {self._path.name}", error) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise Stop(f"the spool {self._path.name} is damaged ({error}); start again") from error
            raise

    def _write_ends(self, before: Mapping[Lane, int]) -> None:
        """Write the last number of each lane that has given some out in this transaction."""
        self._db.executemany(
            "INSERT INTO accepted (boot, lane, last) VALUES (?, ?, ?)"
            " ON CONFLICT (boot, lane) DO UPDATE SET last = excluded.last",
            [(self.boot, lane, last) for lane, last in self._last.items() if last != before[lane]],
        )

    def _insert(self, reading: Reading, now: Instant) -> Row:
        lane = Lane(TYPE_OF[type(reading.data)].split(".")[1])
        seq = self._last[lane] + 1
        envelope = envelope_of(
            self._address,
            reading.device,
            reading.data,
            time=reading.time,
            boot=self.boot,
            seq=seq,
            synthetic=reading.synthetic,
            clock=now.clock,
            clockerr=now.clockerr,
        )
        happened = now.mono - max((now.utc - reading.time).total_seconds(), 0.0)
        row = Row(
            Key(lane, self.ordinal, seq), reading.device, now.machine, happened, _packed(encode(envelope))
        )
        self._write(row, keep=isinstance(reading.data, _REPORTS))
        return row

    def _write(self, row: Row, *, keep: bool) -> None:
        key = row.key
        self._db.execute(
            "INSERT INTO spooled VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key.lane, key.ordinal, key.seq, row.device, keep, row.machine, row.happened, row.packed),
        )
        self._last[key.lane] = key.seq
        self._depth[key.lane] += 1

    def _report(self, reports: Iterable[Data], now: Instant) -> None:
        """Write events about the spool itself, of the node's own device."""
        for data in reports:
            self._insert(Reading(self._address.node, data, now.utc), now)

    def _release(self, receipt: Receipt) -> int:
        of = (receipt.boot, receipt.lane)
        found = self._db.execute(
            "SELECT ordinal, last, stored FROM accepted JOIN boot ON boot.id = accepted.boot"
            " WHERE accepted.boot = ? AND lane = ?",
            of,
        ).fetchone()
        if found is None or not found[2] <= receipt.stored <= found[1]:
            return 0
        self._db.execute("UPDATE accepted SET stored = ? WHERE boot = ? AND lane = ?", (receipt.stored, *of))
        place = (receipt.lane, found[0], receipt.stored)
        gone = self._db.execute(_RELEASE, place).rowcount
        self._depth[receipt.lane] -= gone
        return gone

    def _make_room(self, readings: Sequence[Reading], now: Instant) -> None:
        """Shed what the bound asks for before the readings are written."""
        incoming = sum(len(encode(reading.data)) + 512 for reading in readings)
        used = self.used_bytes()
        if used + incoming <= self.max_bytes:
            return
        excess = used + incoming - int(self.max_bytes * SHED_TO)
        for lane in SHED_ORDER:
            if excess > 0:
                excess -= self._shed(lane, excess, now)
        alarms = any(TYPE_OF[type(reading.data)].startswith("vigil.alarm.") for reading in readings)
        if excess > self.max_bytes * (1 - SHED_TO) and not alarms:
            raise Unavailable("the spool", "it is full of alarms")

    def _shed(self, lane: Lane, excess: int, now: Instant) -> int:
        """Delete a lane's oldest rows, about `excess` bytes; return how many bytes went."""
        going, freed = [], 0
        rows = self._db.execute(
            "SELECT ordinal, seq, length(payload) + 128 FROM spooled WHERE lane = ? AND NOT keep"
            " ORDER BY ordinal, seq",
            (lane,),
        )
        for ordinal, seq, size in rows:
            if freed >= excess:
                break
            going.append((ordinal, seq))
            freed += size
        rows.close()
        self._db.executemany(
            "DELETE FROM spooled WHERE lane = ? AND ordinal = ? AND seq = ?",
            [(lane, ordinal, seq) for ordinal, seq in going],
        )
        self._depth[lane] -= len(going)
        ranges = [
            Shed(of_boot=self._boots[ordinal], of_lane=lane, first=first, last=last, reason="spool_full")
            for ordinal, first, last in runs(going)
        ]
        self._give_up(ranges, now)
        return freed

    def _give_up(self, ranges: Sequence[Shed], now: Instant) -> None:
        """Enter what is lost, for whoever looks into the file, and report it to the platform."""
        self._db.executemany(
            "INSERT INTO shed VALUES (?, ?, ?, ?, ?)",
            [(shed.of_boot, shed.of_lane, shed.first, shed.last, shed.reason) for shed in ranges],
        )
        self._report(ranges, now)

    def _both(self, statements: tuple[str, str], place: tuple[Lane, int, int]) -> int:
        """Do two things with the same rows; return how many the second one touched."""
        self._db.execute(statements[0], place)
        return self._db.execute(statements[1], place).rowcount

    def _count(self, lane: Lane) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM spooled WHERE lane = ?", (lane,)).fetchone()
        return int(count)


def _packed(payload: bytes) -> bytes:
    return zlib.compress(payload, 1) if len(payload) >= COMPRESS_FROM else payload


def _row(
    lane: str, ordinal: int, seq: int, device: str, _keep: int, machine: str, happened: float, payload: bytes
) -> Row:
    return Row(Key(Lane(lane), ordinal, seq), device, machine, happened, payload)
