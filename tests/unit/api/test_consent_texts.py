"""What is agreed to is a text in a version: whoever changes the one changes the other."""

from __future__ import annotations

import hashlib

import pytest

from api.consents import TEXT_VERSION
from api.console.catalogue import CATALOGUES
from vigil import evidence, purposes
from vigil.store.consents import CLASS_OF, Purpose

pytestmark = pytest.mark.trust
DIGEST_OF = {"2026-11": "d589badcc3561fdfebd1179aede78f60495ea8840b35b7f45fe43624eae517d7"}
"""Version -> SHA-256 of all texts; what was agreed to in the past stays in the history of this file."""


def test_whoever_changes_a_text_changes_its_version() -> None:
    texts = [
        f"{language} {purpose} {CATALOGUES[language][f'consent.text.{purpose}']}"
        for language in sorted(CATALOGUES)
        for purpose in Purpose
    ]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == DIGEST_OF[TEXT_VERSION], (
        "a text was changed: give TEXT_VERSION a new month, and add its digest here"
    )


def test_every_purpose_has_a_class_and_a_way_without_it() -> None:
    assert set(CLASS_OF) == set(Purpose)
    for catalogue in CATALOGUES.values():
        assert all(catalogue[f"consent.instead.{purpose}"] for purpose in Purpose)


def test_what_processors_and_boxes_ask_for_can_be_agreed_to() -> None:
    asked = {*purposes.PURPOSE_OF.values(), evidence.PURPOSE}
    assert asked <= {str(purpose) for purpose in Purpose}
