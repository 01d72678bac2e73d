"""Whatever is sent to what parses, it is either understood or refused in the parser's own words, never else.

Events, topics and tables of residents are tried so where they stand (`test_events`, `test_topics`,
`test_community`); here is the rest.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.community import About, check, read
from edge import config
from fallback import procedures
from vigil.errors import Rejected

pytestmark = pytest.mark.trust
SHIPPED = sorted((Path(__file__).parents[2] / "fallback").rglob("*.yaml"))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def turned(text: str, cuts: list[tuple[int, str]]) -> str:
    """Return a good text with some of it replaced."""
    for at, new in cuts:
        place = at % (len(text) + 1)
        text = text[:place] + new + text[place + len(new) :]
    return text


cuts = st.lists(st.tuples(st.integers(0, 5000), st.text(max_size=6)), min_size=1, max_size=5)


def test_there_are_procedures_to_turn() -> None:
    assert SHIPPED


@given(text=st.text(max_size=300))
def test_no_text_is_a_procedure_but_a_procedure(text: str) -> None:
    with suppress(Rejected):
        procedures.parse(text, "x.yaml")


@given(which=st.integers(0, 100), cuts=cuts)
def test_a_procedure_with_a_slip_of_the_hand_is_read_or_refused(
    which: int, cuts: list[tuple[int, str]]
) -> None:
    good = SHIPPED[which % len(SHIPPED)].read_text(encoding="utf-8")
    with suppress(Rejected):
        procedures.parse(turned(good, cuts), "x.yaml")


@pytest.mark.parametrize("yaml", [False, True])
@given(raw=st.binary(max_size=200))
def test_no_bytes_are_a_boxs_file_but_a_boxs_file(yaml: bool, raw: bytes) -> None:
    with suppress(Rejected):
        config.parse(raw, yaml=yaml)


@given(content=anything)
def test_no_json_is_a_boxs_file_but_a_boxs_file(content: object) -> None:
    with suppress(Rejected):
        config.parse(json.dumps(content).encode())


@given(raw=st.binary(max_size=300))
def test_no_bytes_are_a_table_of_residents_but_a_table(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "table.csv"
    file.write_bytes(raw)
    with suppress(Rejected):
        check(read(file), About("c", "c", "Asia/Shanghai"))
