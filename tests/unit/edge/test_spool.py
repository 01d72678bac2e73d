from __future__ import annotations

import os
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge.reading import Reading
from edge.timesync import Instant
from tests.unit.edge.parts import ADDRESS, START, data_for, keys, later, opened, reading, window
from vigil.errors import Rejected, Stop, Unavailable
from vigil.events import LaneEnd, Receipt, Shed, Tombstone, check_origin, decode_data, encode
from vigil.topics import Kind, Lane, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.spool import Spool


MB = 1 << 20


@pytest.fixture
def path(quick_path: Path) -> Path:
    return quick_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = opened(path)
    yield spool
    spool.close()


def reports(spool: Spool) -> list[object]:
    return [decode_data(row.envelope()) for row in spool.reports()]


def test_each_lane_counts_from_one_without_gaps(spool: Spool) -> None:
    for _ in range(3):
        spool.put([reading(Lane.ALARM), reading(Lane.EVENT), reading(Lane.EVENT)], START)
    assert keys(spool, Lane.ALARM) == [(spool.boot, n) for n in (1, 2, 3)]
    assert keys(spool, Lane.EVENT) == [(spool.boot, n) for n in range(1, 7)]


def test_an_event_says_the_same_of_itself_as_the_topic_it_will_go_by(spool: Spool) -> None:
    (row,) = spool.put([reading(Lane.ALARM)], START)
    check_origin(row.envelope(), parse(ADDRESS.topic(Kind.ALARM, row.device)))
    assert decode_data(row.envelope()) == data_for(Lane.ALARM)


def test_every_opening_makes_a_new_boot_and_leaves_unsent_rows_theirs(path: Path) -> None:
    first = opened(path)
    first.put([reading()], START)
    first.close()
    second = opened(path)
    second.put([reading()], START)
    assert re.fullmatch(r"1-[0-9a-f]{8}", first.boot)
    assert re.fullmatch(r"2-[0-9a-f]{8}", second.boot)
    assert keys(second, Lane.EVENT) == [(first.boot, 1), (second.boot, 1)]
    second.close()


def test_a_large_event_comes_back_as_it_went_in(spool: Spool) -> None:
    data = window()
    (row,) = spool.put([Reading("d1", data, START.utc)], START)
    assert len(row.packed) < len(encode(row.envelope()))
    (found,) = spool.pending(Lane.ALARM, None, 10)
    assert decode_data(found.envelope()) == data


def test_pending_goes_on_behind_a_row(spool: Spool) -> None:
    rows = spool.put([reading() for _ in range(5)], START)
    assert [row.key.seq for row in spool.pending(Lane.EVENT, rows[1].key, 2)] == [3, 4]


def test_a_receipt_deletes_what_it_covers_and_nothing_else(spool: Spool) -> None:
    spool.put([reading(Lane.EVENT) for _ in range(5)] + [reading(Lane.ALARM)], START)
    assert spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=3)]) == 3
    assert keys(spool, Lane.EVENT) == [(spool.boot, 4), (spool.boot, 5)]
    assert spool.depth() == {Lane.ALARM: 1, Lane.EVENT: 2, Lane.TELEMETRY: 0, Lane.HEALTH: 0}


@pytest.mark.parametrize(
    ("boot", "stored"),
    [("7-00000000", 5), (None, 6), (None, 0)],
    ids=["of another spool", "beyond what was given out", "that covers nothing"],
)
def test_a_receipt_deletes_nothing(spool: Spool, boot: str | None, stored: int) -> None:
    spool.put([reading() for _ in range(5)], START)
    assert spool.release([Receipt(boot=boot or spool.boot, lane=Lane.EVENT, stored=stored)]) == 0
    assert spool.depth()[Lane.EVENT] == 5


def test_an_older_receipt_that_comes_late_takes_nothing_back(spool: Spool) -> None:
    spool.put([reading() for _ in range(5)], START)
    spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=4)])
    spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=2)])
    assert keys(spool, Lane.EVENT) == [(spool.boot, 5)]


def test_what_happened_before_it_was_accepted_has_that_age(spool: Spool) -> None:
    (row,) = spool.put([reading(at=START)], later(7))
    assert row.happened == START.mono


def test_a_birth_lists_every_boot_that_is_not_wholly_stored(path: Path) -> None:
    boots = []
    for n in range(8):
        spool = opened(path)
        boots.append(spool.boot)
        spool.put([reading() for _ in range(n + 1)], START)
        if n != 2:
            spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=n + 1)])
        spool.close()
    spool = opened(path)
    ends = spool.ends()
    assert LaneEnd(boots[2], Lane.EVENT, 3) in ends
    assert LaneEnd(boots[7], Lane.EVENT, 8) in ends
    assert LaneEnd(boots[0], Lane.EVENT, 1) not in ends
    spool.close()


