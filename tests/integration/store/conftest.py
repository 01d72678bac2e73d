"""A connection to a database of the test's own, and a small community in it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Connect = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]


@pytest.fixture
def connect(database: str) -> Connect:
    """Opens connections in autocommit, as the pools' are."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            yield connection

    return opened
