"""What a backup runs, keeps and judges; the programs themselves are in the restore drill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.backup import plan
from vigil.errors import Stop

NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
WAL = Path("/srv/backup/wal")


def days(*ages: float) -> list[str]:
    """Names of base backups of these ages."""
    return [plan.stamp(NOW - timedelta(days=age)) for age in ages]


def segment(number: int, timeline: int = 1) -> str:
    return "{:08X}{:08X}{:08X}".format(timeline, *divmod(number, 256))


def test_no_password_stands_in_the_list_of_processes() -> None:
    found = plan.server("postgresql://backup:s%40cret@db:5433/vigil?sslmode=verify-full")
    assert found.environment == {"PGPASSWORD": "s@cret"}
    for command in (plan.slot_command(found.address), plan.stream_command(found.address, WAL)):
        assert "cret" not in " ".join(command)
    assert found.address == "postgresql://backup@db:5433/vigil?sslmode=verify-full&application_name=vigil_wal"


def test_a_server_without_a_password_is_asked_without_one() -> None:
    assert plan.server("postgresql://db/vigil").environment == {}


def test_a_commit_may_wait_for_the_stream_since_each_write_is_flushed_and_told() -> None:
    assert "--synchronous" in plan.stream_command("postgresql://db", WAL)


def test_a_backup_s_name_is_its_moment() -> None:
    assert plan.begun(plan.stamp(NOW)) == NOW
    assert plan.begun("new") is None


def test_the_newest_base_is_restored_or_the_newest_from_before_a_moment() -> None:
    names = ["new", *days(3, 1, 2)]
    assert plan.chosen(names, None) == days(1)[0]
    assert plan.chosen(names, NOW - timedelta(days=1.5)) == days(2)[0]
    with pytest.raises(Stop, match="no base backup from before"):
        plan.chosen(names, NOW - timedelta(days=9))


def test_old_bases_go_but_two_stay_whatever_their_age() -> None:
    keep = timedelta(days=14)
    assert plan.outlived(days(40, 20, 15, 13, 1), keep, NOW) == days(40, 20, 15)
    assert plan.outlived(days(40, 30, 20), keep, NOW) == days(40)


def test_a_base_says_in_which_segment_it_begins() -> None:
    label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000080\n"
    assert plan.first_segment(label) == segment(2)
    with pytest.raises(Stop, match="not whole"):
        plan.first_segment("START")


@given(st.integers(0, 600), st.integers(1, 40), st.data())
def test_a_missing_segment_is_found_wherever_it_is(first: int, count: int, data: st.DataObject) -> None:
    names = [segment(number) for number in range(first, first + count)]
    names[-1] += ".partial"
    assert plan.missing(names, segment(first)) is None
    if count > 1:
        gone = data.draw(st.integers(0, count - 2))
        assert plan.missing(names[:gone] + names[gone + 1 :], segment(first)) == segment(first + gone)[8:]


def test_an_empty_stream_lacks_the_first_segment() -> None:
    assert plan.missing([], segment(7)) == segment(7)[8:]


def test_older_segments_and_files_of_timelines_are_no_gap_and_a_new_timeline_goes_on() -> None:
    names = [segment(1), segment(2), segment(3), f"{segment(3)}.partial", segment(3, 2), segment(4, 2)]
    assert plan.missing(["00000002.history", *names], segment(2)) is None


def test_a_restoration_reads_to_the_last_moment_or_to_one_that_is_named() -> None:
    whole = plan.recovery_settings(WAL, None)
    assert f"cp {WAL}/%f %p 2>/dev/null || cp {WAL}/%f.partial %p" in whole
    assert "recovery_target_time = ''" in whole, "an earlier restoration's moment would stand in the copy"
    east = datetime.fromisoformat("2026-11-24T11:15:00.25+08:00")
    assert "recovery_target_time = '2026-11-24 03:15:00.250000+00'" in plan.recovery_settings(WAL, east)


def test_a_folder_that_would_be_a_command_is_refused() -> None:
    with pytest.raises(Stop, match="letters, digits"):
        plan.recovery_settings(Path("/srv/x; rm -r y"), None)


def test_backups_that_would_do_have_no_finding_against_them() -> None:
    fresh = NOW - timedelta(hours=3), NOW - timedelta(seconds=2)
    assert all(finding.good for finding in plan.judged(*fresh, None, NOW))


@pytest.mark.parametrize(
    ("newest", "streamed", "gap", "says"),
    [
        (None, NOW, None, "there is no base backup"),
        (NOW - timedelta(hours=27), NOW, None, "27.0 h old"),
        (NOW, None, None, "vigil-wal.service"),
        (NOW, NOW - timedelta(seconds=61), None, "61 s ago"),
        (NOW, NOW, "0000000000000007", "segment 0000000000000007"),
    ],
)
def test_backups_that_would_not_do_say_why(
    newest: datetime | None, streamed: datetime | None, gap: str | None, says: str
) -> None:
    bad = [finding.says for finding in plan.judged(newest, streamed, gap, NOW) if not finding.good]
    assert len(bad) == 1
    assert says in bad[0]
