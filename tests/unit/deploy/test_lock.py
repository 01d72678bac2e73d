"""The lock: every package pinned and hashed, no address, and what runs comes first."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from deploy.embedded.lock import MARK, join, pins

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
RUNS, DEVELOPS = LOCK.split(MARK)


def wanted(extra: str) -> set[str]:
    """Names that an extra asks for, with those of the extras it includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names: set[str] = set()
    for requirement in [*project["dependencies"], *project["optional-dependencies"][extra]]:
        if included := re.fullmatch(r"vigil\[(.+)\]", requirement):
            names |= set().union(*(wanted(name) for name in included[1].split(",")))
        else:
            names.add(re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower())
    return names


def test_every_package_has_one_version_and_its_hashes() -> None:
    pinned = re.compile(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
    assert [name for name, block in pins(LOCK).items() if not pinned.match(block)] == []


def test_the_lock_names_no_address_and_no_folder() -> None:
    assert not re.search(r"https?://|--index|--find-links|@ |/", LOCK)


def test_what_runs_the_system_stands_above_the_mark() -> None:
    assert wanted("embedded") <= set(pins(RUNS))


def test_what_develops_it_stands_below_and_nothing_stands_twice() -> None:
    assert wanted("dev") <= set(pins(LOCK))
    assert not set(pins(RUNS)) & set(pins(DEVELOPS))


def test_joining_keeps_each_package_once() -> None:
    everything = "a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:11\n"
    running = "a==1 \\\n    --hash=sha256:00\n"
    joined = join(everything, running)
    assert joined.count("a==1") == 1
    assert joined.index("a==1") < joined.index(MARK) < joined.index("b==2")
