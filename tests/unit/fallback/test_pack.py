from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fallback import configuration, pack, papers
from fallback.state import Mode, Verdict
from tests.unit.fallback.conftest import T0, pages
from vigil.errors import Rejected
from vigil.roster import Contact, Person, Resident, Roster

if TYPE_CHECKING:
    from collections.abc import Callable

ROSTER = Roster(
    community="c1",
    made_at=T0 - timedelta(minutes=2),
    estates={"e1": "北里"},
    residents=[
        Resident(id="r1", estate="e1", name="王秀英", risk=1, building="2号楼", floor=3, home="2号楼301"),
        Resident(
            id="r2",
            estate="e1",
            name="=cmd()",
            risk=3,
            building="10号楼",
            key_holders=[Contact("张", "000", "邻居")],
        ),
        Resident(id="r3", estate="e2", name="别处", risk=3),
    ],
    staff=[Person("李娜", "000-1", "grid_worker", ["*"]), Person("别处", "000-2", "grid_worker", ["e2"])],
)
PAGE = papers._Paper(pack.facts_of(ROSTER, "e1", {}, [], ZoneInfo("Asia/Shanghai"), T0))
PAGE.add_page()
PAGE.set_font(papers.FONT, size=9)


@pytest.fixture(scope="module")
def facts() -> papers.Facts:
    library = configuration.library()[:1]
    return pack.facts_of(
        ROSTER, "e1", {"r1": T0 - timedelta(minutes=9)}, library, ZoneInfo("Asia/Shanghai"), T0
    )


def test_a_pack_holds_its_own_estate_alone(facts: papers.Facts) -> None:
    assert [task.resident.id for task in facts.tasks] == ["r1", "r2"]
    assert [person.name for person in facts.staff] == ["李娜"]


def test_the_number_of_a_later_pack_is_higher(facts: papers.Facts) -> None:
    later = pack.facts_of(ROSTER, "e1", {}, [], facts.zone, T0 + pack.PERIOD)
    assert later.number > facts.number


