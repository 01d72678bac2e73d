"""TimescaleDB for tests of migrations and queries, in WebAssembly (`pglite/`, brought by npm).

It is TimescaleDB 2.23 on PostgreSQL 17.  What it cannot do: COPY; more than one connection at
a time (the next waits for the end of the one before); several databases (it serves one,
whatever name is asked for) or logins (everybody is `postgres`; SET ROLE works); extensions
other than timescaledb; background jobs (CALL run_job works).
`VIGIL_TEST_TIMESCALE_DSN` names a real server instead; see the fixture `timescale`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from deploy.embedded.servers import HOST, ServerError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE: Final = Path(__file__).parent / "pglite"
_CACHE: Final = Path(__file__).parents[2] / "var/timescale"


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    absent = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(absent)} not installed (apt-get install npm)" if absent else None


def _installed() -> Path:
    """Return the folder where npm put the server, one per content of `pglite/`; install if new."""
    content = b"".join(file.read_bytes() for file in sorted(_SOURCE.iterdir()))
    folder = _CACHE / hashlib.sha256(content).hexdigest()[:16]
    if not (folder / "complete").exists():
        shutil.copytree(_SOURCE, folder, dirs_exist_ok=True)
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(["npm", "install", *options], cwd=folder, check=True, stdin=subprocess.DEVNULL)
        (folder / "complete").touch()
    return folder


class WasmTimescale(ServerProcess):
    """A TimescaleDB on the loopback; its data are files, and survive a kill."""

    name: ClassVar[str] = "timescale"

    @property
    def dsn(self) -> str:
        """Where clients find it; it asks for a password and takes any."""
        return f"postgresql://postgres:any@{HOST}:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """Its data folder; copied from a stopped server, it spares another one the making."""
        return self.folder / "data"

    def _prepare(self) -> Sequence[str]:
        reason = missing()
        if reason is not None:
            raise ServerError(self.name, reason)
        return ["node", str(_installed() / "server.mjs"), str(self.data), str(self.port)]
