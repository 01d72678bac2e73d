"""`python -m deploy.sbom` writes the bill of materials; `python -m deploy.sbom audit` asks what is known against it.

The audit is by pip-audit, which uv fetches into a place of its own.  Where neither it nor its data can be had, the
command says so and passes; what is known ends it with 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from deploy.sbom.bill import Audit, audit, bill, read

ROOT: Final = Path(__file__).parents[2]
CONSTRAINTS: Final = ROOT / "constraints.txt"
WRITTEN: Final = ROOT / "var" / "sbom.cdx.json"
PATIENCE_S: Final = 120
_AUDIT: Final = (
    *(
        "uv",
        "tool",
        "run",
        "pip-audit",
        "--requirement",
        str(CONSTRAINTS),
        "--disable-pip",
        "--require-hashes",
    ),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "5"),
)


def write() -> int:
    """Write the bill."""
    packages = read(CONSTRAINTS.read_text(encoding="utf-8"))
    WRITTEN.parent.mkdir(exist_ok=True)
    WRITTEN.write_text(json.dumps(bill(packages, version("vigil")), indent=1) + "\n", encoding="utf-8")
    print(f"{WRITTEN.relative_to(ROOT)}: {len(packages)} packages")
    return 0


def ask() -> int:
    """Ask pip-audit; only what is known is an error."""
    program = Path(sys.executable).with_name("uv")
    try:
        done = subprocess.run(  # noqa: S603 - our own words alone
            [str(program), *_AUDIT[1:]], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        said = audit(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        said = Audit((), 0, len(read(CONSTRAINTS.read_text(encoding="utf-8"))))
    print(said)
    return 1 if said.known else 0


if __name__ == "__main__":
    sys.exit(ask() if sys.argv[1:] == ["audit"] else write())
