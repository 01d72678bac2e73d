from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fallback import printing
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


def lp(folder: Path, script: str) -> None:
    """Put a CUPS of our own onto the path, which only has the one command."""
    program = folder / "lp"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_paper_goes_to_the_printers_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lp(tmp_path, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/paper')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    printing.send(b"%PDF-1.7", "hall", "vigil-7")
    assert (tmp_path / "arguments").read_text() == "-d hall -t vigil-7 -\n"
    assert (tmp_path / "paper").read_bytes() == b"%PDF-1.7"


def test_a_printer_that_refuses_is_named_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lp(tmp_path, "echo 'The printer or class does not exist.' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match=r"hall.*does not exist"):
        printing.send(b"%PDF-1.7", "hall", "vigil-7")


def test_without_cups_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="cups-client"):
        printing.send(b"%PDF-1.7", "hall", "vigil-7")
