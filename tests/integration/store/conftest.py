"""Connections to a database: the test's own, or one that the module's tests share and roll back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from tests.conftest import _temporary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.conftest import Stack

    Connect = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]


@pytest.fixture
def connect(database: str) -> Connect:
    """Opens connections in autocommit, as the pools' are."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            yield connection

    return opened


@pytest.fixture(scope="module")
def shared_database(stack: Stack, _template: str) -> Iterator[str]:
    """DSN of a database that the module's tests share; making one for each would take longer than they do."""
    yield from _temporary(stack.postgres.dsn, _template)


@pytest_asyncio.fixture
async def connection(shared_database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection inside a transaction that is rolled back after the test."""
    async with (
        await psycopg.AsyncConnection.connect(shared_database, autocommit=True) as opened,
        opened.transaction(force_rollback=True),
    ):
        yield opened


async def somebody_waits(connection: Any) -> None:
    """Return when somebody waits for another's lock."""
    query = "SELECT FROM pg_locks WHERE NOT granted"
    while not await (await connection.execute(query)).fetchall():  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)
