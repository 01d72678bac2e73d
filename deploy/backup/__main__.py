"""`python -m deploy.backup`: keep the database twice, and bring it back.

    wal                         stream the log for ever (a service)
    base                        make a base backup, and check it (a timer, daily)
    prune                       remove what is older than VIGIL_BACKUP_KEEP_DAYS
    check                       say whether what is there would do; ends with 1 if it would not
    restore DATA [--until T]    fill an empty data directory; start PostgreSQL on it afterwards

`plan` decides; this runs PostgreSQL's own programs.  VIGIL_BACKUP_DSN is a role with REPLICATION,
VIGIL_BACKUP_FOLDER lies on another disk than the database, better on another host.
docs/howto/backup.md is the way through a restoration.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Gauge

from deploy.backup import plan
from vigil.clock import utc_now
from vigil.errors import Stop, Unavailable
from vigil.runtime import retrying, run_until_stopped
from vigil.settings import BackupSettings, load
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAUSE_S: Final = 1.0
LOOK_S: Final = 5.0
_streamed = Gauge(
    "vigil_backup_wal_timestamp_seconds", "When the stream of the database's log was last written."
)
_base = Gauge("vigil_backup_base_timestamp_seconds", "When the newest base backup was begun.")
_log = structlog.get_logger(__name__)


class Backups:
    """The folder, and PostgreSQL's programs."""

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings
        self.base, self.wal = settings.backup_folder / "base", settings.backup_folder / "wal"
        self.server = plan.server(settings.backup_dsn.get_secret_value())

    def prepare(self) -> None:
        """Make the folders; they hold what the database holds, and are as closed.

        Raises:
            Stop: They cannot be made.
        """
        try:
            for folder in (self._settings.backup_folder, self.base, self.wal):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"VIGIL_BACKUP_FOLDER: {error}") from None

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return a command with the program's place."""
        folder = self._settings.backup_programs
        return [str(folder / argv[0]) if folder else argv[0], *argv[1:]]

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, and the password."""
        return {**os.environ, **self.server.environment}

    def run(self, argv: Sequence[str]) -> None:
        """Run one of the programs to its end.

        Raises:
            Stop: It failed; the sentence ends with its last words.
        """
        try:
            done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs, with arguments of ours
                self.command(argv), env=self.environment, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise Stop(f"{argv[0]}: {error.strerror} (VIGIL_BACKUP_PROGRAMS names its folder)") from None
        if done.returncode:
            raise Stop(f"{argv[0]} failed: {' | '.join(done.stderr.splitlines()[-3:])}")

    def names(self) -> list[str]:
        """Return the base backups, oldest first."""
        return plan.bases(path.name for path in self.base.iterdir()) if self.base.is_dir() else []

    def newest(self) -> datetime | None:
        """Return when the newest base was begun."""
        return plan.begun(names[-1]) if (names := self.names()) else None

    def streamed(self) -> datetime | None:
        """Return when the stream was last written."""
        times = [path.stat().st_mtime for path in self.wal.glob("*")]
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def first_segment(self, name: str) -> str:
        """Return the segment that a base begins in.

        Raises:
            Stop: The base is not whole.
        """
        try:
            return plan.first_segment((self.base / name / "backup_label").read_text(encoding="utf-8"))
        except OSError as error:
            raise Stop(f"base backup {name}: {error.strerror}") from None

    def make_base(self, now: datetime) -> str:
        """Make a base backup and check every file of it; it has its name only when it is good.

        Raises:
            Stop: It failed, and nothing is left of it.
        """
        fresh = self.base / "new"
        shutil.rmtree(fresh, ignore_errors=True)
        self.run(plan.base_command(self.server.address, fresh))
        self.run(["pg_verifybackup", "--quiet", str(fresh)])
        fresh.rename(self.base / plan.stamp(now))
        return plan.stamp(now)

    def prune(self, now: datetime) -> list[str]:
        """Remove what has outlived its time, and the log before the oldest base that is left."""
        gone = plan.outlived(self.names(), timedelta(days=self._settings.backup_keep_days), now)
        for name in gone:
            shutil.rmtree(self.base / name)
        if names := self.names():
            self.run(["pg_archivecleanup", str(self.wal), self.first_segment(names[0])])
        return gone

    def check(self, now: datetime) -> Sequence[plan.Finding]:
        """Say whether what is there would do."""
        names = self.names()
        gap = None
        if names:
            gap = plan.missing((path.name for path in self.wal.glob("*")), self.first_segment(names[-1]))
        return plan.judged(self.newest(), self.streamed(), gap, now)

    def restore(self, data: Path, until: datetime | None) -> str:
        """Fill an empty data directory, so that PostgreSQL recovers when it is started on it.

        Raises:
            Stop: It is not empty, or there is no base backup.
        """
        if data.exists() and any(data.iterdir()):
            raise Stop(f"{data} is not empty; put it aside first, it may still be wanted")
        settings = plan.recovery_settings(self.wal.absolute(), until)
        name = plan.chosen(self.names(), until)
        if (self.base / name / "tablespace_map").exists():
            raise Stop(f"base backup {name} has tablespaces: put each in its place by hand")
        shutil.copytree(self.base / name, data, symlinks=True, dirs_exist_ok=True)
        data.chmod(0o700)
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(settings)
        (data / "recovery.signal").touch()
        os.sync()
        return name


async def _stay(backups: Backups) -> None:
    """Stream once, until the server or the connection ends."""
    await asyncio.to_thread(_slot, backups)
    command = backups.command(plan.stream_command(backups.server.address, backups.wal))
    child = await asyncio.create_subprocess_exec(*command, env=backups.environment)
    try:
        status = await child.wait()
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
    _log.warning("the stream of the log ended", status=status)


def _slot(backups: Backups) -> None:
    try:
        backups.run(plan.slot_command(backups.server.address))
    except Stop as error:
        raise Unavailable("PostgreSQL", error) from None


async def stream(backups: Backups) -> None:
    """Stream for ever; after a restoration the slot is made anew."""
    while True:
        await retrying(lambda: _stay(backups))
        await asyncio.sleep(PAUSE_S)


async def watch(backups: Backups) -> None:
    """Say for ever how old what is there is."""
    while True:
        for gauge, at in ((_streamed, backups.streamed()), (_base, backups.newest())):
            gauge.set(at.timestamp() if at else 0)
        await asyncio.sleep(LOOK_S)


def _trouble(backups: Backups) -> str | None:
    bad = [finding.says for finding in backups.check(utc_now()) if not finding.good]
    return "; ".join(bad) or None


def _serve(backups: Backups, settings: BackupSettings) -> int:
    configure_logging("backup", settings.log_format, settings.log_level)
    with ops_server(settings.ops_host, settings.ops_port, {"backups": lambda: _trouble(backups)}):
        asyncio.run(run_until_stopped(stream(backups), watch(backups)))
    return 0


def _say(backups: Backups) -> int:
    found = backups.check(utc_now())
    for finding in found:
        print(f"{'ok ' if finding.good else 'BAD'} {finding.says}")
    return 0 if all(finding.good for finding in found) else 1


def _restore(backups: Backups, data: Path, until: datetime | None) -> int:
    name = backups.restore(data, until)
    print(f"{data} is base backup {name}; the log is read when PostgreSQL starts on it")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command named on the command line; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = load(BackupSettings)
        backups = Backups(settings)
        backups.prepare()
        match chosen.command:
            case "wal":
                return _serve(backups, settings)
            case "base":
                print(f"base backup {backups.make_base(utc_now())} is there and checked")
            case "prune":
                print(f"removed: {', '.join(backups.prune(utc_now())) or 'nothing'}")
            case "check":
                return _say(backups)
            case _:
                return _restore(backups, chosen.data, chosen.until)
    except Stop as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("wal", "base", "prune", "check"):
        commands.add_parser(name)
    restore = commands.add_parser("restore")
    restore.add_argument("data", type=Path)
    restore.add_argument("--until", type=_moment, help="a moment, such as 2026-11-24T03:15:00+08:00")
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone")
    return moment


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
