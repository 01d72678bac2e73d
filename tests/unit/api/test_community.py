"""A community's table: what is taken, and what is named as wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.community import HEADINGS, About, Checked, check, read
from vigil.errors import Rejected

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = About("sunny", "阳光社区", "Asia/Shanghai")
GOOD = {"estate": "e1", "home": "401", "resident": "r1", "name": "王秀英", "building": "3号楼", "floor": "4"}


def row(**cells: str) -> dict[str, str]:
    return GOOD | cells


def faults(checked: Checked) -> list[tuple[int, str]]:
    return [(fault.row, fault.column) for fault in checked.faults]


def test_a_resident_comes_with_home_estate_and_key_holder() -> None:
    full = row(
        estate_name="一区",
        risk="3",
        lives_alone="否",
        key_holder="张伟",
        key_holder_phone="139",
        note="ring twice",
    )
    checked = check([full], ABOUT)
    assert checked.faults == []
    (resident,) = checked.tables["resident"]
    assert (resident["risk"], resident["lives_alone"], resident["flagged"]) == (3, False, True)
    assert resident["profile"] == {
        "key_holders": [{"name": "张伟", "phone": "139", "relation": ""}],
        "note": "ring twice",
    }
    assert checked.tables["estate"] == [{"id": "e1", "community": "sunny", "name": "一区"}]
    assert checked.tables["zone"][0]["id"] == resident["home"]


def test_residents_behind_one_door_share_a_home() -> None:
    checked = check([row(), row(resident="r2", name="李德福"), row(resident="r3", home="402")], ABOUT)
    homes = [resident["home"] for resident in checked.tables["resident"]]
    assert homes[0] == homes[1] != homes[2]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"name": ""}, "name"),
        ({"estate": "east side"}, "estate"),
        ({"resident": "王"}, "resident"),
        ({"phone": "call me"}, "phone"),
        ({"risk": "4"}, "risk"),
        ({"floor": "four"}, "floor"),
        ({"flagged": "maybe"}, "flagged"),
        ({"key_holder": "张伟"}, "key_holder"),
        ({"note": "a\x00b"}, "note"),
    ],
)
def test_each_bad_row_is_named_with_its_column(cells: dict[str, str], column: str) -> None:
    assert faults(check([row(), row(resident="r2") | cells], ABOUT)) == [(3, column)]


def test_who_is_in_the_table_twice_is_named_with_both_rows() -> None:
    checked = check([row(), row()], ABOUT)
    assert str(checked.faults[0]) == "row 3, resident: r1 is in row 2 already"


def test_an_estate_has_one_name() -> None:
    checked = check([row(estate_name="一区"), row(resident="r2", estate_name="二区")], ABOUT)
    assert faults(checked) == [(3, "estate_name")]


def test_missing_and_unknown_columns_are_said_once_and_no_rows_are_looked_at() -> None:
    checked = check([{"estate": "e1", "home": "1", "name": "x", "colour": "red"}], ABOUT)
    assert faults(checked) == [(1, "resident"), (1, "colour")]


def test_a_time_zone_that_is_none_is_named() -> None:
    assert faults(check([row()], About("sunny", "x", "Mars/Olympus"))) == [(1, "time zone")]


@given(st.lists(st.dictionaries(st.sampled_from(sorted(HEADINGS)), st.text(max_size=8)), max_size=6))
def test_whatever_a_table_holds_is_either_taken_whole_or_named(rows: list[dict[str, str]]) -> None:
    table = [{name: line.get(name, "") for name in HEADINGS} for line in rows]
    checked = check(table, ABOUT)
    filled = [line for line in table if any(line.values())]
    bad = {fault.row for fault in checked.faults}
    assert checked.residents + len(bad) == len(filled)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_headings_are_understood_in_the_encodings_that_excel_writes(
    tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "community.csv"
    file.write_bytes("小区编号,门牌,老人编号,姓名\ne1,401,r1,王秀英\n".encode(encoding))
    assert read(file) == [{"estate": "e1", "home": "401", "resident": "r1", "name": "王秀英"}]


def test_a_workbook_is_read_with_whole_numbers_as_such(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    book.active.append(["Estate", "Home", "Resident", "Name", "Floor"])
    book.active.append(["e1", 401, "r1", "王秀英", 4.0])
    book.save(tmp_path / "community.xlsx")
    (found,) = read(tmp_path / "community.xlsx")
    assert (found["home"], found["floor"]) == ("401", "4")


@pytest.mark.parametrize(
    ("name", "content"), [("x.xlsx", b"no zip"), ("x.csv", b""), ("x.csv", b"\xff\xff\xff")]
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Rejected, match="unreadable"):
        read(tmp_path / name)
