"""The register as people read and change it, thing by thing, with a record of every change.

Neighbours: `vigil.store.things` says where each is, `api.register` what each thing may hold; `vigil.store.registry` gives ingest and
processors their copy, which the schema's triggers keep current.  A row that is changed is locked
first, its version goes up by one, and `register_change` tells who did it and how it was before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.errors import CheckViolation, ForeignKeyViolation, UniqueViolation
from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL, Identifier, Placeholder
from psycopg.types.json import Jsonb

from vigil.errors import Rejected
from vigil.store.sealed import HISTORY, keep_keys, seal_row, sealer_of, vault_of

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection
    from vigil.store.things import Thing

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the register's history; `name` is the acting person's, where it was one."""

    id: int
    thing: str
    thing_id: str
    estate: str | None
    action: str
    version: int
    before: Row | None
    after: Row | None
    undoes: int | None
    undone_by: int | None
    actor: str
    name: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class NewChange:
    """What happened to a thing; before None: it was added, after None: it was removed."""

    thing: str
    thing_id: str
    estate: str | None
    version: int
    before: Row | None
    after: Row | None
    actor: str
    undoes: int | None = None


def _facts(scope: Scope, **facts: Any) -> Row:
    return {
        "estates": None if scope.estates is None else sorted(scope.estates),
        "history": list(HISTORY),
        **facts,
    }


async def rows(
    connection: Connection,
    thing: Thing,
    scope: Scope,
    limit: int,
    after: str | int,
    estate: str | None = None,
) -> list[Row]:
    """Return a scope's rows by id, of one estate if asked."""
    query = SQL("""
        SELECT {} FROM {} t WHERE {} AND t.id > %(after)s AND (%(estate)s::text IS NULL OR {} = %(estate)s)
        ORDER BY t.id LIMIT %(limit)s
    """).format(thing.shown, Identifier(thing.table), thing.in_scope, thing.estate)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, _facts(scope, after=after, limit=limit, estate=estate))
        return await cursor.fetchall()


async def row(
    connection: Connection, thing: Thing, id_: str | int, scope: Scope, *, lock: bool = False
) -> Row | None:
    """Return a row of the scope, locked until the transaction ends if asked; or None."""
    query = SQL("SELECT {} FROM {} t WHERE {} AND t.id = %(id)s").format(
        thing.shown, Identifier(thing.table), thing.in_scope
    ) + SQL(" FOR NO KEY UPDATE OF t" if lock else "")
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, _facts(scope, id=id_))
        return await cursor.fetchone()


async def search(
    connection: Connection,
    thing: Thing,
    scope: Scope,
    limit: int,
    after: str | int,
    words: str = "",
    of: tuple[str, str | int] | None = None,
) -> list[Row]:
    """Return a scope's rows by id, each with its `label`, of which the id or the label holds some words.

    Args:
        connection: To read with.
        thing: Which kind.
        scope: Whose.
        limit: Most rows.
        after: Id after which they begin.
        words: A part of the id or of what people call it.
        of: (column, value): only those that name this other thing.
    """
    query = SQL("""
        SELECT {}, {} AS label, {} AS who FROM {} t
        WHERE {} AND t.id > %(after)s AND (%(of)s::text IS NULL OR {}::text = %(of)s) ORDER BY t.id
    """).format(
        thing.shown,
        thing.label,
        thing.who,
        Identifier(thing.table),
        thing.in_scope,
        Identifier("t", of[0] if of else "id"),
    ) + (SQL("") if words else SQL(" LIMIT %(limit)s"))
    facts = _facts(scope, after=after, limit=limit, of=None if of is None else str(of[1]))
    found: list[Row] = []
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, facts)
        while len(found) < limit and (batch := await cursor.fetchmany(_AT_ONCE)):
            for one in batch:
                one["label"] += one.pop("who") or ""
            found += [one for one in batch if _says(one, words.casefold())]
            await asyncio.sleep(0)
    return found[:limit]


_AT_ONCE: Final = 200
"""Names are sealed, and are looked at here; whoever else waits for this process has a turn after so many."""


def _says(found: Row, words: str) -> bool:
    return words in str(found["id"]).casefold() or words in found["label"].casefold()


