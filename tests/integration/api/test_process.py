"""`python -m api` as a process: it starts, serves, and ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from api.commands import create_token
from vigil.clock import utc_now
from vigil.store.accounts import Token
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
LIMIT_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(database: str, port: int, **more: str) -> dict[str, str]:
    return os.environ | {"VIGIL_DATABASE_DSN": database, "VIGIL_API_PORT": str(port)} | more


async def reader(database: str) -> str:
    async with open_pool(SecretStr(database), "test", 1) as pool, pool.connection() as connection:
        return await create_token(connection, Token("reader-1", "reader", ["*"]), utc_now)


@contextmanager
def running(database: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "api"],
        env=environment(database, port, **more),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S) as client:
            _wait_for(client, process)
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _wait_for(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/login")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("python -m api does not answer")


def test_sigterm_ends_it_in_order_also_with_live_streams_open(database: str) -> None:
    token = asyncio.run(reader(database))
    with running(database) as (process, client):
        headers = {"Authorization": f"Bearer {token}"}
        with client.stream("GET", "/api/v1/stream", headers=headers) as response:
            lines = response.iter_lines()
            assert next(lines) == "retry: 1000"
            process.send_signal(signal.SIGTERM)
            assert any(True for _ in lines)
        assert process.wait(LIMIT_S) == 0


def test_it_deletes_what_has_been_kept_for_long_enough(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO heartbeat VALUES ('gone', now() - interval '30 days', '{}')")
        with running(database):
            deadline = time.monotonic() + LIMIT_S
            while connection.execute("SELECT FROM heartbeat WHERE process = 'gone'").fetchone() is not None:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_taken_port_is_one_clear_line(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "api"],
            env=environment(database, port),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"api: VIGIL_API_PORT {port} on 127.0.0.1 cannot be used: Address already in use"
    )
