"""Renews `constraints.txt` (`make lock`): pinned versions with hashes, and no addresses.

One file serves two installations, because pip checks hashes only of requirements files, and
only if every line has them: what runs the system stands first (`make up`), and what builds,
tests and trains follows after `MARK` (`make test`).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
MARK: Final = "# For development only:"
HEAD: Final = "# Made by `make lock`; Python 3.11 to 3.13 on Linux and macOS. `make up` installs the part above the mark."
_PIN: Final = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def compile_lock(extra: str, *options: str) -> str:
    """Resolve an extra for all supported Pythons and systems at once.

    Raises:
        subprocess.CalledProcessError: The resolver found no solution; it says why.
    """
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", extra, "--universal",
        "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes", "--no-header",
        "--no-annotate", "--quiet", *options,
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def pins(lock: str) -> dict[str, str]:
    """Split a lock into its packages: name -> lines."""
    starts = [match.start() for match in _PIN.finditer(lock)]
    blocks = [lock[start:end] for start, end in zip(starts, [*starts[1:], len(lock)], strict=True)]
    return {block.split("==", 1)[0]: block.rstrip("\n") for block in blocks}


def join(everything: str, running: str) -> str:
    """Put what runs first, then what only developers need."""
    runs, rest = pins(running), pins(everything)
    development = [block for name, block in rest.items() if name not in runs]
    return "\n".join([HEAD, *runs.values(), MARK, *development, ""])


def main() -> None:
    """Resolve again, moving to the newest versions that fit `pyproject.toml`."""
    everything = compile_lock("dev")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(everything)
        file.flush()
        running = compile_lock("embedded", "--constraint", file.name)
    (ROOT / "constraints.txt").write_text(join(everything, running), encoding="utf-8")


if __name__ == "__main__":
    main()