async def label(connection: Connection, thing: Thing, scope: Scope, id_: str | int) -> str | None:
    """Return what people call a thing of the scope; None: there is none."""
    query = SQL("SELECT {}, {} FROM {} t WHERE {} AND t.id = %(id)s").format(
        thing.label, thing.who, Identifier(thing.table), thing.in_scope
    )
    found = await (await connection.execute(query, _facts(scope, id=id_))).fetchone()
    return (found[0] or "") + (found[1] or "") if found else None


async def estate_of(connection: Connection, thing: Thing, id_: str | int) -> str | None:
    """Return the estate that a thing belongs to; None: to none, or there is no such thing."""
    query = SQL("SELECT {} FROM {} t WHERE t.id = %(id)s").format(thing.estate, Identifier(thing.table))
    found = await (await connection.execute(query, {"id": id_})).fetchone()
    return found[0] if found else None


async def add(
    connection: Connection, thing: Thing, id_: str | None, values: Row, now: datetime
) -> str | int | None:
    """Put a row in; returns its id, or None where there is one already.

    Raises:
        Rejected: `not_allowed`; the database refuses it.
    """
    sealer = vault_of(connection).new(str(id_)) if thing.personal else None
    values = values if sealer is None else seal_row(sealer, values)
    names = [] if thing.numbered else ["id"]
    query = SQL("INSERT INTO {} AS t ({}) VALUES ({}) ON CONFLICT DO NOTHING RETURNING t.id").format(
        Identifier(thing.table),
        SQL(", ").join(map(Identifier, [*names, *thing.written])),
        SQL(", ").join([*map(Placeholder, names), *thing.written.values()]),
    )
    try:
        cursor = await connection.execute(query, {**values, "id": id_, "now": now})
    except (CheckViolation, ForeignKeyViolation) as error:
        raise _refused(thing, error) from None
    found = await cursor.fetchone()
    if found and sealer is not None:
        await keep_keys(connection, [sealer])
    return found[0] if found else None


async def change(connection: Connection, thing: Thing, id_: str | int, values: Row, now: datetime) -> None:
    """Write a row that is locked; its version goes up.

    Raises:
        Rejected: `not_allowed`; the database refuses it; `erased`.
    """
    if thing.personal:
        values = seal_row(await sealer_of(connection, str(id_)), values)
    query = SQL("UPDATE {} t SET {}, version = version + 1 WHERE t.id = %(id)s").format(
        Identifier(thing.table),
        SQL(", ").join(
            SQL("{} = {}").format(Identifier(name), value) for name, value in thing.written.items()
        ),
    )
    try:
        await connection.execute(query, {**values, "id": id_, "now": now})
    except (CheckViolation, ForeignKeyViolation, UniqueViolation) as error:
        raise _refused(thing, error) from None


async def remove(connection: Connection, thing: Thing, id_: str | int) -> None:
    """Take a row out.

    Raises:
        Rejected: `not_allowed`; something else rests on it.
    """
    try:
        await connection.execute(SQL("DELETE FROM {} WHERE id = %s").format(Identifier(thing.table)), [id_])
    except ForeignKeyViolation as error:
        raise _refused(thing, error) from None


def _refused(thing: Thing, error: CheckViolation | ForeignKeyViolation | UniqueViolation) -> Rejected:
    match error:
        case UniqueViolation():
            why = "there is one like it already"
        case ForeignKeyViolation():
            other = error.diag.table_name or "something else"
            why = f"the {other} that it rests on, or that rests on it, has to be changed first"
        case _:
            why = f"{error.diag.constraint_name} does not hold"
    return Rejected("not_allowed", f"this {thing.name} cannot be so: {why}")


async def devices_near(connection: Connection, kind: str, resident: str) -> list[str]:
    """Return the devices of a kind that are a resident's, or hang in their home."""
    cursor = await connection.execute(
        """
        SELECT d.id FROM device d
        WHERE d.kind = %(kind)s AND d.retired_at IS NULL
          AND (d.zone = (SELECT home FROM resident WHERE id = %(resident)s)
               OR EXISTS (SELECT FROM assignment a WHERE a.device = d.id AND a.resident = %(resident)s))
        ORDER BY d.id
        """,
        {"kind": kind, "resident": resident},
    )
    return [row[0] for row in await cursor.fetchall()]


