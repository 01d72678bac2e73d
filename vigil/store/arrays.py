"""Many rows in one statement: a parameter for each column, an array of all rows' values.

Used by the other modules of `vigil.store`, so that what a batch costs in statements does not grow
with the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from psycopg.sql import SQL, Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg.sql import Composed


def unnest(types: Mapping[str, str]) -> Composed:
    """Return the table `t` of arrays, by the names and PostgreSQL's types of its columns."""
    arrays = SQL(", ").join(SQL("%b::" + type_ + "[]") for type_ in types.values())
    return SQL("unnest({}) AS t({})").format(arrays, names(types))


def names(columns: Iterable[str]) -> Composed:
    """Return a list of columns."""
    return SQL(", ").join(map(Identifier, columns))


def columns(rows: Sequence[Any], attributes: Iterable[str]) -> list[list[Any]]:
    """Return rows as the arrays that `unnest` wants: for each attribute its values."""
    return [[getattr(row, name) for row in rows] for name in attributes]


def encoded(value: object) -> str:
    """Return the JSON of a value, to be cast to `jsonb`."""
    return msgspec.json.encode(value).decode()