def test_the_last_number_given_out_is_kept_for_ever(path: Path, spool: Spool) -> None:
    spool.put([reading() for _ in range(5)], START)
    spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=5)])
    with sqlite3.connect(path) as look:
        assert look.execute("SELECT * FROM accepted").fetchall() == [(spool.boot, "event", 5, 5)]
    look.close()


class TestWhenFull:
    def fill(self, spool: Spool, lane: Lane, count: int, size: int = 400) -> None:
        for _ in range(count // 50):
            spool.put([reading(lane, size) for _ in range(50)], START)

    def test_it_sheds_telemetry_then_health_then_events(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        self.fill(spool, Lane.EVENT, 500)
        self.fill(spool, Lane.HEALTH, 500)
        self.fill(spool, Lane.TELEMETRY, 500)
        depth_before = spool.depth()
        while spool.depth()[Lane.TELEMETRY]:
            spool.put([reading(Lane.ALARM) for _ in range(50)], START)
            if spool.depth()[Lane.TELEMETRY]:
                assert spool.depth()[Lane.HEALTH] == depth_before[Lane.HEALTH]
        while spool.depth()[Lane.HEALTH]:
            spool.put([reading(Lane.ALARM) for _ in range(50)], START)
            if spool.depth()[Lane.HEALTH]:
                assert not any(isinstance(r, Shed) and r.of_lane is Lane.EVENT for r in reports(spool))
        spool.close()

    def test_it_stays_within_its_bound(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        for _ in range(100):
            self.fill(spool, Lane.EVENT, 50)
            self.fill(spool, Lane.TELEMETRY, 50)
        assert spool.used_bytes() <= MB
        assert path.stat().st_size <= 1.1 * MB
        spool.close()

    def test_it_reports_each_range_it_gave_up_and_these_are_exact(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        self.fill(spool, Lane.EVENT, 20_000)
        given_up = {
            seq
            for report in reports(spool)
            if isinstance(report, Shed)
            for seq in range(report.first, report.last + 1)
        }
        here = {seq for _, seq in keys(spool, Lane.EVENT)}
        last = max(here)
        assert given_up
        assert given_up.isdisjoint(here)
        assert given_up | here == set(range(1, last + 1))
        spool.close()

    def test_it_never_sheds_an_alarm_nor_its_own_reports(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        self.fill(spool, Lane.EVENT, 5000)
        reported = len(spool.reports())
        self.fill(spool, Lane.ALARM, 10_000)
        assert spool.depth()[Lane.ALARM] == 10_000
        assert len(spool.reports()) > reported
        assert spool.depth()[Lane.EVENT] == len(spool.reports())
        spool.close()

    def test_full_of_alarms_it_refuses_what_is_none_and_gives_no_number_for_it(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        self.fill(spool, Lane.ALARM, 10_000)
        with pytest.raises(Unavailable, match="full of alarms"):
            spool.put([reading(Lane.TELEMETRY)], START)
        assert spool.depth()[Lane.TELEMETRY] == 0
        spool.close()

    def test_what_is_accepted_together_with_a_shed_is_in_one_transaction_with_it(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        while not spool.reports():
            self.fill(spool, Lane.TELEMETRY, 50)
        with sqlite3.connect(path) as look:
            (shed,) = look.execute("SELECT sum(last - first + 1) FROM shed").fetchone()
            (last,) = look.execute("SELECT last FROM accepted WHERE lane = 'telemetry'").fetchone()
        look.close()
        assert spool.depth()[Lane.TELEMETRY] == last - shed
        spool.close()


class TestSetAside:
    def test_a_row_stands_aside_with_a_tombstone(self, spool: Spool) -> None:
        rows = spool.put([reading() for _ in range(3)], START)
        spool.set_aside(rows[1].key, 20, START)
        assert [seq for _, seq in keys(spool, Lane.EVENT)] == [1, 3, 4]
        assert reports(spool) == [Tombstone(of_boot=spool.boot, of_lane=Lane.EVENT, of_seq=2, sent=20)]

    def test_it_can_be_brought_back(self, spool: Spool) -> None:
        rows = spool.put([reading() for _ in range(3)], START)
        spool.set_aside(rows[1].key, 20, START)
        assert spool.bring_back(spool.boot, Lane.EVENT, 1) == 1
        assert [seq for _, seq in keys(spool, Lane.EVENT)] == [1, 2, 3, 4]

    def test_a_row_that_is_gone_makes_no_tombstone(self, spool: Spool) -> None:
        rows = spool.put([reading()], START)
        spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=1)])
        spool.set_aside(rows[0].key, 20, START)
        assert reports(spool) == []


class TestADamagedFile:
    def damaged(self, path: Path, rows: int = 600) -> str:
        """Fill a spool and overwrite pages in the middle of the file."""
        spool = opened(path)
        spool.put([reading(Lane.EVENT, device=f"d{n}") for n in range(rows)], START)
        spool.release([Receipt(boot=spool.boot, lane=Lane.EVENT, stored=10)])
        spool.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 2 // 4096 * 4096)
            file.write(os.urandom(3 * 4096))
        return spool.boot

    def test_is_set_aside_and_kept(self, path: Path) -> None:
        self.damaged(path)
        before = path.read_bytes()
        spool = opened(path)
        assert spool.salvage is not None
        assert spool.salvage.aside.read_bytes()[-4096:] == before[-4096:]
        assert spool.salvage.aside.name.startswith("spool.db.corrupt-2026")
        spool.close()

    def test_loses_only_what_stood_in_its_bad_pages_and_says_so_by_range(self, path: Path) -> None:
        boot = self.damaged(path)
        spool = opened(path)
        assert spool.salvage is not None
        assert spool.salvage.complete
        here = {seq for of, seq in keys(spool, Lane.EVENT) if of == boot}
        lost = {
            seq
            for report in reports(spool)
            if isinstance(report, Shed) and report.reason == "spool_corrupt"
            for seq in range(report.first, report.last + 1)
        }
        assert lost
        assert len(here) == spool.salvage.rows > 300
        assert here | lost == set(range(11, 601))
        assert here.isdisjoint(lost)
        spool.close()

    def test_gives_the_next_boot_a_higher_ordinal(self, path: Path) -> None:
        boot = self.damaged(path)
        spool = opened(path)
        assert spool.ordinal == int(boot.split("-")[0]) + 1
        spool.close()

    def test_of_which_nothing_can_be_read_begins_anew_and_says_that_more_may_be_missing(
        self, path: Path
    ) -> None:
        path.write_bytes(b"this is no database" * 1000)
        spool = opened(path)
        assert spool.salvage is not None
        assert not spool.salvage.complete
        spool.put([reading()], START)
        spool.close()

    def test_what_was_shed_before_is_not_reported_as_lost_again(self, path: Path) -> None:
        spool = opened(path, max_bytes=MB)
        while not spool.reports():
            spool.put([reading(Lane.TELEMETRY, 400) for _ in range(50)], START)
        boot = spool.boot
        spool.close()
        shutil.copy(path, path.with_name("copy"))
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(os.urandom(4096))
        spool = opened(path, max_bytes=MB)
        shed = [
            r
            for r in reports(spool)
            if isinstance(r, Shed) and r.of_boot == boot and r.of_lane == Lane.TELEMETRY
        ]
        numbers = [seq for report in shed for seq in range(report.first, report.last + 1)]
        assert len(numbers) == len(set(numbers))
        spool.close()

    def test_a_row_whose_bytes_have_changed_is_found_out_when_it_is_read(
        self, path: Path, spool: Spool
    ) -> None:
        spool.put([Reading("d1", window(), START.utc)], START)
        with sqlite3.connect(path) as db:
            db.execute("UPDATE spooled SET payload = CAST(substr(payload, 1, 40) || zeroblob(60) AS BLOB)")
        db.close()
        (row,) = spool.pending(Lane.ALARM, None, 1)
        with pytest.raises(Rejected):
            row.envelope()


@pytest.mark.usefixtures("spool")
def test_two_processes_cannot_share_a_spool(path: Path) -> None:
    with pytest.raises(Stop, match="in use"):
        opened(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"nowhere.spool\.db"):
        opened(tmp_path / "nowhere" / "spool.db")


def test_a_disk_without_room_refuses_and_the_numbers_go_on_without_a_gap(spool: Spool) -> None:
    spool.put([reading()], START)
    (pages,) = spool._db.execute("PRAGMA page_count").fetchone()
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable):
        spool.put([reading(Lane.EVENT, device=f"d{n}") for n in range(10_000)], START)
    last = keys(spool, Lane.EVENT)[-1][1]
    spool._db.execute("PRAGMA max_page_count = 1000000")
    (row,) = spool.put([reading()], START)
    assert row.key.seq == last + 1
    assert spool.depth()[Lane.EVENT] == last + 1


def test_the_clock_s_state_is_written_into_the_event(spool: Spool) -> None:
    unsure = Instant(START.utc, START.mono, "machine-1", "holdover", 1.5)
    (row,) = spool.put([reading()], unsure)
    assert (row.envelope().clock, row.envelope().clockerr) == ("holdover", 1.5)
