"""Be told by PostgreSQL when something changed, for ever.

Neighbour: `api.live` wakes up with it.  A notice may be lost with its connection; whoever is
woken therefore reads what is new from the table, and is woken after every reconnection too.
What is read may come over the connection that has just told of it: it need not be tried first.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
import structlog
from psycopg import sql

from vigil.errors import Unavailable
from vigil.store import sealed
from vigil.store.pool import assume, broken_off_after

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from pydantic import SecretStr

    from vigil.store.pool import Connection, ProcessRole
    from vigil.store.sealed import Vault

_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0)
"""Before reconnecting; the last one repeats."""
_ANSWER_S: Final = 5.0
"""Longest wait for a sign of life: a server that stands still is otherwise waited for without end."""
_log = structlog.get_logger(__name__)


async def wakes(
    dsn: SecretStr,
    channel: str,
    at_least_every_s: float,
    role: ProcessRole | None = None,
    vault: Vault = sealed.IN_CLEAR,
) -> AsyncGenerator[Connection | None]:
    """Yield whenever it is time to look: the connection that listens, None when it is lost.

    What is read over it is opened by `vault`, as over a pool's connections.

    Yields once after each connection, then for each burst of notices, and after
    `at_least_every_s` of silence (which also finds out a dead connection).  Runs until closed.
    """
    failures = 0
    while True:
        try:
            async with _listening(dsn, channel, role, vault) as connection:
                failures = 0
                yield connection
                while True:
                    await _burst(connection, at_least_every_s)
                    yield connection
        except psycopg.OperationalError as error:
            _log.warning("listening connection lost", channel=channel, error=str(error).strip())
        yield None
        await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        failures += 1


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """Read over a connection that listens.

    Raises:
        Unavailable: The database does not answer; the next wake tells of a new connection.
    """
    try:
        with broken_off_after(connection, _ANSWER_S):
            yield
    except psycopg.OperationalError as error:
        raise Unavailable("PostgreSQL", error) from error


@asynccontextmanager
async def _listening(
    dsn: SecretStr, channel: str, role: ProcessRole | None, vault: Vault
) -> AsyncIterator[Connection]:
    """Open a connection that listens; whoever is cancelled meanwhile leaves none behind."""
    connecting = sealed.Entrusted.connect(
        dsn.get_secret_value(),
        autocommit=True,
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        application_name="vigil-listen",
        options=assume(role),
    )
    async with await connecting as connection:
        await sealed.entrust(connection, vault)
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        yield connection


async def _burst(connection: Connection, timeout_s: float) -> None:
    """Wait for notices and take all that have come; ask the server for life when none came."""
    heard = [notice async for notice in connection.notifies(timeout=timeout_s, stop_after=1)]
    if not heard:
        with broken_off_after(connection, _ANSWER_S):
            await connection.execute("SELECT 1")
