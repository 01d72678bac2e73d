"""The platform that the drill breaks: real servers, real processes, killed and started again."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from api.passwords import digest, new_secret
from deploy.embedded.plan import server_probes
from deploy.embedded.seed import canaries, canary_rows
from deploy.embedded.servers import EmbeddedStack, free_port
from tests.drill.residents import COMMUNITY, ESTATES
from tests.making import EVERYTHING_ALERTS
from vigil.clock import utc_now
from vigil.roster import write_public_key
from vigil.store import accounts
from vigil.store.accounts import EVERY_ESTATE, NewAccount, Token
from vigil.store.pool import open_pool
from vigil.store.seed import put_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.real import RealStack


ROOT = Path(__file__).parents[2]
_A_DAY = timedelta(days=1)
PLATFORM = ("processors", "ingest", "api")
PROBED = len(PLATFORM) + 3
"""Services that the watchdog looks at: the processes, and the servers' ports."""
_WITH_US = ("setpriv", "--pdeathsig=KILL", "--") if shutil.which("setpriv") else ()
"""Whatever becomes of the drill, its processes end with it."""
CANARY_GOOD_S = 20.0
"""Instead of ten minutes, for which a drill of nine faults has no time."""
PASSPHRASE = "drill passphrase"


class Sink:
    """Takes the watchdog's notices, as a messenger would, and notes when they arrived."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, str]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.taken.append((time.time(), body["title"]))  # noqa: TID251 - wall clock, beside the log's
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"


@dataclass
class Running:
    """Everything that runs, by name."""

    folder: Path
    stack: EmbeddedStack | RealStack
    sink: Sink
    environment: dict[str, str]
    page: str
    state: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ops: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, member: str | None = None, **more: str) -> None:
        """Start a process of ours; a further member goes by a name of its own, with settings of its own."""
        own = {"VIGIL_OPS_PORT": str(self.ops[name])} | more
        environment = {**os.environ, **self.environment, **own}
        log = (self.folder / f"{member or name}.log").open("ab")
        with log:
            self.processes[member or name] = subprocess.Popen(
                [*_WITH_US, sys.executable, "-m", name], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a process of ours, if it runs."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def keep_up(self) -> None:
        """Start again what has ended by itself, as a supervisor does."""
        for name, process in list(self.processes.items()):
            if name in self.ops and process.poll() is not None:
                self.start(name)

    def sql(self, statement: str, *, superuser: bool = False) -> list[Any]:
        """Run a statement as the database's owner, or as the server's superuser."""
        postgres = self.stack.postgres
        with psycopg.connect(
            postgres.admin_dsn if superuser else postgres.dsn, autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def platform(
    folder: Path,
    tables: dict[str, list[dict[str, Any]]],
    staff: int,
    servers: Callable[[Path], EmbeddedStack | RealStack] = EmbeddedStack,
) -> Iterator[Running]:
    """Start servers and processes, and end all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    stack, sink = servers(folder / "servers"), Sink()
    key = Ed25519PrivateKey.generate()
    secret = folder / "roster.key"
    secret.touch(0o600)
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    secret.write_text(base64.b64encode(raw).decode())
    tokens = {"canary": new_secret(), "watchdog": new_secret()}
    nodes = canaries(COMMUNITY, list(ESTATES))
    api, page = free_port(), free_port()
    ops = {name: free_port() for name in (*PLATFORM, "fallback")}
    running = None
    try:
        stack.start()
        environment = {
            **stack.addresses.environment(),
            "VIGIL_API_PORT": str(api),
            "VIGIL_API_ROSTER_KEY": str(secret),
            "VIGIL_FALLBACK_STATE": str(folder / "watchdog.db"),
            "VIGIL_FALLBACK_API": f"http://127.0.0.1:{api}",
            "VIGIL_FALLBACK_PORT": str(page),
            "VIGIL_FALLBACK_PASSPHRASE": PASSPHRASE,
            "VIGIL_FALLBACK_TOKEN": tokens["canary"],
            "VIGIL_FALLBACK_ROSTER_TOKEN": tokens["watchdog"],
            "VIGIL_FALLBACK_ROSTER_KEY": write_public_key(key.public_key()),
            "VIGIL_FALLBACK_CANARIES": ",".join(f"{n.community}/{n.estate}/{n.node}" for n in nodes),
            "VIGIL_FALLBACK_PROBES": ",".join(
                [
                    *(f"{name}=http://127.0.0.1:{ops[name]}/readyz" for name in PLATFORM),
                    *server_probes(stack.addresses.environment()),
                ]
            ),
            "VIGIL_FALLBACK_NOTIFY": sink.url,
            "VIGIL_FALLBACK_PACKS": f"{folder / 'pack-a'},{folder / 'pack-b'}",
            "VIGIL_FALLBACK_CANARY_GOOD_S": str(CANARY_GOOD_S),
        }
        running = Running(
            folder, stack, sink, environment, f"http://127.0.0.1:{page}", folder / "watchdog.db", ops=ops
        )
        _migrate(environment)
        asyncio.run(_seed(stack.addresses.database_dsn, tables, canary_rows(nodes), tokens, staff))
        for name in (*PLATFORM, "fallback"):
            running.start(name)
        yield running
    finally:
        if running is not None:
            for name in list(running.processes):
                running.end(name, signal.SIGTERM)
        stack.stop()
        sink.server.shutdown()
        sink.server.server_close()


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "vigil.store", "migrate"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)


async def _seed(
    dsn: str,
    tables: dict[str, list[dict[str, Any]]],
    canary_tables: dict[str, list[dict[str, Any]]],
    tokens: dict[str, str],
    staff: int,
) -> None:
    now = utc_now()
    async with open_pool(SecretStr(dsn), "seed", 1) as pool, pool.transaction() as connection:
        await put_rows(connection, tables)
        await put_rows(connection, canary_tables)
        await connection.execute(EVERYTHING_ALERTS)
        for role, secret in tokens.items():
            await accounts.put_token(
                connection, Token(role, role, [EVERY_ESTATE]), digest(secret), now, now + _A_DAY
            )
        for number in range(staff):
            new = NewAccount(
                f"grid{number}", f"网格员{number + 1}", "grid_worker", (EVERY_ESTATE,), f"000-8{number:03d}"
            )
            await accounts.put_account(connection, new, None)