def test_the_sheet_is_in_the_order_of_knocking_and_no_name_becomes_a_formula(facts: papers.Facts) -> None:
    rows = list(csv.DictReader(io.StringIO(papers.sheet(facts).decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["r2", "r1"]
    assert rows[0]["name"] == "'=cmd()"
    assert rows[0]["key_holders"] == "邻居 张 000"


def test_the_paper_is_an_encrypted_pdf(facts: papers.Facts) -> None:
    made = papers.pdf(facts, "sesame")
    assert made.startswith(b"%PDF-")
    assert b"/Encrypt" in made
    assert "王秀英".encode("utf-16-be") not in made


def test_every_page_of_a_drills_papers_says_so_and_of_no_others(facts: papers.Facts, tmp_path: Path) -> None:
    practised = pages(papers.pdf(replace(facts, drill=True), ""), tmp_path)
    assert "这是演练" in practised[0]
    assert [page.count("演练 DRILL") for page in practised] == [2] * len(practised)
    assert not any("DRILL" in page for page in pages(papers.pdf(facts, ""), tmp_path))


@pytest.mark.parametrize(
    ("mode", "drill", "wanted"),
    [
        (Mode.NORMAL, False, True),
        (Mode.DEGRADED, False, True),
        (Mode.FALLBACK, False, False),
        (Mode.FALLBACK, True, True),
        (Mode.RECOVERING, False, False),
    ],
)
def test_packs_are_written_while_all_is_well_and_through_drills(
    mode: Mode, drill: bool, wanted: bool
) -> None:
    assert pack.wanted(Verdict(mode, T0, drill=drill)) is wanted


@given(st.lists(st.text("王邻居 物业01234；-", min_size=1, max_size=12), min_size=1, max_size=12))
def test_no_telephone_number_is_cut_off_on_paper(words: list[str]) -> None:
    text = "；".join(words)
    lines = PAGE._lines(text, 48)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(PAGE.get_string_width(line) <= 48 for line in lines)


def test_a_note_without_end_leaves_room_for_the_others() -> None:
    assert len(PAGE._lines("听力不好" * 500, 30)) == papers.MOST_LINES


def test_there_is_a_form_for_every_fourth_resident_and_some_to_spare(facts: papers.Facts) -> None:
    assert papers.forms(facts) == 4
    assert papers.forms(replace(facts, tasks=[*facts.tasks] * 50)) == 25


@pytest.mark.parametrize(
    ("minutes", "said"), [(0, "0 min"), (119, "119 min"), (125, "2 h 5 min"), (-3, "0 min")]
)
def test_an_age_is_said_as_one_reads_it_out(minutes: int, said: str) -> None:
    assert papers.age_words(timedelta(minutes=minutes))[1] == said


def test_the_passphrase_unlocks_and_no_other_does() -> None:
    locked = pack.lock(b"names", "sesame", os.urandom(28))
    assert b"names" not in locked
    assert pack.unlock(locked, "sesame") == b"names"
    with pytest.raises(Rejected, match="passphrase is another"):
        pack.unlock(locked, "guess")
    with pytest.raises(Rejected, match="changed"):
        pack.unlock(locked[:-1] + bytes([locked[-1] ^ 1]), "sesame")
    with pytest.raises(Rejected, match="no locked file"):
        pack.unlock(b"names", "sesame")


def test_a_seal_holds_for_its_file_its_content_and_its_key(facts: papers.Facts) -> None:
    key = Ed25519PrivateKey.generate()
    sealed = pack.seal("a.pdf", b"content", facts, key)
    assert pack.check_seal("a.pdf", b"content", sealed, key.public_key()).roster_at == ROSTER.made_at
    for name, content, by in (
        ("b.pdf", b"content", key),
        ("a.pdf", b"other", key),
        ("a.pdf", b"content", Ed25519PrivateKey.generate()),
    ):
        with pytest.raises(Rejected, match="forged"):
            pack.check_seal(name, content, sealed, by.public_key())


def test_a_pack_is_written_to_every_place_and_a_place_that_fails_is_named(
    facts: papers.Facts, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("a file stands where the folder should be")
    places = [tmp_path / "a", tmp_path / "broken", tmp_path / "b"]
    written, wrong = pack.build(facts, "sesame", os.urandom(32), places)
    assert {each.path.parent.name for each in written} == {"a", "b"}
    assert len(written) == 8
    assert [sentence.partition(":")[0] for sentence in wrong] == ["broken"]
    locked = tmp_path / "a" / f"vigil-{facts.number}.csv.vigil"
    assert "王秀英" in pack.unlock(locked.read_bytes(), "sesame").decode("utf-8-sig")


def test_only_the_latest_packs_are_kept(tmp_path: Path) -> None:
    for number in range(9, 14):
        pack.write(tmp_path, {f"vigil-{number}.pdf": b"", f"vigil-{number}.csv.vigil": b""})
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {f"vigil-{n}.{kind}" for n in (11, 12, 13) for kind in ("pdf", "csv.vigil")}


def test_a_report_is_a_pdf() -> None:
    assert papers.plain("演练报告", ["✓ 发现 detected: 12 s"]).startswith(b"%PDF-")


def test_the_process_that_makes_packs_ends_with_the_watchdog() -> None:
    code = (
        "from concurrent.futures import ProcessPoolExecutor as P; from multiprocessing import get_context as c;"
        "import os, signal; from fallback import pack; p = P(1, c('spawn'), pack.end_with_parent);"
        "print(p.submit(os.getpid).result(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    maker = int(done.stdout)
    assert wait_until(lambda: not alive(maker))


def alive(pid: int) -> bool:
    try:
        # An orphan that has ended may wait for whoever adopted it: a zombie lives no more.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()
