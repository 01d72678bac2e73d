"""The database's care: `python -m vigil.store migrate`."""

from __future__ import annotations

import asyncio
import sys

import psycopg

from vigil.errors import Misconfigured, Stop
from vigil.settings import StoreSettings, load
from vigil.store.migrations import has_timescale, is_apache, migrate


async def _migrate(settings: StoreSettings) -> None:
    try:
        connection = await psycopg.AsyncConnection.connect(
            settings.database_dsn.get_secret_value(),
            autocommit=True,
            connect_timeout=10,
        )
    except psycopg.OperationalError as error:
        raise Misconfigured("VIGIL_DATABASE_DSN", f"the database does not answer: {error}") from None
    async with connection:
        for name in (applied := await migrate(connection)):
            print(f"applied {name}")
        print("the schema is current" if applied else "the schema is current; there was nothing to apply")
        if not await has_timescale(connection):
            print("TimescaleDB is not there: plain tables, without compression and continuous aggregates")
        elif await is_apache(connection):
            print("TimescaleDB's Apache build: hypertables, without compression and continuous aggregates")


def main() -> int:
    """Run the command named on the command line."""
    if sys.argv[1:] != ["migrate"]:
        print("usage: python -m vigil.store migrate", file=sys.stderr)
        return 2
    try:
        asyncio.run(_migrate(load(StoreSettings)))
    except Stop as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
