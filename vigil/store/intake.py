"""Take a batch of the log into the database: what `processors.pipeline` does in one transaction.

Every function here runs inside the caller's transaction.  Together they hold the promise:
an event is stored once, its sequence number is accounted for, and the place in the log moves
on, all or nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from vigil.errors import Fenced
from vigil.store.arrays import columns, encoded, names, unnest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from vigil.store.pool import Connection

Key = tuple[str, str, str]
"""(node, boot, lane): where a sequence number counts."""
EARLIEST: Final = -1
"""Offset of a partition that has to be read from its beginning."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write for a partition, until somebody with a higher epoch takes it."""

    epoch: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored; `data` is its JSON."""

    time: datetime
    id: UUID
    node: str
    device: str
    type: str
    boot: str
    lane: str
    seq: int
    received_at: datetime
    clock: str
    synthetic: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that will never be accepted; node, boot, lane and seq where they could be read."""

    id: UUID
    reason: str
    detail: str
    origin: str
    payload: bytes
    node: str | None
    boot: str | None
    lane: str | None
    seq: int | None
    at: datetime

    @property
    def key(self) -> Key:
        """Where `seq` counts; of no use without one."""
        return (self.node or "", self.boot or "", self.lane or "")


@dataclass(frozen=True, slots=True)
class Withheld:
    """An event without consent: counted, its content dropped."""

    id: UUID
    node: str
    boot: str
    lane: str
    seq: int
    purpose: str
    day: date


@dataclass(frozen=True, slots=True)
class ShedRange:
    """Sequence numbers that an edge has given up, both ends included."""

    node: str
    boot: str
    lane: str
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Accounted:
    """Sequence numbers that are accounted for; ranges with both ends included, ascending."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, seq: int) -> bool:
        """Return whether a number is accounted for."""
        at = bisect_right(self.ranges, (seq, math.inf)) - 1
        return at >= 0 and seq <= self.ranges[at][1]


_NOTHING: Final = Accounted()


class Watermark(NamedTuple):
    """Every seq up to and including `stored` is accounted for."""

    node: str
    boot: str
    lane: str
    stored: int


@dataclass(frozen=True, slots=True)
class Accounting:
    """What came of accounting for a batch.

    Attributes:
        before: Which of its numbers others had accounted for before; keys without one are absent.
        watermarks: Those that result, one for each key.
    """

    before: Mapping[Key, Accounted]
    watermarks: list[Watermark]

    def had(self, key: Key, seq: int) -> bool:
        """Return whether a number of the batch was accounted for before."""
        return seq in self.before.get(key, _NOTHING)


async def claim(connection: Connection, topic: str, partition: int, incarnation: str) -> Claim:
    """Take over a partition: whoever wrote for it before is fenced off from now on.

    A log of another incarnation has nothing to do with the offsets noted so far, so it is
    read from its beginning; what was stored already changes nothing.
    """
    cursor = await connection.execute(
        """
        INSERT INTO checkpoint AS c (topic, partition, incarnation, next_offset, epoch)
        VALUES (%(topic)s, %(partition)s, %(incarnation)s, %(earliest)s, 1)
        ON CONFLICT (topic, partition) DO UPDATE SET
            epoch = c.epoch + 1,
            next_offset = CASE WHEN c.incarnation = excluded.incarnation THEN c.next_offset ELSE %(earliest)s END,
            incarnation = excluded.incarnation
        RETURNING epoch, next_offset
        """,
        {"topic": topic, "partition": partition, "incarnation": incarnation, "earliest": EARLIEST},
    )
    ((epoch, next_offset),) = await cursor.fetchall()
    return Claim(epoch, next_offset)


class Move(NamedTuple):
    """A partition's place in the log, and where it is to go.

    Attributes:
        epoch: Of the claim.
        noted: Next offset that the writer knows the database to have.
        next_offset: The next one after what was read.
    """

    topic: str
    partition: int
    epoch: int
    noted: int
    next_offset: int


@asynccontextmanager
async def advanced(connection: Connection, moves: Iterable[Move]) -> AsyncIterator[None]:
    """Begin the transaction in which partitions' places in the log move on, and commit it in the end.

    A place moves on from where the writer left it, and from nowhere else: a database that was restored
    from a backup is further behind, and what it has lost is to be read again.  Who does not know whether
    a commit went through may make it again.

    Args:
        connection: Outside a transaction; begun and moved is in one round trip.
        moves: At most one for each partition.

    Raises:
        Fenced: Another writer has claimed one of the partitions since, or its place is not where
            this one left it.
    """
    wanted = sorted(moves)
    async with AsyncExitStack() as until_committed:
        async with connection.pipeline():
            await until_committed.enter_async_context(connection.transaction())
            cursor = await connection.execute(
                _ADVANCE, [list(column) for column in zip(*wanted, strict=True)]
            )
        moved = set(await cursor.fetchall())
        for move in wanted:
            if (move.topic, move.partition) not in moved:
                raise Fenced(move.topic, move.partition, move.epoch)
        yield


_ADVANCE: Final = """
    WITH mine AS (
        SELECT c.topic, c.partition, t.next_offset
        FROM unnest(%s::text[], %s::int4[], %s::int8[], %s::int8[], %s::int8[])
            AS t(topic, partition, epoch, noted, next_offset)
        JOIN checkpoint c USING (topic, partition, epoch)
        WHERE c.next_offset IN (t.noted, t.next_offset)
        ORDER BY c.topic, c.partition FOR UPDATE OF c)
    UPDATE checkpoint c SET next_offset = mine.next_offset
    FROM mine WHERE (c.topic, c.partition) = (mine.topic, mine.partition)
    RETURNING c.topic, c.partition
