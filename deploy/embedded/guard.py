"""The last resort: ends processes whose owner is gone, even if it was killed outright.

Runs as a process of its own, started by `deploy.embedded.children`.  Each child writes `+PID`
before it becomes its program, and the owner `-PID` for each one it has seen end.  The pipe
closes when the owner dies, however it dies; what is still on the list then is killed.  (Linux's PR_SET_PDEATHSIG
would do without a process, but it fires when the *thread* that forked ends, is cleared by a
change of user, and does not exist on macOS.)
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import Final

import psutil

WAIT_S: Final = 5.0
"""How long killed processes may take to vanish; the kernel needs milliseconds."""


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all its descendants, and wait until they run no more.

    Descendants are looked up rather than signalled as a group, because each PostgreSQL backend
    makes itself a session of its own.  The root is frozen first, so that it forks no more.
    """
    try:
        root = psutil.Process(pid)
        root.suspend()
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + WAIT_S
    while any(runs(process) for process in family) and time.monotonic() < deadline:
        time.sleep(0.005)


def runs(process: psutil.Process) -> bool:
    """Whether it still executes; a zombie only waits for somebody to read its exit status."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Keep the list until the owner's end of the pipe closes, then end what is on it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    alive: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            alive.add(pid)
        else:
            alive.discard(pid)
    for pid in alive:
        kill_tree(pid)


if __name__ == "__main__":
    main()
