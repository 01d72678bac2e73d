"""The database's care: `python -m vigil.store migrate`, `logins FOLDER`, and `check`, which changes nothing."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from vigil.clock import utc_now
from vigil.errors import Misconfigured, Stop
from vigil.settings import StoreSettings, load
from vigil.store import logins
from vigil.store.check import check
from vigil.store.migrations import has_timescale, is_apache, migrate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vigil.store.pool import Connection


async def _connected(settings: StoreSettings, command: Callable[[Connection], Awaitable[int]]) -> int:
    try:
        connection = await psycopg.AsyncConnection.connect(
            settings.database_dsn.get_secret_value(),
            autocommit=True,
            connect_timeout=10,
        )
    except psycopg.OperationalError as error:
        raise Misconfigured("VIGIL_DATABASE_DSN", f"the database does not answer: {error}") from None
    async with connection:
        return await command(connection)


async def _migrate(connection: Connection) -> int:
    applied = await migrate(connection, lambda name: print(f"applied {name}", flush=True))
    print("the schema is current" if applied else "the schema is current; there was nothing to apply")
    if not await has_timescale(connection):
        print("TimescaleDB is not there: plain tables, without compression and continuous aggregates")
    elif await is_apache(connection):
        print("TimescaleDB's Apache build: hypertables, without compression and continuous aggregates")
    return 0


async def _check(connection: Connection) -> int:
    found = await check(connection, utc_now())
    for finding in found:
        print(f"{'ok ' if finding.good else 'BAD'} {finding.says}")
    return 0 if all(finding.good for finding in found) else 1


async def _logins(folder: Path, dsn: str, connection: Connection) -> int:
    for process, secrets in (await logins.put(connection, folder, dsn)).items():
        print(f"{process}: login {logins.PREFIX}{process}, start it with VIGIL_SECRETS={secrets}")
    return 0


COMMANDS: Final = {"migrate": _migrate, "check": _check}


def main() -> int:
    """Run the command named on the command line."""
    try:
        settings = load(StoreSettings)
        match sys.argv[1:]:
            case ["migrate" | "check" as name]:
                command = COMMANDS[name]
            case ["logins", folder]:
                command = partial(_logins, Path(folder), settings.database_dsn.get_secret_value())
            case _:
                print("usage: python -m vigil.store migrate | check | logins FOLDER", file=sys.stderr)
                return 2
        return asyncio.run(_connected(settings, command))
    except Stop as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