"""


async def places(connection: Connection) -> dict[tuple[str, int], Claim]:
    """Return where the database has each partition: epoch and next offset."""
    cursor = await connection.execute("SELECT topic, partition, epoch, next_offset FROM checkpoint")
    return {
        (topic, partition): Claim(epoch, after) for topic, partition, epoch, after in await cursor.fetchall()
    }


_EVENT: Final = {
    "time": "timestamptz",
    "id": "uuid",
    "node": "text",
    "device": "text",
    "type": "text",
    "boot": "text",
    "lane": "text",
    "seq": "int8",
    "received_at": "timestamptz",
    "clock": "text",
    "synthetic": "text",
    "data": "jsonb",
}
_EVENT_COLUMNS: Final = tuple(_EVENT)
_EVENT_TYPES: Final = tuple(_EVENT.values())
_COPY_FROM: Final = 128
"""From this many rows a COPY through a staging table is quicker than one INSERT of arrays
(measured on PostgreSQL 18: 0.9 against 1.3 ms at 10 rows, 25 against 21 ms at 2,000)."""


async def insert_events(connection: Connection, table: str, rows: Sequence[EventRow]) -> set[UUID]:
    """Store events that are not there yet.

    Args:
        connection: Inside a transaction.
        table: `event`, `telemetry` or `health`.
        rows: May hold duplicates of what is stored, and of each other.

    Returns:
        Ids of those that are new.
    """
    if not rows:
        return set()
    insert = _insert_copied if len(rows) >= _COPY_FROM else _insert_arrays
    return await insert(connection, table, rows)


def _raw(data: bytes) -> bytes:
    """Pass on JSON that is encoded already."""
    return data


def _values(row: EventRow) -> tuple[Any, ...]:
    values = [getattr(row, name) for name in _EVENT_COLUMNS]
    values[-1] = Jsonb(row.data, _raw)
    return tuple(values)


async def _insert_copied(connection: Connection, table: str, rows: Sequence[EventRow]) -> set[UUID]:
    """Copy rows beside the table, and take over from there what it does not have.

    The place beside it is the connection's own, and the commit empties it; what an earlier batch of the
    same transaction has left there is known already.
    """
    staging = _STAGING[table]
    await connection.execute(staging.make)
    async with connection.cursor() as cursor:
        async with cursor.copy(staging.copy) as copy:
            copy.set_types(_EVENT_TYPES)
            for row in rows:
                await copy.write_row(_values(row))
        await cursor.execute(staging.take_over, binary=True)
        return {id_ for (id_,) in await cursor.fetchall()}


async def _insert_arrays(connection: Connection, table: str, rows: Sequence[EventRow]) -> set[UUID]:
    return await _ids(connection, _FROM_ARRAYS[table], _event_arrays(rows))


def _event_arrays(rows: Sequence[EventRow]) -> list[list[Any]]:
    return [*columns(rows, _EVENT_COLUMNS[:-1]), [row.data.decode() for row in rows]]


async def _ids(connection: Connection, query: bytes, values: Sequence[Any]) -> set[UUID]:
    """Return the ids that a statement gives back: those of the rows it has inserted."""
    cursor = await connection.execute(query, values, binary=True)
    return {id_ for (id_,) in await cursor.fetchall()}


_EVENT_ARRAYS: Final = _EVENT | {"data": "text"}


def _from_arrays(table: str) -> bytes:
    chosen = SQL(", ").join([names(_EVENT_COLUMNS[:-1]), SQL("data::jsonb")])
    query = SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING RETURNING id")
    return query.format(Identifier(table), names(_EVENT), chosen, unnest(_EVENT_ARRAYS)).as_bytes()


@dataclass(frozen=True, slots=True)
class _Staging:
    """The statements by which rows are copied beside a table and taken over."""

    make: bytes
    copy: bytes
    take_over: bytes


def _staging(table: str) -> _Staging:
    names_ = {"table": Identifier(table), "staged": Identifier(f"staged_{table}")}
    make = SQL("CREATE TEMP TABLE IF NOT EXISTS {staged} (LIKE {table}) ON COMMIT DELETE ROWS")
    copy = SQL("COPY {staged} FROM STDIN (FORMAT BINARY)")
    take_over = SQL("""
        INSERT INTO {table} SELECT * FROM {staged} ON CONFLICT DO NOTHING RETURNING id
    """)
    return _Staging(*(query.format(**names_).as_bytes() for query in (make, copy, take_over)))


_TABLES: Final = ("event", "telemetry", "health")
_FROM_ARRAYS: Final = {table: _from_arrays(table) for table in _TABLES}
_STAGING: Final = {table: _staging(table) for table in _TABLES}


async def insert_implausible(connection: Connection, rows: Sequence[EventRow]) -> set[UUID]:
    """Store events whose time cannot be, by id; returns the ids of the new ones."""
    if not rows:
        return set()
    return await _ids(connection, _IMPLAUSIBLE, _event_arrays(rows))


_IMPLAUSIBLE: Final = (
    SQL("""
    INSERT INTO implausible (claimed, id, node, device, type, boot, lane, seq, received_at, clock, synthetic, data)
    SELECT time, id, node, device, type, boot, lane, seq, received_at, clock, synthetic, data::jsonb FROM {}
    WHERE NOT EXISTS (SELECT FROM event e WHERE (e.time, e.id) = (t.time, t.id))
      AND NOT EXISTS (SELECT FROM telemetry e WHERE (e.time, e.id) = (t.time, t.id))
      AND NOT EXISTS (SELECT FROM health e WHERE (e.time, e.id) = (t.time, t.id))
    ORDER BY id ON CONFLICT DO NOTHING RETURNING id
