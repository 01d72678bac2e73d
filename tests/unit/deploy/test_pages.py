"""The documents' commands that are run: found where they are promised, and each short enough to be run."""

from __future__ import annotations

from tests.ops.pages import ROOT, commands, promised


def test_a_block_that_is_promised_to_work_is_taken_apart() -> None:
    page = "x\n\n<!-- run -->\n```sh\n# first\nmake smoke\npython -m x  # why\n```\n\n```sh\nmake up\n```\n"
    assert commands(page) == ["make smoke", "python -m x"]


def test_the_tutorials_quick_start_is_promised() -> None:
    assert (ROOT / "docs/tutorial.md", "make smoke") in promised()


def test_nothing_that_runs_until_it_is_ended_is_promised() -> None:
    assert not [command for _, command in promised() if command.startswith("make up")]
