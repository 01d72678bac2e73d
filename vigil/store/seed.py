"""Put rows of the registry into the database, as an import or a demonstration brings them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from vigil.store.sealed import keep_keys, seal_row, vault_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.store.pool import Connection

TABLES: Final = (
    "community",
    "estate",
    "zone",
    "node",
    "device",
    "resident",
    "assignment",
    "consent",
    "detector_mode",
)
"""What may be put in, in an order that satisfies the foreign keys."""


async def put_rows(connection: Connection, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Insert rows by table; a row that is there already stays as it is.

    Args:
        connection: Inside a transaction, so that all or nothing is put in.
        tables: Rows, columns by name; a dict as a value becomes JSON.
    """
    new = await _new_residents(connection, tables.get("resident", ()))
    sealers = {row["id"]: vault_of(connection).new(row["id"]) for row in new}
    tables = {**tables, "resident": [seal_row(sealers[row["id"]], row) for row in new]}
    for table in TABLES:
        for columns, rows in groupby(tables.get(table, ()), key=tuple):
            query = SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                Identifier(table),
                SQL(", ").join(map(Identifier, columns)),
                SQL(", ").join([SQL("%s")] * len(columns)),
            )
            async with connection.cursor() as cursor:
                await cursor.executemany(query, [list(map(_value, row.values())) for row in rows])
    await keep_keys(connection, list(sealers.values()))


async def _new_residents(
    connection: Connection, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Leave out who is there already: whoever is, has a key of their own, or none."""
    cursor = await connection.execute(
        "SELECT id FROM resident WHERE id = ANY (%s)", [[row["id"] for row in rows]]
    )
    known = {id_ for (id_,) in await cursor.fetchall()}
    return [row for row in rows if row["id"] not in known]


def _value(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value