""")
    .format(unnest(_EVENT_ARRAYS))
    .as_bytes()
)
"""What could be when it came first may have become too old when it is sent again."""


async def insert_dead(connection: Connection, rows: Sequence[Dead]) -> set[UUID]:
    """Store dead letters; returns the ids of the new ones."""
    if not rows:
        return set()
    return await _ids(connection, _DEAD, columns([_printable(row) for row in rows], _DEAD_TYPES))


def _printable(row: Dead) -> Dead:
    """Replace NUL, which the database's text cannot hold; the payload stays as it is."""
    return replace(row, detail=row.detail.replace("\0", "\ufffd"), origin=row.origin.replace("\0", "\ufffd"))


async def insert_withheld(connection: Connection, rows: Sequence[Withheld]) -> set[UUID]:
    """Store that events were withheld; returns the ids of the new ones."""
    if not rows:
        return set()
    return await _ids(connection, _WITHHELD, columns(rows, _WITHHELD_TYPES))


def _insert_new(table: str, types: Mapping[str, str]) -> bytes:
    """Return what stores rows that are not there yet, in the order of their ids."""
    query = SQL("INSERT INTO {} ({}) SELECT * FROM {} ORDER BY id ON CONFLICT DO NOTHING RETURNING id")
    return query.format(Identifier(table), names(types), unnest(types)).as_bytes()


