"""The live stream's fan-out: 200 sessions, 100 changes a second, beside a bare SSE server.

Both servers run alone in turn, each in a process of its own on one core; the same alerts are
raised in the same database, and the same client process reads all sessions of either.  A change's
time begins before its commit.  The bare server is handed the finished frame with PostgreSQL's
notice, and its whole work is to copy it into every response; ours is told that something has
changed, reads it, and encodes it for each view.
`python -m tests.bench.fanout ours|bare|client ...` are the processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.commands import create_token
from api.live import Hub
from api.passwords import Passwords
from api.server import listening_socket, serve_until_cancelled
from api.services import Services
from deploy.embedded.servers import HOST, free_port
from tests.bench.processes import CORES, Child, python
from vigil.alerts import Priority
from vigil.clock import utc_now
from vigil.store import alerts
from vigil.store.accounts import Token
from vigil.store.alerts import NewAlert
from vigil.store.detections import Detection, insert_detections
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.bench.servers import Servers

SESSIONS: Final = 200
A_SECOND: Final = 100
GOAL: Final = 1.3
PATIENCE_S: Final = 30.0
BARE: Final = "fanout_bare"
_FRAME: Final = re.compile(rb'"id":"([0-9a-f-]{36})","kind"')
_BODY: Final = {"priority": "critical", "state": "raised", "version": 1, "filler": "x" * 700}
"""As long as one of ours with its place and its sentences."""


def measure(stack: Servers, *, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return each round's p99 in seconds, for `ours` and `bare`, taken in turn."""
    return asyncio.run(_measure(stack, seconds, rounds))


async def _measure(stack: Servers, seconds: float, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    tokens = await _tokens(stack.dsn)
    for number in range(rounds):
        for name in ("ours", "bare") if number % 2 else ("bare", "ours"):
            found[name].append(
                await _round(stack, name, tokens, seconds, stack.folder / f"fanout-{number}-{name}")
            )
    return found


async def _tokens(dsn: str) -> list[str]:
    """Make a token that sees names and one that does not: two views are encoded."""
    async with open_pool(SecretStr(dsn), "bench", 1) as pool, pool.transaction() as connection:
        await connection.execute("INSERT INTO community VALUES ('fan', 'Fan', 'UTC') ON CONFLICT DO NOTHING")
        await connection.execute("INSERT INTO estate VALUES ('fan', 'fan', 'Fan') ON CONFLICT DO NOTHING")
        roles = ("watchdog", "reader")
        return [await create_token(connection, Token(f"fan-{r}", r, ["*"]), utc_now) for r in roles]


async def _round(stack: Servers, name: str, tokens: list[str], seconds: float, folder: Path) -> float:
    """Run one server with its sessions, hand changes over, and return the p99."""
    port = free_port()
    environment = {"BENCH_DSN": stack.dsn, "BENCH_PORT": str(port)}
    server = Child(
        python("tests.bench.fanout", name), folder.with_suffix(".log"), environment, core=CORES[-1]
    )
    told = folder.with_suffix(".json")
    try:
        await _listens(port, server)
        reader = Child(
            python("tests.bench.fanout", "client", str(port), str(told), *tokens),
            folder.with_suffix(".client"),
        )
        try:
            await _all_there(reader)
            handed = await _hand_over(stack.dsn, seconds)
            await asyncio.sleep(1.0)  # what is still on its way comes, or counts as lost
        finally:
            reader.stop()
        return _p99(handed, json.loads(told.read_text(encoding="utf-8")))
    finally:
        server.stop()


def _p99(handed: dict[str, float], arrived: dict[str, list[float]]) -> float:
    """Return the p99 over every session's every change; fail where one was missed."""
    late = [at - handed[id_] for id_, times in arrived.items() if id_ in handed for at in times]
    wanted = len(handed) * SESSIONS
    assert len(late) == wanted, f"{len(late)} of {wanted} frames arrived"
    steps = statistics.quantiles(late, n=100)
    print(f"    p50 {steps[49] * 1000:.1f} ms, p99 {steps[98] * 1000:.1f} ms", file=sys.stderr, flush=True)
    return steps[98]


async def _listens(port: int, server: Child) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            server.check()
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def _all_there(reader: Child) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while "all there" not in reader.tail():
            reader.check()
            await asyncio.sleep(0.1)


async def _paced(seconds: float, once: Callable[[], Awaitable[tuple[str, float]]]) -> dict[str, float]:
    """Hand changes over at an even pace; returns when each was."""
    begun, handed = time.monotonic(), {}
    for number in range(round(seconds * A_SECOND)):
        await asyncio.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))
        id_, at = await once()
        handed[id_] = at
    return handed


