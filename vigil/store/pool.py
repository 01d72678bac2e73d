"""Connection pools that come back by themselves after the database was away.

Every room opens its own through `open_pool`: one per purpose (alarms, bulk, API), so that
neither waits for another's connections.

Rules (pitfalls 25 and 26)
--------------------------
1. Who waits for a connection waits `timeout_s` at most, by the pool's own time-out.
2. A server that vanished is noticed by TCP.  One that stands still (a paused machine, a stuck disk)
   is not: its kernel goes on answering.  So a connection is tried before it is lent, and one whose
   borrower has not come back after `SILENT_S` is broken off; the driver then fails by itself, which
   leaves nothing behind as cancelling would.
3. After `REBUILD_S` of nothing but failures the pool underneath is thrown away and made anew.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from vigil.errors import Unavailable
from vigil.store import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic import SecretStr

    from vigil.store.board import Scope
    from vigil.store.sealed import Vault

Connection = psycopg.AsyncConnection[Any]


class ProcessRole(StrEnum):
    """In whose rights a pool works (0150_roles.sql); its login has to be a member.

    `PEOPLE` is bound by row-level security to the scope of each transaction, and sees nothing
    without one.  The others work for nobody in particular, and each has a policy that names it.
    """

    PEOPLE = "vigil_people"
    API = "vigil_api"
    PROCESSORS = "vigil_processors"
    INGEST = "vigil_ingest"


_KEEPALIVE: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A database that vanished without a word is noticed in about 11 s."""
SILENT_S: Final = 30.0
"""Longest that a connection is lent: our longest transaction takes a second, a report a few."""
REBUILD_S: Final = 60.0
_FROZEN_S: Final = 30
"""A process that stands still inside a transaction loses it, and its locks, after this: another one
has taken over its partitions by then, and could not claim them."""
_TOO_MUCH: Final = "54"
"""SQLSTATE class "program limit exceeded": the driver calls it operational, yet it is the data's fault."""
_STATE_OF_THE_SERVER: Final = frozenset({"25P03", "25006"})
"""SQLSTATEs that the driver calls internal: our transaction stood still too long; this is a standby."""
_LZ4: Final = """
    SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
"""
"""Where the server has been built with it, lz4 compresses what is too large for a row (a window's samples)
in far less time than the default: on PostgreSQL 15 a window is stored in 110 us of CPU instead of 250."""
_SET_SCOPE: Final = """
    SELECT set_config('vigil.estates', %s::text[]::text, true), set_config('vigil.actor', %s, true)
"""
_log = structlog.get_logger(__name__)


def assume(role: ProcessRole | None) -> str:
    """Return the connection option that takes a role on, from the first statement on."""
    return f" -c role={role}" if role else ""


def _passes(error: psycopg.Error) -> bool:
    """Return whether trying again can end better."""
    if isinstance(error, psycopg.InternalError):
        return error.sqlstate in _STATE_OF_THE_SERVER
    return not (error.sqlstate or "").startswith(_TOO_MUCH)