_DEAD_TYPES: Final = {
    "id": "uuid",
    "reason": "text",
    "detail": "text",
    "origin": "text",
    "payload": "bytea",
    "node": "text",
    "boot": "text",
    "lane": "text",
    "seq": "int8",
    "at": "timestamptz",
}
_DEAD: Final = _insert_new("dead_letter", _DEAD_TYPES)
_WITHHELD_TYPES: Final = {
    "id": "uuid",
    "node": "text",
    "boot": "text",
    "lane": "text",
    "seq": "int8",
    "purpose": "text",
    "day": "date",
}
_WITHHELD: Final = _insert_new("withheld", _WITHHELD_TYPES)


async def account(
    connection: Connection, ranges: Mapping[Key, Iterable[tuple[int, int]]], now: datetime
) -> Accounting:
    """Account for sequence numbers, and let nobody else account for these keys until the commit.

    Every sequence number ends as exactly one thing; who comes first decides which, and learns here of
    which numbers others have decided before.  One round trip, the size of whose answer does not grow
    with the number of boxes that a batch is of: 2,000 boxes made of a batch's watermarks a fifth of
    the processors' work (`account`, 0210).

    Args:
        connection: Inside the transaction that stores what is accounted for.
        ranges: For each (node, boot, lane) the first and last seq, both included.  What was
            accounted for before changes nothing, and is answered like a first arrival.
        now: Present time.
    """
    if not ranges:
        return Accounting({}, [])
    asked = [(*key, _multirange(some)) for key, some in ranges.items()]
    cursor = await connection.execute(
        "SELECT account(%b::text::jsonb, %b)", [encoded(asked), now], binary=True
    )
    ((answer,),) = await cursor.fetchall()
    told = _told(answer)
    keys = list(ranges)
    return Accounting(
        {keys[place]: _accounted(again) for place, again in told.again},
        [Watermark(*key, stored) for key, stored in zip(keys, told.stored, strict=True)],
    )


class _Told(msgspec.Struct, frozen=True):
    """What the database answers: watermarks in the order asked, and what was known by its place there."""

    stored: list[int]
    again: list[tuple[int, str]]


_told: Final = msgspec.json.Decoder(_Told).decode


