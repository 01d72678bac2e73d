"""What to run, what to keep and where to begin: everything of a backup that needs no I/O.

Neighbour: `__main__` runs it.

The folder
----------
`base/20261124T031500Z` is a copy of the data directory, named after the moment at which it was
begun (UTC).  `wal/` holds the log's segments as `pg_receivewal` writes them; the one it is at ends with
`.partial`, and is restored as well: it holds the last seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from pathlib import Path

SLOT: Final = "vigil_wal"
"""Name of the replication slot and of the stream: what `synchronous_standby_names` may name."""
BASE_EVERY_H: Final = 24
STALE_BASE_H: Final = 26
"""A base a day, and two hours for it to be made: older than this, one has failed."""
STALE_WAL_S: Final = 60.0
"""The objective: at most a minute of people's acts may be lost (issue 10)."""
LEAST_BASES: Final = 2
"""Kept whatever their age: the newest one may turn out to be unreadable."""
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_SEGMENT: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_START: Final = re.compile(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$", re.MULTILINE)
_SEGMENTS_A_FILE_ID: Final = 256
"""Of 16 MB, PostgreSQL's default: the log's number counts on after so many."""


@dataclass(frozen=True, slots=True)
class Server:
    """How PostgreSQL's programs find the server.

    Attributes:
        address: The DSN without its password, which would stand in the list of processes.
        environment: Where the password goes instead.
    """

    address: str
    environment: dict[str, str]


def server(dsn: str) -> Server:
    """Part a DSN from its password, and give the stream its name."""
    parts = urlsplit(dsn)
    account, _, place = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    query = "&".join(filter(None, [parts.query, f"application_name={SLOT}"]))
    address = urlunsplit(parts._replace(netloc=f"{user}@{place}" if user else place, query=query))
    return Server(address, {"PGPASSWORD": unquote(password)} if password else {})


def slot_command(address: str) -> list[str]:
    """Make the slot that keeps the server from dropping what was not streamed yet."""
    return ["pg_receivewal", "-d", address, "-w", "--slot", SLOT, "--create-slot", "--if-not-exists"]


def stream_command(address: str, wal: Path) -> list[str]:
    """Stream the log; each write is flushed and told at once, so that a commit may wait for it."""
    return [
        "pg_receivewal", "-d", address, "-w", "-D", str(wal), "--slot", SLOT, "--synchronous", "--no-loop",
    ]  # fmt: skip


def base_command(address: str, folder: Path) -> list[str]:
    """Copy the data directory, with as much of the log as makes the copy whole by itself."""
    return [
        "pg_basebackup", "-d", address, "-w", "-D", str(folder), "--format=plain", "--wal-method=stream",
        "--checkpoint=fast", "--manifest-checksums=SHA256", "--label=vigil",
    ]  # fmt: skip


def stamp(now: datetime) -> str:
    """Name a base backup."""
    return now.strftime(_STAMP)


def begun(name: str) -> datetime | None:
    """Return when a base backup was begun, None for a folder that is none."""
    try:
        return datetime.strptime(name, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def bases(names: Iterable[str]) -> list[str]:
    """Return the base backups among the names, oldest first."""
    return sorted(name for name in names if begun(name) is not None)


def chosen(names: Iterable[str], until: datetime | None) -> str:
    """Return the base to restore: the newest, or the newest that was begun before a moment.

    Raises:
        Stop: There is none.
    """
    found = [name for name in bases(names) if until is None or (begun(name) or until) < until]
    if not found:
        raise Stop(
            "there is no base backup" + (f" from before {until:%Y-%m-%d %H:%M:%S} UTC" if until else "")
        )
    return found[-1]


def outlived(names: Iterable[str], keep: timedelta, now: datetime) -> list[str]:
    """Return the base backups to remove: what people had erased must leave the backups too."""
    found = bases(names)
    return [name for name in found[:-LEAST_BASES] if (begun(name) or now) < now - keep]


def first_segment(label: str) -> str:
    """Return the segment that a base backup begins in, from its `backup_label`.

    Raises:
        Stop: The file is none.
    """
    if (found := _START.search(label)) is None:
        raise Stop("backup_label does not say where the base backup begins: it is not whole")
    return found[1]


def missing(names: Iterable[str], first: str) -> str | None:
    """Return the first segment that the stream lacks from `first` on, whatever the timeline.

    Args:
        names: Files of the folder.
        first: Segment that the base begins in.
    """
    there = sorted({_number(m) for m in map(_SEGMENT.fullmatch, names) if m is not None})
    start = _number(_SEGMENT.fullmatch(first))
    expected = start
    for number in there:
        if number > expected:
            break
        expected = max(expected, number + 1)
    if expected > start and (not there or expected > there[-1]):
        return None
    return "{:08X}{:08X}".format(*divmod(expected, _SEGMENTS_A_FILE_ID))


def _number(segment: re.Match[str] | None) -> int:
    if segment is None:
        raise Stop("that is no segment of the log")
    return int(segment[2], 16) * _SEGMENTS_A_FILE_ID + int(segment[3], 16)


def recovery_settings(wal: Path, until: datetime | None) -> str:
    """Return the lines by which PostgreSQL finds the log and stops at its end, or at a moment.

    Each is written every time: a setting of an earlier restoration stands in the copy, and of two the
    last one counts.

    Raises:
        Stop: The folder's name cannot stand in a shell command.
    """
    if re.search(r"[^A-Za-z0-9_./+-]", str(wal)):
        raise Stop(f"{wal}: a folder of backups may have letters, digits and _ . / + - in its name only")
    moment = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00") if until else ""
    return "\n".join(
        [
            "",
            "# Written by python -m deploy.backup restore.",
            f"restore_command = 'cp {wal}/%f %p 2>/dev/null || cp {wal}/%f.partial %p 2>/dev/null'",
            "recovery_target_timeline = 'latest'",
            f"recovery_target_time = '{moment}'",
            "recovery_target_action = 'promote'",
            "",
        ]
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in one line."""

    good: bool
    says: str


def judged(
    newest: datetime | None, streamed: datetime | None, gap: str | None, now: datetime
) -> Sequence[Finding]:
    """Say whether these backups would do.

    Args:
        newest: When the newest base was begun, None: there is none.
        streamed: When the stream was last written.
        gap: The first segment that is missing behind that base.
        now: Present time.
    """
    return [_base_age(newest, now), _stream_age(streamed, now), _whole(gap)]


def _base_age(newest: datetime | None, now: datetime) -> Finding:
    if newest is None:
        return Finding(good=False, says="there is no base backup: run python -m deploy.backup base")
    hours = (now - newest).total_seconds() / 3600
    return Finding(
        good=hours <= STALE_BASE_H,
        says=f"the newest base backup is {hours:.1f} h old (at most {STALE_BASE_H})",
    )


def _stream_age(streamed: datetime | None, now: datetime) -> Finding:
    if streamed is None:
        return Finding(good=False, says="nothing of the log was streamed: is vigil-wal.service running?")
    seconds = (now - streamed).total_seconds()
    good = seconds <= STALE_WAL_S
    return Finding(good, f"the log was streamed up to {seconds:.0f} s ago (at most {STALE_WAL_S:.0f})")


def _whole(gap: str | None) -> Finding:
    if gap is None:
        return Finding(good=True, says="the log has no gap behind that base backup")
    return Finding(good=False, says=f"segment {gap} of the log is missing: make a new base backup now")