class Pool:
    """A pool of connections for one purpose.

    `connection()` gives one, in autocommit; `transaction()` one inside a transaction, `scoped()`
    one that sees what somebody may see.  All turn the driver's connection errors into `Unavailable`.

    Args:
        dsn: Where PostgreSQL is.
        name: The purpose, for logs and for PostgreSQL's list of connections.
        size: Most connections.
        timeout_s: Longest wait for one.
        silent_s: Longest that one is lent.
        rebuild_s: Failures without a success in between for this long rebuild the pool.
        role: In whose rights; None are the login's own.
        vault: Seals personal fields that are written, and opens those that are read.
    """

    def __init__(
        self,
        dsn: SecretStr,
        name: str,
        size: int,
        *,
        timeout_s: float = 10,
        silent_s: float = SILENT_S,
        rebuild_s: float = REBUILD_S,
        role: ProcessRole | None = None,
        vault: Vault = sealed.IN_CLEAR,
    ) -> None:
        self.name = name
        self._role = role
        self._vault = vault
        self.rebuilt = 0
        self._dsn = dsn
        self._size = size
        self._timeout_s = timeout_s
        self._silent_s = silent_s
        self._rebuild_s = rebuild_s
        self._failing_since: float | None = None
        self._pool = self._make()

    def _make(self) -> AsyncConnectionPool[Connection]:
        return AsyncConnectionPool(
            self._dsn.get_secret_value(),
            name=self.name,
            min_size=1,
            max_size=self._size,
            open=False,
            timeout=self._timeout_s,
            # Each wait begins trying anew, so that the pauses between tries never get longer than it.
            reconnect_timeout=self._timeout_s,
            check=self._check,
            connection_class=sealed.Entrusted,
            configure=self._prepare,
            kwargs={
                "autocommit": True,
                "application_name": f"vigil-{self.name}",
                "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={_FROZEN_S}s{assume(self._role)}",
                **_KEEPALIVE,
            },
        )

    async def _prepare(self, connection: Connection) -> None:
        """Set what every new connection needs."""
        await connection.execute(_LZ4)
        await sealed.entrust(connection, self._vault)

    async def _check(self, connection: Connection) -> None:
        with broken_off_after(connection, self._timeout_s / 2):
            await AsyncConnectionPool.check_connection(connection)

    @property
    def vault(self) -> Vault:
        """What seals and opens personal fields over this pool's connections."""
        return self._vault

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
        asked = _asked_to_end()
        try:
            async with self._pool.connection() as connection:
                if _asked_to_end() > asked:
                    raise asyncio.CancelledError
                with broken_off_after(connection, self._silent_s):
                    yield connection
        except (PoolTimeout, psycopg.OperationalError, psycopg.InternalError) as error:
            if not _passes(error):
                raise
            await self._failed()
            raise Unavailable("PostgreSQL", error) from error
        self._failing_since = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection inside a transaction: commits at the end, else rolls back.

        Raises:
            Unavailable: The database does not answer; whether a commit under way took place
                is then unknown, and idempotence has to answer for it.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def scoped(self, scope: Scope, actor: str = "") -> AsyncIterator[Connection]:
        """Borrow a connection inside a transaction that sees the rows of a scope's estates alone.

        The database itself holds to it (row-level security), whatever the queries ask for, where
        the pool works as `ProcessRole.PEOPLE`; the end of the transaction ends the scope.

        Args:
            scope: Whose rows.
            actor: Who acts, for the audit log (`0190_audit.sql`); empty where the rows say so.

        Raises:
            Unavailable: As `transaction`.
        """
        async with self.transaction() as connection:
            await connection.execute(_SET_SCOPE, [scope.reach, actor])
            yield connection

    async def _failed(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since < self._rebuild_s:
            return
        self._failing_since = now
        self.rebuilt += 1
        _log.warning("database pool rebuilt", pool=self.name, times=self.rebuilt)
        old, self._pool = self._pool, self._make()
        await self._pool.open()
        await old.close(timeout=1)


def _asked_to_end() -> int:
    """Return how often the present task was cancelled.

    Up to Python 3.11 `asyncio.wait_for` returns, and does not raise, where what it waits for comes at the
    moment of the cancellation: a pool's connection does, that another task lets go of as both are ended.
    """
    task = asyncio.current_task()
    return task.cancelling() if task else 0


@contextmanager
def broken_off_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Let a connection end by itself if what is done with it takes longer than some seconds."""
    timer = asyncio.get_running_loop().call_later(seconds, _break_off, connection)
    try:
        yield
    finally:
        timer.cancel()


def _break_off(connection: Connection) -> None:
    """Shut the socket under the driver, which sees the server hang up."""
    if connection.closed:
        return
    _log.warning("database stands still: connection broken off", server=connection.info.host)
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def open_pool(
    dsn: SecretStr,
    name: str,
    size: int,
    *,
    timeout_s: float = 10,
    role: ProcessRole | None = None,
    vault: Vault = sealed.IN_CLEAR,
) -> AsyncIterator[Pool]:
    """Open a pool for one purpose, and close it with the context."""
    pool = Pool(dsn, name, size, timeout_s=timeout_s, role=role, vault=vault)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()
