"""Every promise of `docs/security/promises.md` has a test, and that test bears the mark `trust`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security/promises.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"^\|[^|]+\| `(tests/[^`]+)` \|$", PAGE, re.MULTILINE)))
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("|") and line[2:9] not in ("promise", "|------")
]


def functions(tree: ast.Module) -> dict[str, list[str]]:
    """Return the tests of a module, those in classes too, with their decorators as text."""
    return {
        node.name: [ast.unparse(one) for one in node.decorator_list]
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def marked_whole(tree: ast.Module) -> bool:
    """Whether a module marks all of its tests."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    return any("pytestmark" in ast.unparse(one) and "mark.trust" in ast.unparse(one) for one in assigned)


def test_every_row_names_a_test() -> None:
    rows = [row for row in ROWS if not set(row) <= set("|- ")]
    assert len(rows) == len(re.findall(r"^\|[^|]+\| `tests/[^`]+` \|$", PAGE, re.MULTILINE)) > 20


@pytest.mark.parametrize("named", NAMED)
def test_the_test_of_a_promise_exists_and_bears_the_mark(named: str) -> None:
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = functions(tree)
    assert tests
    if name:
        assert name in tests
    decorators = tests[name] if name else []
    assert marked_whole(tree) or any("mark.trust" in one for one in decorators)


def test_every_line_of_the_checklist_has_a_state_and_its_evidence_exists() -> None:
    page = (ROOT / "docs/security/asvs.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+\.\d+\.\d+) \| (met|partly|not met|n/a) \| (.+) \|$", page, re.MULTILINE)
    assert len(lines) == len({id_ for id_, *_ in lines}) == 253  # level 1 has 70, level 2 has 183
    named = {
        path
        for *_, evidence in lines
        for path in re.findall(r"`((?:api|deploy|docs|tests|vigil)/[^` ]+)`", evidence)
    }
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
