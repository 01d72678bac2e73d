"""Pools come back by themselves, and say what the caller can do."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from vigil.errors import Unavailable
from vigil.store import listen
from vigil.store.pool import Pool, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from deploy.embedded.servers import Postgres
    from tests.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


class Passage:
    """A TCP relay in front of a server, which can be closed and opened."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()

    def shut(self) -> None:
        self._open = False
        for pair in self._pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        self._pairs.clear()

    def reopen(self) -> None:
        self._open = True

    def close(self) -> None:
        self.shut()
        self._listener.close()


@pytest.fixture
def passage(database: str) -> Iterator[tuple[Passage, SecretStr]]:
    parts = psycopg.conninfo.conninfo_to_dict(database)
    made = Passage(str(parts["host"]), int(str(parts["port"])))
    try:
        yield made, SecretStr(database.replace(f":{parts['port']}/", f":{made.port}/"))
    finally:
        made.close()


async def one(pool: Pool) -> Any:
    async with pool.connection() as connection:
        return await (await connection.execute("SELECT 1")).fetchone()


@asynccontextmanager
async def opened(pool: Pool) -> AsyncIterator[Pool]:
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def until_back(pool: Pool) -> None:
    while True:
        try:
            assert await one(pool) == (1,)
        except Unavailable:
            continue
        return


async def test_a_transaction_commits_or_leaves_nothing(database: str) -> None:
    async with open_pool(SecretStr(database), "x", 2) as pool:

        async def fail() -> None:
            async with pool.transaction() as connection:
                await connection.execute("INSERT INTO community VALUES ('c', 'C')")
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await fail()
        async with pool.transaction() as connection:
            assert await (await connection.execute("SELECT count(*) FROM community")).fetchone() == (0,)
            await connection.execute("INSERT INTO community VALUES ('d', 'D')")
        async with pool.connection() as connection:
            assert await (await connection.execute("SELECT id FROM community")).fetchall() == [("d",)]


async def test_a_database_that_goes_away_is_unavailable_and_used_again_when_it_is_back(
    passage: tuple[Passage, SecretStr],
) -> None:
    relay, dsn = passage
    async with opened(Pool(dsn, "x", 1, timeout_s=0.2, rebuild_s=0.5)) as pool:
        assert await one(pool) == (1,)
        relay.shut()
        while pool.rebuilt < 2:
            with pytest.raises(Unavailable):
                await one(pool)
        relay.reopen()
        await until_back(pool)


async def test_a_connection_lost_in_the_middle_is_unavailable_and_nothing_was_committed(
    passage: tuple[Passage, SecretStr], database: str
) -> None:
    relay, dsn = passage
    async with open_pool(dsn, "x", 1, timeout_s=0.2) as pool:

        async def broken_off() -> None:
            async with pool.transaction() as connection:
                await connection.execute("INSERT INTO community VALUES ('c', 'C')")
                relay.shut()
                await connection.execute("SELECT 1")

        with pytest.raises(Unavailable):
            await broken_off()
    with psycopg.connect(database) as direct:
        assert direct.execute("SELECT count(*) FROM community").fetchone() == (0,)


async def test_a_pool_can_be_opened_while_the_database_is_away(passage: tuple[Passage, SecretStr]) -> None:
    relay, dsn = passage
    relay.shut()
    async with open_pool(dsn, "x", 1, timeout_s=0.1) as pool:
        with pytest.raises(Unavailable):
            await one(pool)
        relay.reopen()
        await until_back(pool)


async def test_what_the_data_are_to_blame_for_is_not_called_unavailable(database: str) -> None:
    async with open_pool(SecretStr(database), "x", 1) as pool:
        for statement in ("SELECT 1/0", "SELECT repeat('x', 2000000000)", "SELECT '\\ud800'::jsonb"):

            async def ask(statement: str = statement) -> None:
                async with pool.connection() as connection:
                    await connection.execute(statement.encode())

            with pytest.raises(psycopg.Error):
                await ask()


async def test_a_process_that_stands_still_inside_a_transaction_does_not_keep_its_locks(
    database: str,
) -> None:
    async with open_pool(SecretStr(database), "x", 1) as pool, pool.connection() as connection:
        cursor = await connection.execute("SHOW idle_in_transaction_session_timeout")
        assert await cursor.fetchone() == ("30s",)


