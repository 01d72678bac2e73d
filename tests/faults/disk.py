"""A disk that can be full: a small tmpfs where root may mount one, else a limit on file sizes.

The spool of one box lies on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.faults.cluster import Cluster

MEGABYTES: Final = 192
"""Spools of earlier rounds stay on it for the count, some 5 MB each with SQLite's log: in 48 MB those of
ten rounds left no room, and the box of the eleventh could never take its receipts."""


class SmallDisk:
    """Mounted while the context lasts; where that cannot be, an ordinary folder that is never full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def __enter__(self) -> Self:
        """Mount it."""
        self.folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(self.folder)]
        if os.geteuid() == 0 and shutil.which("mount"):
            self.mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(self, *_exception: object) -> None:
        """Unmount it."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def spool(self, name: str) -> Path:
        """Return where a box's spool lies on it."""
        return self.folder / f"{name}.db"

    def fill(self, _cluster: Cluster, _rng: Random) -> None:
        """Fill it for some seconds, so that nothing more can be accepted, and free it again."""
        if not self.mounted:
            raise RuntimeError("no small disk could be mounted here (needs root); this fault was not played")
        ballast = self.folder / "ballast"
        # Unbuffered: closing would try once more to write what had no room.
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))
        time.sleep(4)
        ballast.unlink()
