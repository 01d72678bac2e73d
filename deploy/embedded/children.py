"""Child processes that write to a log file and never outlive their owner.

Used by `deploy.embedded.servers` for the servers and by `deploy.embedded.supervisor` for
Vigil's own processes.  Each child leads a session of its own, so that Ctrl-C in the terminal
reaches the owner alone, which then ends its children in order.  `deploy.embedded.guard` ends
them if the owner cannot.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from deploy.embedded.guard import kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO

LOG_BYTES: Final = 10 * 1024 * 1024
"""A log longer than this is put aside (one generation) when its process starts again."""
TAIL_LINES: Final = 5
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPORT: Final = 'echo "+$$" >&0; exec "$@" </dev/null'
"""A child's first act (its standard input is the guard's pipe).  It reports itself, because its
owner may be killed before it could; and until it has, it holds the pipe open, so that the guard
waits for it."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and its like until a new child is on the books.

    Otherwise a KeyboardInterrupt between the fork and the assignment leaves a process that
    nobody knows.  (Blocking the signals would be simpler, but the child would inherit that.)
    """
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda ended_by, _frame: held.append(ended_by))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for received in held:
            signal.raise_signal(received)


class Guard:
    """Our end of the pipe to the process that cleans up behind us."""

    def __init__(self) -> None:
        self._alive: set[int] = set()
        self._process = self._start()

    def pipe(self) -> int:
        """Give the descriptor by which a child reports itself before it becomes its program."""
        if self._process.poll() is not None:  # somebody killed it: a new one learns the whole list
            self._process = self._start()
            self._write("".join(f"+{pid}\n" for pid in sorted(self._alive)))
        pipe = cast("IO[bytes]", self._process.stdin)
        return pipe.fileno()

    def remember(self, pid: int) -> None:
        """Keep what the child has reported, for a guard that replaces this one."""
        self._alive.add(pid)

    def forget(self, pid: int) -> None:
        """This process has ended, and its number may be given to another."""
        self._alive.discard(pid)
        self.pipe()
        self._write(f"-{pid}\n")

    def _write(self, lines: str) -> None:
        pipe = cast("IO[bytes]", self._process.stdin)
        pipe.write(lines.encode())
        pipe.flush()

    def close(self) -> None:
        """Close our end and wait: whatever we have left running is ended by then."""
        with contextlib.suppress(BrokenPipeError):  # it was killed, and there is nobody to tell
            cast("IO[bytes]", self._process.stdin).close()
        self._process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("guard.py")
        return subprocess.Popen(
            [sys.executable, "-I", str(script)], stdin=subprocess.PIPE, start_new_session=True
        )


@functools.cache
def _guard() -> Guard:
    """One per process, as the children's numbers are; a process without children has none."""
    guard = Guard()
    atexit.register(guard.close)
    return guard


class OwnedProcess:
    """One running process.

    Attributes:
        log: Where its output goes.
    """

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start it.

        Args:
            argv: Program and arguments.
            log: File its output is added to.
            env: Variables added to our own environment.
            cwd: Where it runs.

        Raises:
            OSError: The log file cannot be opened.  (A program that cannot be opened ends at
                once with status 127, and its last words say why.)
        """
        self.log = log
        self._watched = True
        rotate(log)
        guard = _guard()
        with log.open("ab") as output, uninterrupted():
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", REPORT, "sh", *argv],
                stdin=guard.pipe(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
            self.pid = self._process.pid
            guard.remember(self.pid)

    def exit_status(self) -> int | None:
        """How it ended (negative: the signal), or None while it runs."""
        status = self._process.poll()
        if status is not None and self._watched:
            self._watched = False
            _guard().forget(self.pid)
        return status

    def stop(self, limit_s: float, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and kill it and its descendants after the time limit."""
        if self.exit_status() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self.exit_status()

    def kill(self) -> None:
        """SIGKILL it and its descendants."""
        if self.exit_status() is None:
            kill_tree(self.pid)
            self._process.wait()
        self.exit_status()

    def obituary(self) -> str:
        """Say in one line how it ended, and its last words if it ended by itself."""
        status = self.exit_status() or 0
        if status < 0:
            return f"was killed by signal {-status} (log: {self.log})"
        last = self.tail().rsplit(" | ", 1)[-1]
        return f"ended with status {status} ({last or 'it said nothing'}; log: {self.log})"

    def output(self) -> bytes:
        """Give all it wrote since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    def tail(self) -> str:
        """Give the last lines it wrote since it was started, on one line."""
        text = self.output()[-4096:].decode(errors="replace")
        lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
        return " | ".join(lines[-TAIL_LINES:])


def rotate(log: Path) -> None:
    """Put a long log aside, so that the folder does not grow for ever."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(log.suffix + ".1"))
