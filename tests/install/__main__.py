"""`make install-check`: build a Debian package, install it by dpkg into an empty folder, start what is in it.

PART names the package (fallback by default).  The last line is JSON: how many wheels, how large,
how long, and that the installed programs import from the folder and answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.packages import debian
from deploy.packages.__main__ import deb, wheelhouse
from deploy.processes.table import PROCESSES

STARTED_S: Final = 30.0
"""A process that takes no arguments and has not ended by then has imported all it needs."""
ROOMS: Final = {
    "platform": ("ingest", "processors", "api", "vigil.store"),
    "fallback": ("fallback",),
    "edge": ("edge",),
}


def run(
    *argv: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    limit_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Raises:
        subprocess.TimeoutExpired: It was not at its end by the limit, and was ended.
    """
    command = [str(part) for part in argv]
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=limit_s
    )


def install(package: Path, root: Path) -> None:
    """Install by dpkg, its scripts included, below a folder.

    Raises:
        RuntimeError: It failed.
    """
    (root / "var/lib/dpkg/updates").mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    forced = "--force-script-chrootless,not-root,depends,bad-path"
    # Debian's own python3 makes the environment; which Python the tests run on is another matter.
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    done = run("dpkg", f"--root={root}", forced, "--install", package, env={**os.environ, "PATH": path})
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def starts(root: Path, module: str) -> str:
    """Return what a program says that is started from the folder without any setting.

    Raises:
        RuntimeError: It is another program, or it ended with a traceback.
    """
    python = root / "opt/vigil/bin/python"
    clean = {"PATH": "/usr/bin:/bin"}
    where = run(
        python, "-I", "-c", f"import {module} as m; print(m.__file__)", env=clean, cwd=root
    ).stdout.strip()
    if not where.startswith(str(root)):
        raise RuntimeError(f"{module} is {where or 'not there'}")
    try:
        done = run(python, "-m", module, "--help", env=clean, cwd=root, limit_s=STARTED_S)
    except subprocess.TimeoutExpired:
        return f"runs, and waits for its servers (ended after {STARTED_S:.0f} s)"
    if "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def main() -> int:
    """Install, and start everything of the part."""
    part = os.environ.get("PART", "fallback")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vigil-install-") as name:
        folder = Path(name)
        wheelhouse([part], folder / "wheelhouse")
        package = deb(part, folder / "wheelhouse", folder)
        root = folder / "root"
        install(package, root)
        said = {module: starts(root, module) for module in ROOMS[part]}
        units = {path.name for path in (root / debian.UNITS).iterdir()}
        started = {f"vigil-{p.name}.service" for p in PROCESSES if p.module.partition(" ")[0] in ROOMS[part]}
        if missing := started - units:
            raise RuntimeError(f"the package lacks {missing}")
        line = {
            "part": part,
            "wheels": len(list((folder / "wheelhouse").iterdir())),
            "package_mb": round(package.stat().st_size / 1e6, 1),
            "installed_mb": round(sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) / 1e6, 1),
            "seconds": round(time.monotonic() - began, 1),
            "units": sorted(units),
            "starts": said,
        }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
