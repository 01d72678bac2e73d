"""What the documents tell people to type exists: modules, make targets, files, settings, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Final

import pytest

from vigil import settings

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
ELSEWHERE: Final = frozenset({"pip", "venv"})
"""Python's own modules that pages start."""
BESIDE: Final = frozenset(
    {"VIGIL_VAR", "VIGIL_DATA", "VIGIL_SECRETS", "VIGIL_FAILPOINT", "VIGIL_PLATFORM", "VIGIL_BACKUP_DISK"}
)
"""Variables that are no process' settings: of `make up`, tests, faults, the revoker's unit and compose."""


def known() -> set[str]:
    """Every setting of every process."""
    classes = [
        each for each in vars(settings).values() if isinstance(each, type) and hasattr(each, "model_fields")
    ]
    return {f"VIGIL_{name.upper()}" for each in classes for name in each.model_fields}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_module_that_a_page_starts_is_there(page: Path) -> None:
    for module in set(re.findall(r"python3? -m ([a-z_]+(?:\.[a-z_]+)*)", page.read_text())) - ELSEWHERE:
        found = importlib.util.find_spec(module)
        assert found is not None, module
        if found.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_target_that_a_page_makes_is_in_the_makefile(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        target for line in re.findall(r"^([a-z][a-z -]*):", makefile, re.MULTILINE) for target in line.split()
    }
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)", page.read_text(), re.MULTILINE):
        assert target in targets, target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_setting_that_a_page_names_is_understood_by_a_process(page: Path) -> None:
    named = set(re.findall(r"\bVIGIL_[A-Z0-9_]*[A-Z0-9]\b(?!_\*|\*)", page.read_text()))
    prefixes = ("VIGIL_TEST_",)
    unknown = {each for each in named - known() - BESIDE if not each.startswith(prefixes)}
    assert not {each for each in unknown if not any(k.startswith(f"{each}_") for k in known())}, unknown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_file_of_the_repository_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"(?<![/\w])((?:deploy|docs|tests|vigil|edge|ingest|processors|api|fallback)/[\w./-]*\w\.(?:py|md|ya?ml|sql|conf|json|service|template))\b",
        page.read_text(),
    )
    for path in named:
        assert (ROOT / path).exists(), path