async def overlapping(
    connection: Connection, device: str, since: datetime | None, until: datetime | None, but: int | None
) -> list[tuple[str, bool]]:
    """Return (resident, is worn) of a device's assignments that share some time; the device is locked.

    Args:
        connection: In the transaction of the change.
        device: Which.
        since: Beginning; None: ever.
        until: End; None: none.
        but: An assignment that is being replaced.
    """
    await connection.execute("SELECT FROM device WHERE id = %s FOR NO KEY UPDATE", [device])
    cursor = await connection.execute(
        """
        SELECT a.resident, d.placement IS NOT NULL FROM assignment a JOIN device d ON d.id = a.device
        WHERE a.device = %(device)s AND a.id IS DISTINCT FROM %(but)s
          AND a.since < coalesce(%(until)s, 'infinity'::timestamptz)
          AND coalesce(%(since)s, '-infinity'::timestamptz) < a.until
        ORDER BY a.since
        """,
        {"device": device, "but": but, "since": since, "until": until},
    )
    return await cursor.fetchall()


async def places(connection: Connection, device: str) -> list[tuple[str, datetime | None, datetime | None]]:
    """Return (zone, since, until) of where a device hung, the latest first; None: ever, and still."""
    cursor = await connection.execute(
        """
        SELECT zone, nullif(since, '-infinity'), nullif(until, 'infinity') FROM device_place
        WHERE device = %s ORDER BY since DESC LIMIT 500
        """,
        [device],
    )
    return await cursor.fetchall()


async def note(connection: Connection, new: NewChange, now: datetime) -> int:
    """Write down what happened to a thing; returns the change's number."""
    before, after = new.before, new.after
    if new.thing in HISTORY:
        sealer = await sealer_of(connection, new.thing_id)
        before, after = (sealer.json("register_change", one) for one in (before, after))
    action = "added" if new.before is None else "removed" if new.after is None else "changed"
    cursor = await connection.execute(
        """
        INSERT INTO register_change (thing, thing_id, estate, action, version, before, after, undoes, actor, at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
        """,
        [
            *(new.thing, new.thing_id, new.estate, action, new.version),
            *(None if one is None else Jsonb(one) for one in (before, after)),
            *(new.undoes, new.actor, now),
        ],
    )
    ((id_,),) = await cursor.fetchall()
    return int(id_)


_CHANGES: Final = SQL("""
    SELECT c.id, c.thing, c.thing_id, c.estate, c.action, c.version,
           personal(c.thing_id, 'register_change', k.wrapped, c.before::text) AS before,
           personal(c.thing_id, 'register_change', k.wrapped, c.after::text) AS after, c.undoes,
           (SELECT u.id FROM register_change u WHERE u.undoes = c.id) AS undone_by, c.actor, a.name, c.at
    FROM register_change c LEFT JOIN account a ON c.actor = 'person:' || a.id
    LEFT JOIN resident_key k ON k.resident = c.thing_id AND c.thing = ANY (%(history)s)
    WHERE c.thing = ANY (%(things)s) AND (%(estates)s::text[] IS NULL OR c.estate = ANY (%(estates)s))
""")


async def changes(
    connection: Connection,
    scope: Scope,
    things: list[str],
    limit: int,
    before: int,
    thing_id: str | None = None,
    estate: str | None = None,
) -> list[Change]:
    """Return changes of some kinds of things, the latest first, from a number downwards."""
    query = _CHANGES + SQL("""
        AND c.id < %(before)s AND (%(thing_id)s::text IS NULL OR c.thing_id = %(thing_id)s)
        AND (%(estate)s::text IS NULL OR c.estate = %(estate)s) ORDER BY c.id DESC LIMIT %(limit)s
    """)
    facts = _facts(scope, things=things, limit=limit, before=before, thing_id=thing_id, estate=estate)
    async with connection.cursor(row_factory=class_row(Change)) as cursor:
        await cursor.execute(query, facts)
        return await cursor.fetchall()


async def one_change(connection: Connection, scope: Scope, things: list[str], id_: int) -> Change | None:
    """Return one change, or None."""
    async with connection.cursor(row_factory=class_row(Change)) as cursor:
        await cursor.execute(_CHANGES + SQL(" AND c.id = %(id)s"), _facts(scope, things=things, id=id_))
        return await cursor.fetchone()
