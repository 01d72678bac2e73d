"""What the console says, in Chinese and English.

Neighbours: `api.console.pages` renders with it, and hands the part that begins with `js.` and
the shared names to the page's modules.  JSON files a language (`en.json` for the board and what is
beside it, `en.edit.json` for editing), `key: text` with `{name}` for what is filled in.  A test fails on a key that one language lacks, or that nobody defines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

LANGUAGES: Final[Mapping[str, str]] = {"zh": "中文", "en": "English"}
"""By what they call themselves; the first one is for whoever has no preference."""
HTML_LANGUAGE: Final = {"zh": "zh-CN", "en": "en"}
FOR_MODULES: Final = (
    *("js.", "kind.", "priority.", "state.", "outcome.", "synthetic.", "action."),
    *("queue.", "sheet.what.", "sheet.noted", "report."),
)
"""Beginnings of the keys that the page's modules need."""


def _load(language: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    folder = resources.files("api.console") / "locale"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.partition(".")[0] == language:
            found |= json.loads(file.read_text(encoding="utf-8"))
    return found


CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = {language: _load(language) for language in LANGUAGES}


@dataclass(frozen=True, slots=True)
class Translator:
    """Says keys in a language, with what is filled in by name.

    `kind.` has an `other`: a detector may know kinds that the catalogue does not yet; any other
    missing key is our mistake (KeyError).
    """

    catalogue: Mapping[str, str]

    def __call__(self, key: str, **filled: object) -> str:
        """Say a key."""
        if key not in self.catalogue and key.startswith("kind."):
            return self.catalogue["kind.other"].format(kind=key.removeprefix("kind."))
        return self.catalogue[key].format(**filled)

    def has(self, key: str) -> bool:
        """Whether there is something to say of what may have no words."""
        return key in self.catalogue


def translator(language: str) -> Translator:
    """Return what says keys in a language."""
    return Translator(CATALOGUES[language])


def for_modules(language: str) -> Mapping[str, str]:
    """Return the part of a catalogue that the page's modules need."""
    return {key: text for key, text in CATALOGUES[language].items() if key.startswith(FOR_MODULES)}


def choose(wanted: str | None, accepted: str) -> str:
    """Return the language to use: the one chosen before, else the browser's first that we speak."""
    if wanted is not None and wanted in LANGUAGES:
        return wanted
    for part in accepted.split(","):
        language = part.split(";")[0].strip()[:2].lower()
        if language in LANGUAGES:
            return language
    return next(iter(LANGUAGES))
