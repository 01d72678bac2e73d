"""The commands that a page of the documents promises to work: its blocks under `<!-- run -->`.

Neighbours: `tests.ops.__main__` runs them; `tests/unit/deploy/test_documents.py` looks that what
all the other blocks name is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)


def pages() -> list[Path]:
    """Return every page of the documents."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands(text: str) -> list[str]:
    """Return a page's commands in its order, without comments and empty lines."""
    lines = [
        line.partition("  #")[0].strip() for block in _BLOCK.findall(text) for line in block.splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


def promised() -> list[tuple[Path, str]]:
    """Return the commands of all pages, each once, with the first page that has it."""
    found: dict[str, Path] = {}
    for page in pages():
        for command in commands(page.read_text(encoding="utf-8")):
            found.setdefault(command, page)
    return [(page, command) for command, page in found.items()]