def _multirange(ranges: Iterable[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}"


def _accounted(ranges: str) -> Accounted:
    """Read a multirange of whole numbers, which PostgreSQL writes as {[first,after),...}."""
    pairs = [pair.split(",") for pair in ranges[2:-2].split("),[")] if ranges != "{}" else []
    return Accounted(tuple((int(first), int(after) - 1) for first, after in pairs))


async def given_up(connection: Connection, again: Iterable[tuple[Key, int, UUID]]) -> set[UUID]:
    """Return which events may be stored although they are accounted for: those that ended as dead or shed.

    What was stored, withheld or implausible has ended for good.  The watermark remembers that for
    ever and the rows do not: `vigil.store.retention` deletes them in time, and an event that is
    sent again after that is no new one.  Nor does a consent given later bring anything back.

    Args:
        connection: Inside a transaction that has accounted for these.
        again: Key, sequence number and id of events that are accounted for.
    """
    events = list(again)
    if not events:
        return set()
    columns = [[key[i] for key, _, _ in events] for i in range(3)]
    cursor = await connection.execute(
        _GIVEN_UP, [*columns, [seq for _, seq, _ in events], [id_ for _, _, id_ in events]], binary=True
    )
    return {id_ for (id_,) in await cursor.fetchall()}


_GIVEN_UP: Final = """
    SELECT id FROM unnest(%b::text[], %b::text[], %b::text[], %b::int8[], %b::uuid[]) AS t(node, boot, lane, seq, id)
    WHERE EXISTS (SELECT FROM dead_letter d WHERE d.id = t.id AND d.replayed_at IS NULL)
       OR EXISTS (SELECT FROM shed s
                  WHERE (s.node, s.boot, s.lane) = (t.node, t.boot, t.lane) AND s.seqs @> t.seq)
"""


async def take_back(connection: Connection, stored: Iterable[tuple[Key, int, UUID]], now: datetime) -> None:
    """Note that what was dead or shed has been stored after all: it ends as stored, and nothing else."""
    rows = sorted(stored)
    if not rows:
        return
    await connection.execute(
        "UPDATE dead_letter SET replayed_at = %s WHERE id = ANY(%s)", [now, [id_ for _, _, id_ in rows]]
    )
    keys = [[key[i] for key, _, _ in rows] for i in range(3)]
    await connection.execute(
        """
        UPDATE shed SET seqs = seqs - back
        FROM (SELECT node, boot, lane, range_agg(int8range(seq, seq, '[]')) AS back
              FROM unnest(%s::text[], %s::text[], %s::text[], %s::int8[]) AS t(node, boot, lane, seq)
              GROUP BY node, boot, lane) AS b
        WHERE (shed.node, shed.boot, shed.lane) = (b.node, b.boot, b.lane) AND seqs && back
        """,
        [*keys, [seq for _, seq, _ in rows]],
    )


async def insert_shed(
    connection: Connection, rows: Sequence[ShedRange], before: Mapping[Key, Accounted]
) -> None:
    """Store what edges have given up, without what had arrived all the same: what `before` holds."""
    if not rows:
        return
    had = [_multirange(before.get((r.node, r.boot, r.lane), _NOTHING).ranges) for r in rows]
    await connection.execute(_SHED, [*columns(rows, list(_SHED_TYPES)[:-1]), had])


_SHED_TYPES: Final = {
    "node": "text",
    "boot": "text",
    "lane": "text",
    "first": "int8",
    "last": "int8",
    "reason": "text",
    "had": "text",
}
_SHED: Final = (
    SQL("""
    INSERT INTO shed AS s (node, boot, lane, reason, seqs)
    SELECT node, boot, lane, reason, range_agg(int8range(first, last, '[]')) - had::int8multirange
    FROM {} GROUP BY node, boot, lane, reason, had ORDER BY node, boot, lane, reason
    ON CONFLICT (node, boot, lane, reason) DO UPDATE SET seqs = s.seqs + excluded.seqs
""")
    .format(unnest(_SHED_TYPES))
    .as_bytes()
)


async def note_given(
    connection: Connection, given: Mapping[Key, int], ended: Collection[Key], now: datetime
) -> None:
    """Note the last seq that births say was given out, so that a lost tail shows as a gap.

    Of a node that nobody registered nothing is noted, nor of a boot that was closed.

    Args:
        connection: Inside a transaction.
        given: The last seq of each node, boot and lane.
        ended: Of which of them it was the last of all, since a later boot says so.
        now: Present time.
    """
    if not given:
        return
    keys = sorted(given)  # everybody locks in the same order
    values = [*([key[i] for key in keys] for i in range(3)), [given[key] for key in keys]]
    await connection.execute(
        """
        INSERT INTO watermark AS w (node, boot, lane, given, ended, changed_at)
        SELECT t.node, boot, lane, given, t.ended, %s
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::int8[], %s::bool[]) AS t(node, boot, lane, given, ended)
        JOIN node ON node.id = t.node LEFT JOIN closed_boot c ON c.node = t.node
        WHERE (boot_number(boot) = ANY (c.boots)) IS NOT true
        ORDER BY t.node, boot, lane
        ON CONFLICT (node, boot, lane) DO UPDATE
        SET given = greatest(w.given, excluded.given), ended = w.ended OR excluded.ended
        """,
        [now, *values, [key in ended for key in keys]],
    )