async def spoken_to(connection: Any) -> None:
    """Return when the server has something to say unasked."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), heard.set)
    await heard.wait()
    loop.remove_reader(connection.fileno())


async def test_one_who_is_frozen_in_a_transaction_is_unavailable_to_itself(database: str) -> None:
    async with open_pool(SecretStr(database), "x", 1) as pool:

        async def frozen() -> None:
            async with pool.transaction() as connection:
                await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 20")
                await spoken_to(connection)
                await connection.execute("SELECT 1")

        with pytest.raises(Unavailable):
            await frozen()
        assert await one(pool) == (1,)


# --- A server that is killed, and one that stands still ---


@pytest.fixture(scope="module")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of this module's own, to be mistreated."""
    made = type(stack.postgres)(tmp_path_factory.mktemp("mistreated") / "postgres")
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def standing_still(server: Postgres) -> Iterator[None]:
    """Stop every process of a server as SIGSTOP does; the kernel goes on answering for it."""
    parent = psutil.Process(server.pid)
    stopped = [parent, *parent.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


async def test_a_killed_server_is_unavailable_and_used_again_when_it_is_back(server: Postgres) -> None:
    async with opened(Pool(SecretStr(server.dsn), "x", 2, timeout_s=1)) as pool:
        assert await one(pool) == (1,)
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await one(pool)
        server.start()
        await until_back(pool)


async def test_a_server_that_stands_still_is_unavailable_to_who_wants_a_connection(server: Postgres) -> None:
    async with opened(Pool(SecretStr(server.dsn), "x", 2, timeout_s=0.5)) as pool:
        assert await one(pool) == (1,)
        with standing_still(server):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await one(pool)
        await until_back(pool)


async def test_a_server_that_stands_still_in_the_middle_is_unavailable_and_nothing_hangs(
    server: Postgres,
) -> None:
    async with opened(Pool(SecretStr(server.dsn), "x", 2, timeout_s=0.5, silent_s=1)) as pool:

        async def halfway() -> None:
            async with pool.transaction() as connection:
                await connection.execute("CREATE TABLE never_there ()")
                with standing_still(server):
                    await connection.execute("SELECT 1")

        with pytest.raises(Unavailable):
            await halfway()
        await until_back(pool)
        async with pool.connection() as connection:
            found = await connection.execute("SELECT FROM pg_tables WHERE tablename = 'never_there'")
            assert await found.fetchall() == []


async def test_a_server_that_stands_still_when_a_transaction_ends_is_unavailable_too(
    server: Postgres,
) -> None:
    async with opened(Pool(SecretStr(server.dsn), "x", 2, timeout_s=0.5, silent_s=1)) as pool:

        async def to_the_end() -> None:
            with standing_still(server):
                async with pool.transaction():
                    pass

        async def at_the_commit() -> None:
            async with pool.connection() as connection:
                with standing_still(server):
                    async with connection.transaction():
                        pass

        for work in (to_the_end, at_the_commit):
            with pytest.raises(Unavailable):
                await work()
            await until_back(pool)


async def test_who_waits_for_its_turn_is_not_kept_by_another_purposes_standstill(server: Postgres) -> None:
    """Every purpose has a pool of its own: a bulk that holds all its connections keeps no alarm waiting."""
    async with (
        opened(Pool(SecretStr(server.dsn), "bulk", 1, timeout_s=0.2)) as bulk,
        opened(Pool(SecretStr(server.dsn), "alarm", 1, timeout_s=5)) as alarm,
        bulk.connection(),
    ):
        with pytest.raises(Unavailable):
            await one(bulk)
        assert await one(alarm) == (1,)


async def test_who_listens_hears_of_a_server_that_stands_still_and_goes_on_when_it_is_back(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_ANSWER_S", 0.5)
    async with aclosing(listen.wakes(SecretStr(server.dsn), "c", 0.2)) as wakes:
        assert await anext(wakes)
        with standing_still(server):
            while await anext(wakes):
                pass
        while not await anext(wakes):
            pass


async def test_what_is_too_large_for_a_row_is_compressed_the_quick_way_where_the_server_can(
    database: str,
) -> None:
    async with open_pool(SecretStr(database), "test", 1) as pool, pool.connection() as connection:
        rows = await connection.execute(
            """SELECT setting, coalesce('lz4' = ANY (enumvals), false) FROM pg_settings
               WHERE name = 'default_toast_compression'"""
        )
        ((setting, can),) = await rows.fetchall()
        assert (setting == "lz4") == can


async def test_who_is_cancelled_before_it_listens_leaves_no_connection(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def no_answer(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", no_answer)
    knocks = listen.wakes(SecretStr(database), "nothing", 5)
    first = asyncio.ensure_future(anext(knocks))
    await asyncio.wait_for(asked.wait(), 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    monkeypatch.undo()
    query = "SELECT FROM pg_stat_activity WHERE application_name = 'vigil-listen' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        while await (await connection.execute(query)).fetchall():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("turns", range(12))
async def test_whoever_is_cancelled_as_a_connection_comes_ends(database: str, turns: int) -> None:
    """The turns of the loop between the letting go and the cancellation; a few of them meet."""
    async with open_pool(SecretStr(database), "test", 1) as pool:
        done = asyncio.Event()

        async def wait_for_it() -> None:
            async with pool.connection():
                pass
            await asyncio.Event().wait()

        async with pool.connection():
            waiter = asyncio.create_task(wait_for_it())
            await asyncio.sleep(0.05)
            asyncio.get_running_loop().call_soon(done.set)
            await done.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        ended, _ = await asyncio.wait([waiter], timeout=5)
        waiter.cancel()
        assert ended
