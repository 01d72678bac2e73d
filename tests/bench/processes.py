"""Child processes that are pinned to a core, frozen and thawed, and whose CPU time is read."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT: Final = Path(__file__).parents[2]
CORES: Final = sorted(os.sched_getaffinity(0))
PATIENCE_S: Final = 600.0


class BenchError(Exception):
    """A contender did not do what was to be measured; the message says what it said last."""


@dataclass(frozen=True, slots=True)
class Took:
    """How long a piece of work took, and what it cost the contender's process."""

    wall_s: float
    cpu_s: float
    events: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an event."""
        return self.cpu_s / self.events * 1e6


class Child:
    """A process of ours or a peer's; its output goes to a log."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        core: int | None = None,
    ) -> None:
        """Start it, on one core where one is named."""
        log.parent.mkdir(parents=True, exist_ok=True)
        pin = ["taskset", "-c", str(core)] if core is not None and len(CORES) > 1 else []
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*pin, *argv], stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=ROOT,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        self.process = psutil.Process(self._popen.pid)

    def cpu_s(self) -> float:
        """Return the CPU time it and its children have used."""
        return cpu_s(self._popen.pid)

    def rss_mb(self) -> float:
        """Return its resident memory in MB."""
        return float(self.process.memory_info().rss) / 1e6

    def freeze(self) -> None:
        """Stop it where it stands, connections and all."""
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise if it has ended."""
        if self._popen.poll() is not None:
            raise BenchError(f"{self.log.stem} ended with {self._popen.returncode}: {self.tail()}")

    def tail(self) -> str:
        """Return its last words."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it, gracefully first."""
        self.thaw()
        self._popen.terminate()
        try:
            self._popen.wait(8)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def python(*argv: str) -> list[str]:
    """Return the command of one of our own modules."""
    return [sys.executable, "-m", *argv]


def cpu_s(pid: int | None) -> float:
    """Return the CPU time that a process and its living children have used."""
    if pid is None:
        return 0.0
    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def wait_for(
    what: str,
    condition: Callable[[], bool],
    *children: Child,
    limit_s: float = PATIENCE_S,
    look_s: float = 0.02,
) -> None:
    """Return when a condition holds.

    Raises:
        BenchError: A child has ended, or the time is up.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {limit_s:.0f} s; {[c.tail() for c in children]}")
        time.sleep(look_s)


def median(values: Sequence[float]) -> float:
    """Return the middle of what the rounds gave."""
    return statistics.median(values)