async def _hand_over(dsn: str, seconds: float) -> dict[str, float]:
    async with open_pool(SecretStr(dsn), "bench-load", 1) as pool:

        async def once() -> tuple[str, float]:
            async with pool.transaction() as connection:
                found = _detection(uuid4())
                await insert_detections(connection, [found])
                id_ = await alerts.raise_alert(connection, _alert(found), found.made_at)
                line = json.dumps({"id": str(id_), "kind": "fall", **_BODY}, separators=(",", ":"))
                await connection.execute("SELECT pg_notify(%s, %s)", [BARE, line])
                at = time.monotonic()
            return str(id_), at

        return await _paced(seconds, once)


def _detection(id_: UUID) -> Detection:
    facts = {"kind": "fall", "subject": f"fan:{id_}", "resident": None, "zone": None, "estate": "fan"}
    more = {"device": "d", "score": 0.9, "model": "bench", "model_version": "1", "synthetic": None}
    now = utc_now()
    said: dict[str, Any] = {"en": "Hard impact, then still for 20 s", "zh": "剧烈撞击后静止20秒"}
    return Detection(id=id_, event=id_, time=now, explanation=said, made_at=now, **facts, **more)  # type: ignore[arg-type]  # texts and a number, by the names of the fields


def _alert(found: Detection) -> NewAlert:
    return NewAlert(
        id=found.id,
        subject=found.subject,
        kind=found.kind,
        priority=Priority.CRITICAL,
        estate=found.estate,
        zone=None,
        resident=None,
        event_time=found.time,
        summary=found.explanation,
        synthetic=None,
        detection=found.id,
    )


async def serve_ours() -> None:
    """Serve the application with its live stream; no escalator, whose work is measured elsewhere."""
    dsn = SecretStr(os.environ["BENCH_DSN"])
    async with open_pool(dsn, "fan-api", 4) as pool, open_pool(dsn, "fan-live", 1) as live:
        hub = Hub(dsn, live, utc_now)
        app = create_app(Services(pool, hub, Passwords(), utc_now))
        with listening_socket(HOST, int(os.environ["BENCH_PORT"])) as bound:
            await asyncio.gather(hub.run(), serve_until_cancelled(app, bound, hub.close))


class Bare:
    """The least that an SSE server can be: every notice into every open response."""

    def __init__(self) -> None:
        self._sessions: set[asyncio.Queue[bytes]] = set()

    async def feed(self, dsn: str) -> None:
        """Pass each notice on."""
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute(f"LISTEN {BARE}".encode())
            async for notice in connection.notifies():
                frame = f"id: 1\nevent: raise\ndata: {notice.payload}\n\n".encode()
                for session in self._sessions:
                    session.put_nowait(frame)

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer one request for ever."""
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        self._sessions.add(mine)
        await send({"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": True})
        while True:
            await send({"type": "http.response.body", "body": await mine.get(), "more_body": True})


async def serve_bare() -> None:
    """Serve it with the same web server."""
    bare = Bare()
    port = int(os.environ["BENCH_PORT"])
    config = uvicorn.Config(bare, HOST, port, log_config=None, access_log=False, lifespan="off")
    feeding = asyncio.create_task(bare.feed(os.environ["BENCH_DSN"]))
    await uvicorn.Server(config).serve()
    feeding.cancel()


def read_all(port: int, told: str, tokens: list[str]) -> None:
    """Open every session, and note when each change came, until the process is ended.

    Plain epoll and no loop: with two cores the reader must cost little beside what it measures.
    """
    arrived: dict[str, list[float]] = {}
    sessions = [_Reading(port, tokens[number % len(tokens)]) for number in range(SESSIONS)]
    poll = select.epoll()
    for session in sessions:
        poll.register(session.socket, select.EPOLLIN)
    by_number = {session.socket.fileno(): session for session in sessions}
    waiting, stopped = set(by_number), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    while not stopped.is_set():
        for number, _ in poll.poll(0.2):
            by_number[number].read(arrived)
            if waiting and by_number[number].there:
                waiting.discard(number)
                if not waiting:
                    print("all there", flush=True)
    Path(told).write_text(json.dumps(arrived), encoding="utf-8")


class _Reading:
    """One session: what it has read so far of a frame."""

    def __init__(self, port: int, token: str) -> None:
        self.there = False
        self._rest = b""
        self.socket = socket.create_connection((HOST, port))
        head = f"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.socket.sendall(head.encode())

    def read(self, arrived: dict[str, list[float]]) -> None:
        """Take what is there."""
        got, at = self.socket.recv(1 << 16), time.monotonic()
        self.there = self.there or b"retry:" in got
        self._rest += got
        end = 0
        for match in _FRAME.finditer(self._rest):
            arrived.setdefault(match[1].decode(), []).append(at)
            end = match.end()
        self._rest = self._rest[max(end, len(self._rest) - 100) :]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours"]:
            asyncio.run(serve_ours())
        case ["bare"]:
            asyncio.run(serve_bare())
        case ["client", port, told, *tokens]:
            read_all(int(port), told, tokens)
