"""Servers, databases, topics and recordings for every test.

`VIGIL_TEST_STACK` chooses the servers: `embedded` (default) or `real` (mosquitto, Apache Kafka,
Debian's PostgreSQL).  They start once per session; each test then gets a database, topics and
a community of its own.  What a machine lacks skips a test with the reason shown, and with
`CI=true` it fails instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from psycopg import sql

from deploy.embedded.servers import EmbeddedStack
from tests.making import EVERYTHING_ALERTS
from tests.servers import real
from tests.servers import timescale as wasm
from tests.servers.real import RealStack
from tests.servers.timescale import WasmTimescale
from vigil.kafka import create_topics
from vigil.settings import KafkaSettings
from vigil.store.migrations import migrate
from vigil.topics import KAFKA_TOPICS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

Stack: TypeAlias = EmbeddedStack | RealStack
NewTimescale: TypeAlias = Callable[[], AbstractContextManager[str]]

TEMPLATE = "vigil_template"
REPOSITORY = Path(__file__).parents[1]
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "embedded_only: concerns the embedded servers alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on the real servers, what is true of the embedded ones alone."""
    if os.environ.get("VIGIL_TEST_STACK") != "real":
        return
    left_out = [item for item in items if item.get_closest_marker("embedded_only")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything is supposed to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (with CI=true this is no reason to skip)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """MQTT, Kafka and PostgreSQL, running.  A test that ends one starts it again."""
    folder = tmp_path_factory.mktemp("stack")
    with _chosen(folder) as running:
        yield running


def _chosen(folder: Path) -> Stack:
    match os.environ.get("VIGIL_TEST_STACK", "embedded"):
        case "embedded":
            return EmbeddedStack(folder)
        case "real":
            if reasons := real.missing():
                lacking("; ".join(reasons))
            return RealStack(folder)
        case other:
            pytest.exit(f"VIGIL_TEST_STACK is embedded or real, not {other!r}", returncode=4)


@pytest.fixture
def community() -> str:
    """An id that no other test uses, so that retained messages of others are not seen."""
    return f"c{next(_numbers)}"


@pytest.fixture
def empty_database(stack: Stack) -> Iterator[str]:
    """DSN of a database without any table, as its owner."""
    yield from _temporary(stack.postgres.dsn, template=None)


@pytest.fixture(scope="session")
def _template(stack: Stack) -> str:
    """A database with the present schema; copying it takes a fraction of migrating."""
    _administer(stack.postgres.dsn, "CREATE DATABASE {}", TEMPLATE)
    _apart(_migrate(_elsewhere(stack.postgres.dsn, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database(stack: Stack, _template: str) -> Iterator[str]:
    """DSN of a database with the present schema and nothing in it but that every detector may alert."""
    yield from _temporary(stack.postgres.dsn, _template)


@pytest.fixture(scope="module")
def shared_database(stack: Stack, _template: str) -> Iterator[str]:
    """Like `database`, for a whole module: its tests put back what they have changed."""
    yield from _temporary(stack.postgres.dsn, _template)


@pytest.fixture
def topics(stack: Stack) -> tuple[str, ...]:
    """The platform's Kafka topics, made anew: empty, offsets from 0.  Their names are fixed."""
    _apart(_renew_topics(stack.addresses.kafka_bootstrap))
    return KAFKA_TOPICS


@pytest.fixture(scope="session")
def new_timescale(tmp_path_factory: pytest.TempPathFactory) -> NewTimescale:
    """Makes empty databases on a TimescaleDB, for fixtures that want one of a wider scope."""
    dsn = os.environ.get("VIGIL_TEST_TIMESCALE_DSN")
    if dsn:
        return lambda: contextlib.contextmanager(_temporary)(dsn, None)
    if reason := wasm.missing():
        lacking(reason)
    # Made once; a server that finds its data there starts in half the time.
    made = WasmTimescale(tmp_path_factory.mktemp("timescale"))
    made.start()
    made.stop()
    return lambda: _copy(made, tmp_path_factory.mktemp("timescale"))


@pytest.fixture
def timescale(new_timescale: NewTimescale) -> Iterator[str]:
    """DSN of an empty database on a TimescaleDB, for migrations and queries.

    `VIGIL_TEST_TIMESCALE_DSN` names a real server.  Otherwise it is the one in WebAssembly,
    which serves one connection at a time and has no COPY.
    """
    with new_timescale() as dsn:
        yield dsn


@contextlib.contextmanager
def _copy(made: WasmTimescale, folder: Path) -> Iterator[str]:
    server = WasmTimescale(folder)
    shutil.copytree(made.data, server.data)
    server.start()
    try:
        yield server.dsn
    finally:
        server.stop()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the recordings of real people: `VIGIL_DATA`, else ../shared/data."""
    folder = Path(os.environ.get("VIGIL_DATA") or REPOSITORY.parent / "shared/data")
    if not folder.is_dir():
        lacking(f"no recordings in {folder}; VIGIL_DATA says where they are")
    return folder


def _temporary(dsn: str, template: str | None) -> Iterator[str]:
    """Make a database, give its DSN, and drop it whoever is still connected."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _administer(
        dsn, "CREATE DATABASE {}" + (" TEMPLATE {}" if template else ""), name, *filter(None, [template])
    )
    try:
        yield _elsewhere(dsn, name)
    finally:
        _administer(dsn, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(dsn: str, statement: str, *names: str) -> None:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        for _ in range(20):
            with suppress(psycopg.errors.InsufficientPrivilege):  # an autovacuum worker is in there
                connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
                return
            time.sleep(0.5)
    pytest.fail(f"{statement} {names} was refused again and again")


def _elsewhere(dsn: str, database: str) -> str:
    """Return the DSN of another database of the same server."""
    base, _, query = dsn.partition("?")
    return f"{base.rpartition('/')[0]}/{database}" + (f"?{query}" if query else "")


async def _migrate(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await migrate(connection)
        await connection.execute(EVERYTHING_ALERTS)
        await connection.execute("DELETE FROM registry_change")


async def _renew_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        present = set(await admin.list_topics()) & set(KAFKA_TOPICS)
        if present:
            await admin.delete_topics(sorted(present))
        while not present.isdisjoint(await admin.list_topics()):  # noqa: ASYNC110 - only Kafka knows when
            await asyncio.sleep(0.01)
    finally:
        await admin.close()
    await create_topics(KafkaSettings(kafka_bootstrap=bootstrap))


def _apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread of its own: a fixture may be set up inside a test's loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
