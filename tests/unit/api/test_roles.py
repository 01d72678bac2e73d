"""The page about roles says what the platform does."""

from __future__ import annotations

from pathlib import Path

from api.access import MEANING, May
from api.app import served
from api.permissions import ROUTES
from api.roles import document

PAGE = Path(__file__).parents[3] / "docs/reference/roles.md"


def test_the_page_is_made_of_the_tables_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m api.roles > docs/reference/roles.md"
    )


def test_every_permission_is_explained() -> None:
    assert set(MEANING) == set(May)


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert set(served()) == set(ROUTES)
