"""What the console says, in Chinese and English.

Neighbours: `api.console.pages` renders with it, and hands the part that begins with `js.` and
the shared names to the page's modules.  One JSON file a language, `key: text` with `{name}`
for what is filled in.  A test fails on a key that one language lacks, or that nobody defines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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

Translate = Callable[..., str]


def _load(language: str) -> Mapping[str, str]:
    file = resources.files("api.console") / "locale" / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = {language: _load(language) for language in LANGUAGES}


def translator(language: str) -> Translate:
    """Return the function that says a key in a language.

    It takes the key and what is filled in by name.  `kind.` has an `other`: a detector may
    know kinds that the catalogue does not yet; any other missing key is our mistake (KeyError).
    """
    catalogue = CATALOGUES[language]

    def translate(key: str, **filled: object) -> str:
        if key not in catalogue and key.startswith("kind."):
            return catalogue["kind.other"].format(kind=key.removeprefix("kind."))
        return catalogue[key].format(**filled)

    return translate


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
