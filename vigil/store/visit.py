"""A look at the database by somebody who comes for it alone: `deploy.check`.

Neighbour: `vigil.store.check` looks at schema, extension, retention and jobs; here is what is
seen by connecting at all: whose rights that brings, and what time it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from vigil.errors import Unavailable
from vigil.store.check import Finding, check

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import SecretStr

    from vigil.clock import Clock
    from vigil.store.pool import Connection


async def visit(dsn: SecretStr, now: Clock) -> tuple[list[Finding], datetime]:
    """Look at a database as its owner; return what was found, and its own time.

    Raises:
        Unavailable: It does not answer.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn.get_secret_value(), autocommit=True, connect_timeout=5
        ) as connection:
            at = await _time(connection)
            return [await _owner(connection), *await check(connection, now())], at
    except psycopg.OperationalError as error:
        raise Unavailable("PostgreSQL", error) from None


async def _time(connection: Connection) -> datetime:
    ((at,),) = await (await connection.execute("SELECT clock_timestamp()")).fetchall()
    return at  # type: ignore[no-any-return]  # psycopg gives rows of anything


async def _owner(connection: Connection) -> Finding:
    query = "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ((name, unbound),) = await (await connection.execute(query)).fetchall()
    if unbound:
        return Finding(good=False, says=f"{name} is a superuser, whom row-level security does not bind")
    return Finding(good=True, says=f"{name} is bound by row-level security")
