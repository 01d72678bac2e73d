"""Nothing that the console says is missing in one language, and nothing is said in vain."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import api.console
from api.access import Role
from api.console.catalogue import CATALOGUES, LANGUAGES, choose, for_modules, translator
from processors.decide import HAZARDS
from processors.routines.watch import Kind as RoutineKind
from vigil.alerts import Action, Outcome, Priority, State

FOLDER = Path(api.console.__file__).parent
TEMPLATES = "\n".join(p.read_text() for p in sorted((FOLDER / "templates").glob("*.html")))
MODULES = "\n".join(p.read_text() for p in sorted((FOLDER / "static").glob("*.js")))
LITERAL = re.compile(r"""\bt\(\s*["'`]([a-z_.]+[a-z_])["'`]""")
CHOSEN = re.compile(r"""["'](js\.[a-z_.]+)["']""")
QUOTED = re.compile(r'"([a-z_]+\.[a-z_.]+)"')
FAMILY = re.compile(r"""\bt\(\s*["'`]([a-z_.]+\.)(?:["'] ~|\$\{)""")


def used() -> set[str]:
    plain = {key for text in (TEMPLATES, MODULES) for key in LITERAL.findall(text)}
    return plain | set(CHOSEN.findall(MODULES))


def families() -> set[str]:
    return {family for text in (TEMPLATES, MODULES) for family in FAMILY.findall(text)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_string_that_is_used_exists(language: str) -> None:
    missing = {key for key in used() if not key.endswith(".") and key not in CATALOGUES[language]}
    assert not missing


def test_all_languages_have_the_same_strings() -> None:
    one, *others = (set(catalogue) for catalogue in CATALOGUES.values())
    assert all(one == other for other in others)


def test_all_languages_fill_in_the_same_facts() -> None:
    for key, text in CATALOGUES["en"].items():
        fields = {name for _, name, _, _ in Formatter().parse(text) if name}
        for catalogue in CATALOGUES.values():
            assert {name for _, name, _, _ in Formatter().parse(catalogue[key]) if name} == fields, key


def test_no_string_is_empty_and_none_is_there_in_vain() -> None:
    told = used() | set(QUOTED.findall(TEMPLATES))
    by_family = (
        *families(),
        "kind.",
        "role.",
        "away.",
        "nothing.",
        "js.done.",
        "notice.",
        "push.",
        "condition.",
    )
    for catalogue in CATALOGUES.values():
        assert all(text.strip() for text in catalogue.values())
    vain = {key for key in CATALOGUES["en"] if key not in told and not key.startswith(by_family)}
    assert not vain


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_value_of_an_alert_has_a_name(language: str) -> None:
    t = translator(language)
    for family, values in (
        ("state", State),
        ("priority", Priority),
        ("outcome", Outcome),
        ("step", Action),
        ("role", Role),
    ):
        for value in values:
            assert t(f"{family}.{value}")
    for action in ("raise", "join"):
        assert t(f"step.{action}")
    for synthetic in ("canary", "drill", "demo"):
        assert t(f"synthetic.{synthetic}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_kind_that_is_not_known_yet_is_still_named(language: str) -> None:
    assert "gas_leak_3" in translator(language)("kind.gas_leak_3")


def test_a_string_that_nobody_defined_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        translator("en")("no.such.string")


def test_the_modules_are_given_what_they_say() -> None:
    given = for_modules("en")
    assert {key for key in LITERAL.findall(MODULES) if not key.endswith(".")} <= set(given)


def test_the_language_chosen_before_goes_before_the_browsers() -> None:
    assert choose("en", "zh-CN,zh;q=0.9") == "en"
    assert choose(None, "fr,en-GB;q=0.8") == "en"
    assert choose(None, "zh-TW") == "zh"
    assert choose("xx", "") == "zh"


@pytest.mark.parametrize("kind", [*get_args(RoutineKind), *HAZARDS, "fall", "sos", "unreadable_alarm"])
def test_every_kind_that_is_raised_has_a_name_and_a_sign(kind: str) -> None:
    assert all(f"kind.{kind}" in catalogue for catalogue in CATALOGUES.values())
    assert f"{kind}:" in (FOLDER / "static/words.js").read_text()
