"""The whole platform as real processes on given servers, for smoke, stories and drills.

Neighbour: `deploy.embedded` does the same for a person at a terminal, with restarts; here a
process that ends is an error that the caller sees.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.embedded.children import OwnedProcess
from deploy.embedded.servers import HOST, free_port
from vigil.store.logins import FILE, LOGINS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

ROOT: Final = Path(__file__).parents[1]
READY_S: Final = 60.0


class NotReadyError(Exception):
    """A process ended or did not become ready; the message holds its last words."""


def migrate(environment: Mapping[str, str]) -> None:
    """Bring the schema of the addressed database up to date."""
    command = [sys.executable, "-m", "vigil.store", "migrate"]
    done = subprocess.run(
        command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotReadyError(f"migrations: {done.stderr}")


def own_logins(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Give each process its own login at the addressed database; returns their DSNs, by process."""
    command = [sys.executable, "-m", "vigil.store", "logins", str(folder)]
    subprocess.run(command, env=dict(environment), cwd=ROOT, capture_output=True, check=True)
    return {name: (folder / name / FILE).read_text(encoding="utf-8") for name in LOGINS}


@dataclass(slots=True)
class Household:
    """Processes that are started, awaited and ended together.

    Attributes:
        environment: The servers' addresses.
        folder: Logs and state.
    """

    environment: Mapping[str, str]
    folder: Path
    processes: dict[str, OwnedProcess] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, module: str, **settings: str) -> OwnedProcess:
        """Start a process with a free port for ops."""
        self.ports[name] = free_port()
        env = {**self.environment, "VIGIL_OPS_PORT": str(self.ports[name]), **settings}
        log = self.folder / "log" / f"{name}.log"
        self.processes[name] = OwnedProcess((sys.executable, "-m", module), log, env, ROOT)
        return self.processes[name]

    def readiness(self, name: str) -> str:
        """Return the URL that says whether a process can do its work."""
        return f"http://{HOST}:{self.ports[name]}/readyz"

    def wait_ready(self, *names: str, limit_s: float = READY_S) -> None:
        """Return when the named processes (all, if none is named) are ready.

        Raises:
            NotReadyError: One has ended, or the time is up.
        """
        deadline = time.monotonic() + limit_s
        for name in names or tuple(self.processes):
            while not _answers(self.readiness(name)):
                process = self.processes[name]
                if process.exit_status() is not None or time.monotonic() > deadline:
                    raise NotReadyError(f"{name}: {process.tail()}")
                time.sleep(0.1)

    def stop(self) -> None:
        """End all, the last started first."""
        for process in reversed(self.processes.values()):
            process.stop(10)

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End all."""
        self.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False
