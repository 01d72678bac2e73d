"""`docs/reference/api.md` says what the API has."""

from __future__ import annotations

from api.reference import page
from tests.conftest import REPOSITORY


def test_the_page_is_what_the_document_says_today() -> None:
    written = (REPOSITORY / "docs/reference/api.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m api.reference > docs/reference/api.md"
