from __future__ import annotations

import pytest

from fallback import configuration, procedures, words
from fallback.state import Cause
from tests.unit.fallback.conftest import T0
from vigil.errors import Rejected

GOOD = """\
id: x
version: 2
level: estate
causes: [canary:stored]
title: {zh: 甲, en: a}
trigger: {zh: 甲, en: a}
owner: duty
deputy: ops
steps:
  - id: x-1
    at_min: 0
    by: grid
    do: {zh: 甲, en: a}
    evidence: {zh: 甲, en: a}
  - id: x-2
    at_min: 5
    by: family
    do: {zh: 甲, en: a}
    say: {zh: 甲, en: a}
    evidence: {zh: 甲, en: a}
stop: {zh: 甲, en: a}
"""


def test_a_procedure_is_read() -> None:
    read = procedures.parse(GOOD, "x.yaml")
    assert (read.id, read.version, read.level, len(read.steps)) == ("x", 2, "estate", 2)
    assert read.steps[1].say == words.Both("甲", "a")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 2", "version: zero", "x.yaml:2: here stands a whole number from 1"),
        ("level: estate", "level: planet", "x.yaml:3: planet is none of node, estate, community, street"),
        ("deputy: ops", "deputy: duty", "x.yaml:8: the deputy is somebody else than the owner"),
        ("owner: duty\n", "", "x.yaml:1: owner is missing"),
        ("at_min: 5", "at_min: -1", "x.yaml:16: here stands a whole number from 0"),
        ("by: grid", "by: nobody", "x.yaml:12: nobody is none of"),
        ("do: {zh: 甲, en: a}\n    say", "do: {zh: 甲}\n    say", "x.yaml:18: en is missing"),
        ("id: x-2", "id: x-1", "x.yaml:15: step x-1 stands twice"),
        ("at_min: 0", "at_min: 9", "x.yaml:15: step x-2 begins before the one above it"),
        ("stop:", "halt:", "x.yaml:21: halt is no field here"),
        ("id: x\n", "id: x\nid: y\n", "x.yaml:2: id stands twice"),
        ("causes: [canary:stored]", "causes: []", "x.yaml:4: here stands a list that is not empty"),
        ("title: {zh: 甲, en: a}", "title: 甲", "x.yaml:5: here stands a mapping of zh, en"),
        ("owner: duty", "owner: [", "x.yaml:9: expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(Rejected) as raised:
        procedures.parse(GOOD.replace(old, new, 1), "x.yaml")
    assert said in raised.value.detail


def test_all_errors_are_said_at_once() -> None:
    with pytest.raises(Rejected) as raised:
        procedures.parse(GOOD.replace("version: 2", "version: 0").replace("grid", "nobody"), "x.yaml")
    assert len(raised.value.detail.splitlines()) == 2


def test_an_id_stands_in_one_file() -> None:
    with pytest.raises(Rejected, match="another file"):
        procedures.library(["a.yaml", "b.yaml"], lambda _name: GOOD)


def test_the_shipped_procedures_are_right_and_answer_every_cause() -> None:
    library = configuration.library()
    called = {cause for each in library for cause in each.causes}
    stages = {f"canary:{stage}" for stage in words.STAGES}
    assert stages | {"fallback", "receipt", "node", "peer", "roster", "pack"} <= called
    assert {"service:ingest", "service:processors", "service:api"} <= called


def test_the_widest_fault_comes_first_and_fallback_has_a_procedure_of_its_own() -> None:
    library = configuration.library()
    causes = [Cause("canary", "stored", T0), Cause("node", "n1", T0)]
    found = [each.id for each in procedures.fitting(library, causes, fallback=True)]
    assert set(found) == {"platform", "ingest", "node"}
    assert found[-1] == "node"
    assert procedures.fitting(library, [], fallback=False) == []
