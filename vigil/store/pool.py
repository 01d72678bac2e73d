"""Connection pools that come back by themselves after the database was away.

Every room opens its own through `open_pool`: one per purpose (alarms, bulk, API), so that
neither waits for another's connections.  See pitfalls 25 and 26: psycopg_pool can stay
stuck after minutes of outage, and cancellation must go through the pool's own time-outs.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from vigil.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

Connection = psycopg.AsyncConnection[Any]

_KEEPALIVE: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A database that vanished without a word is noticed in about 11 s."""
_FROZEN_S: Final = 30
"""A process that stands still inside a transaction loses it, and its locks, after this: another one
has taken over its partitions by then, and could not claim them."""
_TOO_MUCH: Final = "54"
"""SQLSTATE class "program limit exceeded": the driver calls it operational, yet it is the data's fault."""
_STATE_OF_THE_SERVER: Final = frozenset({"25P03", "25006"})
"""SQLSTATEs that the driver calls internal: our transaction stood still too long; this is a standby."""
_log = structlog.get_logger(__name__)


def _passes(error: psycopg.Error) -> bool:
    """Return whether trying again can end better."""
    if isinstance(error, psycopg.InternalError):
        return error.sqlstate in _STATE_OF_THE_SERVER
    return not (error.sqlstate or "").startswith(_TOO_MUCH)


class Pool:
    """A pool of connections for one purpose.

    `connection()` gives one, in autocommit; `transaction()` one inside a transaction.  Both
    turn the driver's connection errors into `Unavailable`, and after `rebuild_after` failures
    in a row the pool underneath is thrown away and made anew.
    """

    def __init__(
        self, dsn: SecretStr, name: str, size: int, *, timeout_s: float = 10, rebuild_after: int = 5
    ) -> None:
        self.name = name
        self._dsn = dsn
        self._size = size
        self._timeout_s = timeout_s
        self._rebuild_after = rebuild_after
        self._failures = 0
        self._pool = self._make()

    def _make(self) -> AsyncConnectionPool[Connection]:
        return AsyncConnectionPool(
            self._dsn.get_secret_value(),
            name=self.name,
            min_size=1,
            max_size=self._size,
            open=False,
            timeout=self._timeout_s,
            reconnect_timeout=30,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "application_name": f"vigil-{self.name}",
                "options": f"-c idle_in_transaction_session_timeout={_FROZEN_S}s",
                **_KEEPALIVE,
            },
        )

    async def open(self) -> None:
        """Open the pool; connections are made in the background."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection that is not in use, and wait briefly for the others."""
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection in autocommit.

        Raises:
            Unavailable: The database does not answer, or broke off meanwhile.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError, psycopg.InternalError) as error:
            if not _passes(error):
                raise
            await self._failed()
            raise Unavailable("PostgreSQL", error) from error
        self._failures = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection inside a transaction: commits at the end, else rolls back.

        Raises:
            Unavailable: The database does not answer; whether a commit under way took place
                is then unknown, and idempotence has to answer for it.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _failed(self) -> None:
        self._failures += 1
        if self._failures % self._rebuild_after:
            return
        _log.warning("database pool rebuilt", pool=self.name, failures=self._failures)
        old, self._pool = self._pool, self._make()
        await self._pool.open()
        await old.close(timeout=1)


@asynccontextmanager
async def open_pool(dsn: SecretStr, name: str, size: int, *, timeout_s: float = 10) -> AsyncIterator[Pool]:
    """Open a pool for one purpose, and close it with the context."""
    pool = Pool(dsn, name, size, timeout_s=timeout_s)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()
