"""PostgreSQL as Debian packages it (15 or later), with a cluster of its own in a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.embedded.servers import Postgres, ServerError, run_as_nobody

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL: Final = "PostgreSQL is not installed (apt-get install postgresql)"


def programs() -> Path | None:
    """Return the folder of the newest installed server's programs."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    return None if programs() else INSTALL


class DebianPostgres(Postgres):
    """The embedded server's twin: same roles, passwords and databases, another build."""

    def __init__(self, folder: Path, port: int = 0, *, fsync: bool = False) -> None:
        """Name its folder and its port (0: a free one).

        Args:
            folder: As for the embedded one.
            port: Kept over restarts.
            fsync: Whether a commit waits for the disk.  Without, a killed server still loses
                nothing (the kernel has the pages), and tests are faster.
        """
        super().__init__(folder, port)
        self._fsync = "on" if fsync else "off"

    def _prepare(self) -> Sequence[str]:
        # Of two values for one setting the last one counts.
        return [*super()._prepare(), "-c", f"fsync={self._fsync}"]

    def _create(self) -> None:
        new = self.folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        self._run(
            "initdb", "-D", str(new), "--username=postgres", f"--pwfile={self.folder / 'postgres.password'}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        role = f"CREATE ROLE vigil LOGIN CREATEDB CREATEROLE PASSWORD '{self._password('vigil')}';\n"
        database = "CREATE DATABASE vigil OWNER vigil;\n"
        self._run("postgres", "--single", "-F", "-D", str(new), "postgres", text=role + database)
        new.rename(self._data)

    def _as_account(self, program: str, *argv: str) -> list[str]:
        folder = programs()
        if folder is None:
            raise ServerError(self.name, INSTALL)
        command = [str(folder / program), *argv]
        return [*run_as_nobody(self.folder, folder / program), *command] if os.geteuid() == 0 else command
