"""The fallback pack on paper: what people need at doors when no screen works.

Place in the flow: `pack` gives the facts and writes the bytes to their places.  Pages, in the
order in which they are needed: cover with the age in large type, door-knock order, walking
order, phone tree, roster with key-holders, procedures, blank numbered forms.  A4, Chinese and
English, black on white, readable after a photocopier.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

import fpdf
from fpdf.enums import EncryptionMethod, XPos, YPos
from noto_cjk_sans_otc import FONT_PATH  # type: ignore[import-untyped]  # a font ships no types

from fallback import capacity, rounds
from fallback.procedures import WHO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from fallback.procedures import Procedure
    from fallback.rounds import Task
    from vigil.roster import Contact, Person, Resident

SIMPLIFIED: Final = 2
"""Number of the simplified Chinese face in the font's collection."""
FORM_EVERY: Final = 4
"""Residents for each blank form: most are ticked on the list, a form is for what was found."""
FONT: Final = "noto"
ROLES: Final = {
    "supervisor": "值班长 supervisor",
    "community_manager": "社区主任 manager",
    "grid_worker": "网格员 grid worker",
    "duty_officer": "值班员 duty officer",
    "street_centre": "街道中心 street centre",
    "ops": "运维 ops",
}
COLUMNS: Final = (
    *("order", "id", "risk", "name", "phone", "building", "floor", "home", "unprotected_since", "note"),
    *("key_holders", "family", "last_seen", "last_state"),
)
"""Of the CSV."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pack is made of.

    Attributes:
        estate: Its name.
        number: Of the pack; the forms' numbers begin with it.
        roster_at: When the platform made the roster: the age of everything in here.
        tasks: Every flagged resident, with since when they are unprotected; in quiet times,
            since `made_at`.
        staff: Who can be called in.
        drill: Printed for practice, which every page then says; the packs that are kept for need
            never say so.
    """

    estate: str
    number: int
    made_at: datetime
    roster_at: datetime
    zone: tzinfo
    tasks: Sequence[Task]
    staff: Sequence[Person]
    procedures: Sequence[Procedure]
    drill: bool = False


