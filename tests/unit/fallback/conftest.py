from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fallback.store import Store
from tests.conftest import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at = T0

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state")
    opened._connection.execute("PRAGMA synchronous=OFF")  # no test here pulls the plug
    yield opened
    opened.close()


def pages(made: bytes, folder: Path) -> list[str]:
    """Return what stands on each page of a PDF, as a reader sees it."""
    if shutil.which("pdftotext") is None:
        lacking("pdftotext is not installed (apt-get install poppler-utils)")
    (folder / "read.pdf").write_bytes(made)
    command = ["pdftotext", "-layout", str(folder / "read.pdf"), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\f")[:-1]
