"""A dependency that ships a top-level `api` or `deploy` would take our room's place."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("room", ["edge", "ingest", "processors", "api", "fallback", "vigil", "deploy"])
def test_every_room_is_imported_from_this_repository(room: str) -> None:
    module = import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == REPOSITORY / room
