"""Keeps servers and processes running; the heart of `make up`.

`Keeper` holds one of them: a death is one line and a new start after `backoff`.  `Household`
holds all, in the order in which they are started, and ends them in the opposite one.  Nothing
here waits: `__main__` calls `step` a few times a second and owns the clock.
"""

from __future__ import annotations

import http.client
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from deploy.embedded import backoff
from deploy.embedded.children import OwnedProcess, uninterrupted
from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PROCESS_STOP_S: Final = 8.0
"""Longest wait for one process to end what it is doing; nothing is lost if it is killed then."""
PROBE_S: Final = 1.0


class Kept(Protocol):
    """What a keeper needs of a server or a process."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    def launch(self) -> None:
        """Start it without waiting; raises Stop if it cannot be."""

    def stop(self) -> None:
        """End it gracefully, within a time limit."""

    def kill(self) -> None:
        """End it now."""

    def obituary(self) -> str:
        """Say how it ended, and its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """One of Vigil's processes.

    Attributes:
        name: Name in messages, and of its log.
        argv: Arguments after the Python interpreter.
        env: Its settings.
        ready_url: Answers 200 when it can do its work; None when nobody waits for it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready_url: str | None = None


class Program:
    """A child that can be started, looked at and ended."""

    def __init__(self, child: Child, log: Path, cwd: Path) -> None:
        """Name it; nothing is started.

        Args:
            child: What to run.
            log: Where its output goes.
            cwd: The repository, whose packages it imports.
        """
        self.child = child
        self._log = log
        self._cwd = cwd
        self._process: OwnedProcess | None = None

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.child.name

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.exit_status() is None else None

    def launch(self) -> None:
        """Start it.

        Raises:
            Stop: The log cannot be written (disk full) or the program not be opened.
        """
        argv = [sys.executable, *self.child.argv]
        try:
            with uninterrupted():
                self._process = OwnedProcess(argv, self._log, self.child.env, self._cwd)
        except OSError as error:
            raise Stop(f"{self.name}: cannot be started ({error})") from error

    def stop(self) -> None:
        """End it gracefully, within a time limit."""
        if self._process is not None:
            self._process.stop(PROCESS_STOP_S)

    def kill(self) -> None:
        """End it now."""
        if self._process is not None:
            self._process.kill()

    def obituary(self) -> str:
        """Say how it ended, and its last words."""
        if self._process is None:
            return "was never started"
        return self._process.obituary()

    def missing(self) -> str | None:
        """Say what is missing until it can do its work, or None."""
        if self.pid is None:
            return "does not run"
        return None if self.child.ready_url is None else probe(self.child.ready_url)


def probe(url: str) -> str | None:
    """Ask a `/readyz`; None means ready, else what it says is missing."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PROBE_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return None if answer.status == http.HTTPStatus.OK else _failed_checks(answer.read())
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer yet ({error})"
    finally:
        connection.close()


def _failed_checks(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return ", ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:200].decode(errors="replace")


@dataclass(slots=True)
class Keeper:
    """Holds one of them and starts it again when it died.

    Attributes:
        kept: The server or process.
        say: Prints one line.
        chance: Draws from [0, 1) for the jitter.
        failures: Deaths in a row.
        started_at: When it was last started, or None while it waits for `due_at`.
        due_at: When it is started again.
    """

    kept: Kept
    say: Callable[[str], None]
    chance: Callable[[], float]
    failures: int = 0
    started_at: float | None = None
    due_at: float = 0.0

    def step(self, now: float) -> None:
        """Start it if it is due, and notice its death.  Seconds of any monotonic clock."""
        if self.started_at is None:
            if now >= self.due_at:
                self._start(now)
        elif self.kept.pid is None:
            self._mourn(now, self.kept.obituary(), now - self.started_at)

    def _start(self, now: float) -> None:
        try:
            self.kept.launch()
        except Stop as error:
            self._mourn(now, str(error).removeprefix(f"{self.kept.name}: "), 0.0)
        else:
            self.started_at = now

    def _mourn(self, now: float, why: str, ran_s: float) -> None:
        self.failures = backoff.failures_after(self.failures, ran_s)
        wait_s = backoff.delay_s(self.failures, self.chance())
        self.started_at, self.due_at = None, now + wait_s
        self.say(f"{self.kept.name} {why}; it is started again in {wait_s:.1f} s")


@dataclass(slots=True)
class Household:
    """All that runs, in the order in which it was taken in.

    Attributes:
        say: Prints one line.
        chance: Draws from [0, 1) for the jitter.
    """

    say: Callable[[str], None]
    chance: Callable[[], float]
    _keepers: list[Keeper] = field(default_factory=list)

    def take_in(self, kept: Kept, now: float) -> None:
        """Hold one more: start it, or go on with it if it runs already."""
        started_at = None if kept.pid is None else now
        keeper = Keeper(kept, self.say, self.chance, started_at=started_at)
        self._keepers.append(keeper)
        keeper.step(now)

    def step(self, now: float) -> None:
        """Look at each once."""
        for keeper in self._keepers:
            keeper.step(now)

    def missing(self) -> Sequence[str]:
        """Say which processes cannot do their work yet, and why."""
        programs = [keeper.kept for keeper in self._keepers if isinstance(keeper.kept, Program)]
        return [f"{program.name}: {why}" for program in programs if (why := program.missing()) is not None]

    def stop(self) -> None:
        """End all, the last one first; a second Ctrl-C ends what is left at once."""
        try:
            for keeper in reversed(self._keepers):
                keeper.kept.stop()
        except KeyboardInterrupt:
            for keeper in reversed(self._keepers):
                keeper.kept.kill()
