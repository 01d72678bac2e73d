"""`make ops-check`: every part in turn; the last line is JSON, and it fails where one of them does.

| part | what is seen |
|---|---|
| `looks` | metrics, rules, boards, runbooks; units, compose, images and Kubernetes; a check of a running installation; a real Prometheus and Alertmanager at the running rooms |
| `restore` | the database destroyed and brought back (`rpo_s`, `rto_s`, `audit_ok`, `lost`, `twice`) |
| `upgrade` | every process replaced under load |
| `load` | a hundred devices, each message with its receipt |
| `pages` | what the documents tell to type |
| `install` | a Debian package installed into an empty folder |

ONLY="load pages" runs these alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.ops.pages import ROOT, promised

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOKS: Final = (
    "tests/unit/deploy",
    "tests/integration/deploy/test_check.py",
    "tests/story/test_monitoring.py",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A command, and what it gets to know by its environment."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def python(*argv: str) -> tuple[str, ...]:
    """Return the command of a module."""
    return (sys.executable, "-m", *argv)


PARTS: Final = (
    Part("looks", python("pytest", "-q", *LOOKS)),
    Part("restore", python("tests.restore"), {"QUICK": "1"}),
    Part("upgrade", python("tests.faults"), {"QUICK": "1", "ONLY": "rolling restart"}),
    Part("load", python("tests.load", "100", "--every", "5", "--seconds", "10")),
    Part("install", python("tests.install"), {"PART": "fallback"}),
)


def run(part: Part) -> dict[str, Any]:
    """Run a part, pass on what it says, and return whether it went well, how long it took and its last line."""
    print(f"ops-check: {part.name}", file=sys.stderr, flush=True)
    began = time.monotonic()
    # Its own ONLY, and no other part's: ours says which parts run.
    environment = {name: value for name, value in os.environ.items() if name != "ONLY"}
    with subprocess.Popen(
        part.argv, cwd=ROOT, env={**environment, **part.environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        last = ""
        for line in process.stdout or ():
            print(line, end="", file=sys.stderr, flush=True)
            last = line.strip() or last
    took = round(time.monotonic() - began, 1)
    return {"ok": process.returncode == 0, "seconds": took, **said(last)}


def said(line: str) -> dict[str, Any]:
    """Return a last line of JSON, or the line itself where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return {"said": line}
    return {key: value for key, value in found.items() if not isinstance(value, list)}


def type_what_pages_say() -> dict[str, Any]:
    """Type the documents' commands, with the environment's Python first on the path."""
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # noqa: PTH120 - resolving it would leave the environment
    failed, began = list[str](), time.monotonic()
    commands = promised()
    for page, command in commands:
        print(f"ops-check: {page.relative_to(ROOT)}: {command}", file=sys.stderr, flush=True)
        done = subprocess.run(
            ("sh", "-c", command), cwd=ROOT, env={**os.environ, "PATH": path}, stdout=sys.stderr, check=False
        )
        failed += [command] * bool(done.returncode)
    took = round(time.monotonic() - began, 1)
    return {"ok": not failed and bool(commands), "seconds": took, "commands": len(commands), "failed": failed}


def main() -> int:
    """Return 0 if every part went well."""
    wanted = os.environ.pop("ONLY", "").split()
    found: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        if not wanted or part.name in wanted:
            found[part.name] = run(part)
    if not wanted or "pages" in wanted:
        found["pages"] = type_what_pages_say()
    well = bool(found) and all(part["ok"] for part in found.values())
    print(json.dumps({"ok": well, **found}))
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
