"""A community's residents from a table, as a community has it: CSV or Excel.

Neighbours: `api.commands` (`community import`), `vigil.store.seed` puts the rows in.  Reading
is apart from checking; checking is pure and names each bad row and column, so that a table is
put right in one go.  All of a table is taken, or nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vigil.errors import Rejected

if TYPE_CHECKING:
    from pathlib import Path

Row = Mapping[str, str]

HEADINGS: Final = {
    "estate": "小区编号",
    "estate_name": "小区名称",
    "building": "楼栋",
    "floor": "楼层",
    "home": "门牌",
    "resident": "老人编号",
    "name": "姓名",
    "phone": "电话",
    "flagged": "重点关注",
    "risk": "风险等级",
    "lives_alone": "独居",
    "key_holder": "持钥匙人",
    "key_holder_phone": "持钥匙人电话",
    "key_holder_relation": "持钥匙人关系",
    "note": "备注",
}
"""Columns, in English and in Chinese; either is understood."""
NEEDED: Final = ("estate", "home", "resident", "name")
YES: Final = frozenset({"yes", "y", "true", "1", "是", "有"})
NO: Final = frozenset({"no", "n", "false", "0", "否", "无"})
MOST_ROWS: Final = 20_000
"""Twice the residents of a community."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PHONE: Final = re.compile(r"[0-9+() -]{3,32}")
_FLOOR: Final = re.compile(r"-?[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a cell; `row` counts as the table's own program does, the headings being 1."""

    row: int
    column: str
    why: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"row {self.row}, {self.column}: {self.why}"


@dataclass(frozen=True, slots=True)
class About:
    """The community that the table belongs to."""

    id: str
    name: str
    time_zone: str


@dataclass(slots=True)
class Checked:
    """A table after checking: rows for the database, or what is wrong."""

    tables: dict[str, list[dict[str, Any]]]
    residents: int = 0
    faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        """Say how much it holds."""
        return f"{self.residents} residents in {len(self.tables['estate'])} estates"


def read(path: Path) -> list[Row]:
    """Read a table, the first sheet of a workbook.

    Raises:
        Rejected: `unreadable`; it is no CSV in UTF-8 (or GB 18030) and no workbook, or too long.
        OSError: The file cannot be read.
    """
    lines = _workbook(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv(path.read_bytes())
    if not lines:
        raise Rejected("unreadable", f"{path.name} is empty")
    if len(lines) > MOST_ROWS:
        raise Rejected("unreadable", f"{path.name} has more than {MOST_ROWS} rows")
    names = [_column(heading) for heading in lines[0]]
    return [dict(zip(names, (cell.strip() for cell in line), strict=False)) for line in lines[1:]]


def _csv(content: bytes) -> list[list[str]]:
    for encoding in ("utf-8-sig", "gb18030"):  # Excel in Chinese writes the second one
        try:
            return list(csv.reader(io.StringIO(content.decode(encoding)), strict=True))
        except UnicodeDecodeError:
            continue
        except csv.Error as error:
            raise Rejected("unreadable", f"no CSV: {error}") from None
    raise Rejected("unreadable", "neither UTF-8 nor GB 18030")


def _workbook(path: Path) -> list[list[str]]:
    from zipfile import BadZipFile  # noqa: PLC0415 - Excel is read by who imports it, not by the server

    from openpyxl import load_workbook  # noqa: PLC0415 - Excel is read by who imports it, not by the server
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415 - Excel is read by who imports it, not by the server

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise Rejected("unreadable", f"{path.name} is no workbook: {error}") from None
    try:
        return [[_cell(value) for value in line] for line in book.worksheets[0].iter_rows(values_only=True)]
    finally:
        book.close()


def _cell(value: object) -> str:
    """Return a cell's text; a spreadsheet keeps whole numbers as fractions."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return "" if value is None else str(value)


def _column(heading: str) -> str:
    plain = heading.strip().lower().replace(" ", "_")
    by_chinese = {chinese: english for english, chinese in HEADINGS.items()}
    return by_chinese.get(plain, plain)


def check(rows: Sequence[Row], about: About) -> Checked:
    """Check a table and turn it into rows for the database.

    Args:
        rows: Cells by the English name of the column.
        about: The community.

    Returns:
        Rows by table, or the faults, in the table's order.
    """
    checked = Checked({"community": [_community(about)], "estate": [], "zone": [], "resident": []})
    checked.faults += [
        Fault(1, name, "the column is missing") for name in NEEDED if rows and name not in rows[0]
    ]
    checked.faults += [
        Fault(1, name, "no such column") for name in sorted(set().union(*rows) - set(HEADINGS) - {""})
    ]
    if not _ID.fullmatch(about.id):
        checked.faults.append(Fault(1, "community", "letters, digits, dots and dashes, at most 64"))
    if not _zone_is_known(about.time_zone):
        checked.faults.append(Fault(1, "time zone", f"there is no {about.time_zone}"))
    if not checked.faults:
        _check_rows(rows, about, checked)
    return checked


def _zone_is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _community(about: About) -> dict[str, Any]:
    return {"id": about.id, "name": about.name, "time_zone": about.time_zone}


def _check_rows(rows: Iterable[Row], about: About, checked: Checked) -> None:
    estates: dict[str, str] = {}
    homes: dict[str, dict[str, Any]] = {}
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        if not any(row.values()):
            continue
        faults = [Fault(number, column, why) for column, why in _faults(row)]
        faults += _repeated(number, row, estates, first)
        checked.faults += faults
        if not faults:
            home = _home(row)
            homes.setdefault(home["id"], home)
            checked.tables["resident"].append(_resident(row, home["id"]))
    checked.residents = len(checked.tables["resident"])
    checked.tables["zone"] = list(homes.values())
    checked.tables["estate"] = [
        {"id": id_, "community": about.id, "name": name or id_} for id_, name in estates.items()
    ]


def _faults(row: Row) -> list[tuple[str, str]]:
    """Say what is wrong with a row, by column."""
    found = [(name, "is empty") for name in NEEDED if not row.get(name)]
    found += [
        (name, "letters, digits, dots and dashes, at most 64")
        for name in ("estate", "resident")
        if row.get(name) and not _ID.fullmatch(row[name])
    ]
    found += [
        (name, f"{row[name]!r} is no telephone number")
        for name in ("phone", "key_holder_phone")
        if row.get(name) and not _PHONE.fullmatch(row[name])
    ]
    found += [
        (name, f"{row[name]!r} is neither yes nor no")
        for name in ("flagged", "lives_alone")
        if row.get(name) and row[name].lower() not in YES | NO
    ]
    if row.get("risk") and row["risk"] not in ("1", "2", "3"):
        found.append(("risk", f"{row['risk']!r} is not 1, 2 or 3"))
    if row.get("floor") and not _FLOOR.fullmatch(row["floor"]):
        found.append(("floor", f"{row['floor']!r} is no whole number"))
    if bool(row.get("key_holder")) != bool(row.get("key_holder_phone")):
        found.append(("key_holder", "name and telephone go together"))
    found += [(name, "holds characters that are no text") for name, cell in row.items() if not _is_text(cell)]
    return found


def _is_text(cell: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in cell)


def _repeated(number: int, row: Row, estates: dict[str, str], first: dict[str, int]) -> list[Fault]:
    """Say what contradicts an earlier row."""
    found = []
    estate, name = row.get("estate", ""), row.get("estate_name", "")
    known = estates.get(estate) or name
    estates[estate] = known
    if name and name != known:
        found.append(Fault(number, "estate_name", f"{estate} was {known!r} before"))
    resident = row.get("resident", "")
    if resident and first.setdefault(resident, number) != number:
        found.append(Fault(number, "resident", f"{resident} is in row {first[resident]} already"))
    return found


def _home(row: Row) -> dict[str, Any]:
    """Return the home; residents with the same door share it."""
    door = (row["estate"], row.get("building", ""), row["home"])
    return {
        "id": f"home-{uuid5(NAMESPACE_URL, '/'.join(door)).hex[:16]}",
        "estate": row["estate"],
        "name": row["home"],
        "building": row.get("building") or None,
        "floor": int(row["floor"]) if row.get("floor") else None,
    }


def _resident(row: Row, home: str) -> dict[str, Any]:
    return {
        "id": row["resident"],
        "estate": row["estate"],
        "home": home,
        "name": row["name"],
        "phone": row.get("phone") or None,
        "flagged": row.get("flagged", "").lower() not in NO,
        "risk": int(row.get("risk") or 1),
        "lives_alone": row.get("lives_alone", "").lower() not in NO,
        "profile": _profile(row),
    }


def _profile(row: Row) -> dict[str, Any]:
    profile: dict[str, Any] = {}
    if row.get("key_holder"):
        holder = {"name": row["key_holder"], "phone": row["key_holder_phone"]}
        profile["key_holders"] = [holder | {"relation": row.get("key_holder_relation", "")}]
    if row.get("note"):
        profile["note"] = row["note"]
    return profile