def forms(facts: Facts) -> int:
    """Return how many blank forms a pack has."""
    return max(4, -(-len(facts.tasks) // FORM_EVERY))


def pdf(facts: Facts, passphrase: str) -> bytes:
    """Return the pack as a PDF that opens with the passphrase (AES-256, as any reader can).

    An empty passphrase leaves it open: for who prints it at once.
    """
    paper = _Paper(facts)
    paper.cover()
    paper.knocking()
    paper.walking()
    paper.phone_tree()
    paper.roster()
    paper.all_procedures()
    paper.blank_forms()
    if passphrase:
        paper.set_encryption(passphrase, passphrase, EncryptionMethod.AES_256)
    return bytes(paper.output())


def plain(title: str, lines: Sequence[str]) -> bytes:
    """Return a short report as PDF: a title, and a paragraph for each line."""
    paper = fpdf.FPDF(format="A4")
    paper.add_font(FONT, fname=str(FONT_PATH), collection_font_number=SIMPLIFIED)
    paper.add_page()
    for size, text in [(18, title), *((11, line) for line in lines)]:
        paper.set_font(FONT, size=size)
        paper.multi_cell(0, size * 0.65, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    return bytes(paper.output())


def sheet(facts: Facts) -> bytes:
    """Return the roster as CSV, in the order of knocking; with a mark that Excel reads as UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for number, task in enumerate(rounds.by_urgency(facts.tasks, facts.made_at), 1):
        r = task.resident
        last = r.last_seen.isoformat() if r.last_seen else ""
        row = [
            number,
            r.id,
            r.risk,
            r.name,
            r.phone,
            r.building,
            r.floor,
            r.home,
            task.since.isoformat(),
            r.note,
        ]
        row += [_people(r.key_holders), _people(r.family), last, r.last_state]
        writer.writerow([_harmless(str(cell)) for cell in row])
    return out.getvalue().encode("utf-8-sig")


def _harmless(cell: str) -> str:
    # A name that begins like a formula must stay a name in a spreadsheet.
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _people(contacts: Iterable[Contact]) -> str:
    return "；".join(f"{each.relation} {each.name} {each.phone}".strip() for each in contacts)


def age_words(age: timedelta) -> tuple[str, str]:
    """Return an age in both languages, as one reads it out."""
    minutes = max(0, int(age / timedelta(minutes=1)))
    if minutes < 120:
        return f"{minutes} 分钟", f"{minutes} min"
    return f"{minutes // 60} 小时 {minutes % 60} 分", f"{minutes // 60} h {minutes % 60} min"


DRILL: Final = "演练 DRILL"
DRILL_MM: Final = 32.0
"""Width of the mark on a drill's papers."""
LINE_MM: Final = 4.2
"""Height of a line of 9 points."""
MOST_LINES: Final = 20
"""In one cell, so that a row fits on a page whatever somebody has written; the CSV holds all of it."""
_Column = tuple[str, float]


class _Paper(fpdf.FPDF):
    """The pages."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(format="A4")
        self._facts = facts
        self.add_font(FONT, fname=str(FONT_PATH), collection_font_number=SIMPLIFIED)
        self.set_auto_page_break(auto=False)
        self.set_margin(10)
        self.set_title(f"Vigil fallback pack {facts.number} {facts.estate}")
        self.set_creation_date(facts.made_at)

    # -- what stands on every page -------------------------------------------------------

    def header(self) -> None:
        """Say on every page of a drill's papers that they are: a form that is filled in counts for it alone."""
        if not self._facts.drill:
            return
        self.set_font(FONT, size=12)
        self.set_fill_color(0)
        self.set_text_color(255)
        self.set_xy(-10 - DRILL_MM, 4)
        self.cell(DRILL_MM, 7, DRILL, align="C", fill=True)
        self.set_text_color(0)
        self.set_xy(self.l_margin, self.t_margin)

    def footer(self) -> None:
        """Say on every page how old it is: sheets get separated."""
        self.set_y(-12)
        self.set_font(FONT, size=9)
        at = self._local(self._facts.roster_at)
        mark = f"{DRILL}  " if self._facts.drill else ""
        text = f"{mark}{self._facts.estate}  资料 data {at}  #{self._facts.number}  第 {self.page_no()} 页"
        self.cell(0, 6, text, align="C")

    def _local(self, moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
        return "" if moment is None else moment.astimezone(self._facts.zone).strftime(form)

    def _line(self, text: str, size: float, height: float) -> None:
        self.set_font(FONT, size=size)
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _title(self, text: str) -> None:
        self.add_page()
        self._line(text, 16, 9)
        self.ln(1)

    def _lines(self, text: str, width: float) -> list[str]:
        """Break a text to a column's width: a telephone number that is cut off opens no door."""
        if self.get_string_width(text) <= width - 2 * self.c_margin:
            return [text]
        broken = self.multi_cell(width, LINE_MM, text, align="L", dry_run=True, output="LINES")
        lines = cast("list[str]", broken)
        return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]

    def _head(self, columns: Sequence[_Column]) -> None:
        self.set_font(FONT, size=8)
        self.set_fill_color(225)
        for name, width in columns:
            self.cell(width, 6, name, border=1, fill=True)
        self.ln()

    def _rows(
        self, title: str, columns: Sequence[_Column], rows: Iterable[Sequence[str]], height: float = 7
    ) -> None:
        self._title(title)
        self._head(columns)
        for row in rows:
            self.set_font(FONT, size=9)
            cells = [self._lines(cell, width) for (_, width), cell in zip(columns, row, strict=True)]
            tall = max(height, 2 + LINE_MM * max(map(len, cells)))
            if self.get_y() + tall > self.h - 14:
                self._title(f"{title}（续 continued）")
                self._head(columns)
                self.set_font(FONT, size=9)
            for (_, width), lines in zip(columns, cells, strict=True):
                self._cell(width, tall, lines)
            self.ln(tall)

    def _cell(self, width: float, height: float, lines: Sequence[str]) -> None:
        """Draw a cell with its lines in the middle, and go to its right."""
        x, y = self.get_x(), self.get_y()
        self.rect(x, y, width, height)
        top = y + (height - LINE_MM * len(lines)) / 2
        for number, line in enumerate(lines):
            self.set_xy(x, top + LINE_MM * number)
            self.cell(width, LINE_MM, line)
        self.set_xy(x + width, y)

    # -- the parts -----------------------------------------------------------------------

    def cover(self) -> None:
        """Print what must be read first: whose it is, how old it is, whether people suffice."""
        facts = self._facts
        self.add_page()
        self._line(f"人工接管资料包\n{facts.estate}", 28, 14)
        self._line("Fallback pack: people take over", 14, 8)
        if facts.drill:
            self._line("这是演练。 This is a drill.", 28, 14)
        self.ln(6)
        self._line("资料时间 Data as of", 18, 10)
        self._line(self._local(facts.roster_at), 48, 24)
        zh, en = age_words(facts.made_at - facts.roster_at)
        self._line(f"制册时已有 {zh}\n{en} old when this was made", 28, 14)
        self._line(
            "现在几点？此后的变化不在册内。\nWhat time is it now? Later changes are not in here.", 18, 10
        )
        self.ln(6)
        risks = [task.resident.risk for task in facts.tasks]
        high = sum(risk >= 3 for risk in risks)
        self._line(
            f"重点老人 {len(risks)} 人，其中高风险 {high} 人 · {len(risks)} residents, {high} at high risk",
            14,
            8,
        )
        self._line("高风险 15 分钟内，全部 4 小时内。 High risk within 15 min, everybody within 4 h.", 14, 8)
        plan = capacity.plan(risks, len(facts.staff))
        self._line(f"{plan.zh}\n{plan.en}", 12, 7)
        self.ln(4)
        self._line(self._contents(), 12, 7)

    def _contents(self) -> str:
        count = forms(self._facts)
        return (
            "1 上门顺序 door-knock order  2 步行顺序 walking order  3 电话树 phone tree\n"
            "4 名册与钥匙 roster and keys  5 程序 procedures  6 空白表 blank forms\n"
            f"册号 pack {self._facts.number}，表 forms {self._form(1)} – {self._form(count)}"
        )

    def knocking(self) -> None:
        """Print the order of knocking."""
        columns = [
            ("#", 9.0),
            ("险 risk", 11.0),
            ("姓名 name", 26.0),
            ("住处 home", 44.0),
            ("电话 phone", 30.0),
        ]
        columns += [("无保护自 since", 24.0), ("注意 note", 30.0), ("□ 时间", 16.0)]
        tasks = rounds.by_urgency(self._facts.tasks, self._facts.made_at)
        rows = [
            [
                str(number),
                "高" if task.resident.risk >= 3 else "中" if task.resident.risk == 2 else "低",
                task.resident.name,
                _where(task.resident),
                task.resident.phone,
                self._local(task.since, "%H:%M") if task.since < self._facts.made_at else "",
                task.resident.note,
                "□",
            ]
            for number, task in enumerate(tasks, 1)
        ]
        self._rows("1 上门顺序 Door-knock order", columns, rows)

    def walking(self) -> None:
        """Print the order of walking."""
        columns = [
            ("楼 building", 30.0),
            ("层 floor", 14.0),
            ("住处 home", 42.0),
            ("险", 10.0),
            ("姓名 name", 28.0),
        ]
        columns += [("电话 phone", 32.0), ("结果 result", 34.0)]
        rows = [
            [
                task.resident.building,
                str(task.resident.floor or ""),
                task.resident.home,
                "●" if task.resident.risk >= 3 else "",
                task.resident.name,
                task.resident.phone,
                "□好 □助 □无人",
            ]
            for task in rounds.by_way(self._facts.tasks)
        ]
        self._rows("2 步行顺序 Walking order（●高风险 high risk）", columns, rows)

    def phone_tree(self) -> None:
        """Print whom to call in, in the order of the tree."""
        columns = [
            ("#", 9.0),
            ("姓名 name", 40.0),
            ("职责 role", 50.0),
            ("电话 phone", 45.0),
            ("接通 □ reached", 46.0),
        ]
        rows = [
            [str(number), person.name, ROLES.get(person.role, person.role), person.phone, "□ ____:____"]
            for number, person in enumerate(self._facts.staff, 1)
        ]
        self._rows("3 电话树 Phone tree", columns, rows, 9)

    def roster(self) -> None:
        """Print what is last known of everybody, and who has a key."""
        columns = [("姓名 name", 24.0), ("住处 home", 36.0), ("钥匙 key-holder", 48.0), ("家属 family", 44.0)]
        columns += [("最后 last seen", 22.0), ("状态 state", 16.0)]
        rows = [
            [
                r.name,
                _where(r),
                _people(r.key_holders),
                _people(r.family),
                self._local(r.last_seen, "%m-%d %H:%M"),
                r.last_state,
            ]
            for r in (task.resident for task in rounds.by_way(self._facts.tasks))
        ]
        self._rows("4 名册与钥匙 Roster and keys", columns, rows)

    def all_procedures(self) -> None:
        """Print every procedure."""
        for procedure in sorted(self._facts.procedures, key=lambda each: each.id != "platform"):
            self._procedure(procedure)

    def _procedure(self, procedure: Procedure) -> None:
        self._title(f"5 程序 Procedure · {procedure.title.zh}")
        owner, deputy = WHO[procedure.owner], WHO[procedure.deputy]
        self._line(procedure.title.en, 12, 7)
        self._line(
            f"{procedure.id} v{procedure.version} · 触发 trigger: {procedure.trigger.zh} {procedure.trigger.en}",
            9,
            5,
        )
        self._line(f"负责 owner: {owner.zh} {owner.en} · 代理 deputy: {deputy.zh} {deputy.en}", 9, 5)
        for step in procedure.steps:
            if self.get_y() > self.h - 50:
                self._title(f"5 程序 Procedure · {procedure.title.zh}（续 continued）")
            who = WHO[step.by]
            self.ln(1.5)
            self._line(f"□ +{step.at_min} min  {who.zh} {who.en}：{step.do.zh}", 11, 6)
            self._line(f"{step.do.en} · 留存 evidence: {step.evidence.zh} {step.evidence.en}", 9, 5)
            if step.say is not None:
                self.set_fill_color(240)
                self.set_font(FONT, size=10)
                said = f"请读出 Read out: “{step.say.zh}”\n{step.say.en}"
                self.multi_cell(
                    0, 5.5, said, border=1, fill=True, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
                )
        self.ln(2)
        self._line(f"结束 Stop: {procedure.stop.zh} {procedure.stop.en}", 10, 6)

    def _form(self, number: int) -> str:
        return f"{self._facts.number}-{number:03d}"

    def blank_forms(self) -> None:
        """Print numbered forms, three on a page."""
        for number in range(1, forms(self._facts) + 1):
            if number % 3 == 1:
                self._title("6 核查表 Welfare check")
            self._blank(self._form(number))

    def _blank(self, number: str) -> None:
        lines = (
            f"表号 form {number}        姓名 name ______________  住处 home __________________",
            "时间 time ____:____   核查人 by ______________   □电话 phone □上门 door □家属 family □钥匙 key",
            "结果 result  □良好 well □已帮助 helped □送医 hospital □外出 away □无人应答 no answer □进不去 no access",
            "摔倒了吗 fell?  □是 yes □否 no      请再写一遍结果 result again ____________________",
            "备注 note __________________________________________________________________",
            "签名 signature ____________________   录入 keyed in by __________  ____:____",
        )
        self.set_font(FONT, size=10)
        self.multi_cell(0, 12.5, "\n".join(lines), border=1, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)


def _where(resident: Resident) -> str:
    floor = f"{resident.floor}层" if resident.floor else ""
    # The dwelling's name often begins with the building's already.
    place = (
        resident.home
        if resident.home.startswith(resident.building)
        else resident.building + " " + resident.home
    )
    return f"{place} {floor}".strip()
