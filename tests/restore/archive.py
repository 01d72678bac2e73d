"""Backups of a test's PostgreSQL by the product's own command, as the account that runs the server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from deploy.backup.plan import SLOT
from deploy.embedded.children import OwnedProcess
from deploy.embedded.servers import free_port, run_as_nobody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.embedded.servers import Postgres

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 60.0


class Archive:
    """A folder of backups beside the server, and the stream into it."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.folder = server, folder
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self._stream: OwnedProcess | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Settings of the command."""
        programs = Path(self.server._as_account("initdb")[-1]).parent
        return {
            "VIGIL_BACKUP_DSN": self.server.admin_dsn,
            "VIGIL_BACKUP_FOLDER": str(self.folder),
            "VIGIL_BACKUP_PROGRAMS": str(programs),
            "VIGIL_OPS_PORT": str(self.port),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _command(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "deploy.backup", *arguments]
        return (
            [*run_as_nobody(self.folder, ROOT, Path(sys.executable)), *command]
            if os.geteuid() == 0
            else command
        )

    def run(self, *arguments: str) -> str:
        """Run a command to its end; return what it said.

        Raises:
            RuntimeError: It failed.
        """
        done = subprocess.run(
            self._command(*arguments), env={**os.environ, **self.environment}, cwd=ROOT,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"deploy.backup {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def stream(self) -> None:
        """Begin to stream the log, and wait until the server sees it."""
        if self._stream is None or self._stream.exit_status() is not None:
            log = self.folder.parent / "log" / "wal.log"
            self._stream = OwnedProcess(self._command("wal"), log, self.environment, ROOT)
        self.wait_streaming()

    def wait_streaming(self) -> None:
        """Return when the server streams to us.

        Raises:
            RuntimeError: It does not.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.streaming():
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"nothing is streamed: {self._stream.tail() if self._stream else 'not begun'}"
                )
            time.sleep(0.05)

    def streaming(self) -> bool:
        """Return whether the server streams to us."""
        try:
            with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'",
                    [SLOT],
                )
                return found.fetchone() is not None
        except psycopg.OperationalError:
            return False

    def cut(self) -> None:
        """End the stream at once, as when the network to the backup's host breaks."""
        if self._stream is not None:
            self._stream.kill()

    def synchronous(self, *, on: bool) -> None:
        """Let every commit wait for the stream, or none."""
        with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
            connection.execute(
                f"ALTER SYSTEM SET synchronous_standby_names = '{SLOT if on else ''}'".encode()
            )
            connection.execute("SELECT pg_reload_conf()")

    def destroy(self) -> None:
        """Kill the server and delete its data directory."""
        self.server.kill()
        shutil.rmtree(self.server.folder / "data")

    def restore(self) -> None:
        """Bring the data directory back and start the server on it, at the same address."""
        self.run("restore", str(self.server.folder / "data"))
        self.server.start()
