"""What `python -m deploy.check` says of what it sees; the servers are in tests/integration/deploy/test_check.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from deploy.check import judge
from vigil.topics import ALARM, KAFKA_TOPICS

NOW: Final = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
WELL: Final = dict.fromkeys(KAFKA_TOPICS, (1, 1))
FORTNIGHT: Final = 14 * 24 * 3600 * 1000


def bad(*findings: judge.Finding) -> list[str]:
    """What is wrong; whatever is wrong has a remedy."""
    assert all(bool(finding.remedy) is not finding.good for finding in findings)
    return [finding.says for finding in findings if not finding.good]


def metrics(
    good: int = 3, mode: str = "normal", papers_s: float = 60, log_s: float = 2, base_h: float = 3
) -> str:
    """What a watchdog and a stream of backups serve."""
    at = NOW.timestamp()
    return "\n".join(
        [
            "# HELP vigil_canary_total Canaries judged.",
            f'vigil_canary_total{{estate="e1",judgement="good"}} {good}.0',
            'vigil_canary_total{estate="e1",judgement="late"} 9.0',
            f'vigil_fallback_mode{{estate="e1",mode="normal"}} {float(mode == "normal")}',
            f'vigil_fallback_mode{{estate="e1",mode="fallback"}} {float(mode == "fallback")}',
            f'vigil_fallback_pack_timestamp_seconds{{estate="e1"}} {at - papers_s}',
            f"vigil_backup_wal_timestamp_seconds {at - log_s}",
            f"vigil_backup_base_timestamp_seconds {at - base_h * 3600}",
        ]
    )


def test_a_broker_that_lets_anybody_in_is_named() -> None:
    assert bad(judge.strangers(0)) == ["the broker lets anybody in"]
    assert not bad(judge.strangers(5), judge.strangers(0x87))


def test_an_access_list_that_is_not_in_force_is_named() -> None:
    assert "not in force" in bad(judge.access(came_back=True))[0]
    assert not bad(judge.access(came_back=False))


def test_a_door_without_certificates_and_one_whose_own_ends_soon_are_named() -> None:
    year, week = NOW + timedelta(days=365), NOW + timedelta(days=7)
    assert not bad(*judge.boxes_door(without_certificate=False, ends=year, now=NOW))
    assert "lets in" in bad(*judge.boxes_door(without_certificate=True, ends=year, now=NOW))[0]
    assert "ends in 7 days" in bad(*judge.boxes_door(without_certificate=False, ends=week, now=NOW))[0]


def test_topics_that_are_missing_or_thin_are_named() -> None:
    assert not bad(*judge.topics(WELL, 1))
    without = {topic: copies for topic, copies in WELL.items() if topic != ALARM}
    assert bad(*judge.topics(without, 1)) == [f"Kafka lacks {ALARM}"]
    assert ALARM in bad(*judge.topics({**dict.fromkeys(KAFKA_TOPICS, (3, 3)), ALARM: (3, 2)}, 3))[0]


def test_a_log_that_forgets_before_a_backup_does_is_named() -> None:
    assert not bad(judge.retention(dict.fromkeys(KAFKA_TOPICS, FORTNIGHT)))
    assert not bad(judge.retention({ALARM: -1}))
    assert ALARM in bad(judge.retention({ALARM: FORTNIGHT - 1}))[0]
    assert "does not say" in judge.retention({}).says


@pytest.mark.parametrize(("off_s", "wrong"), [(0.5, 0), (-0.5, 0), (4, 1), (-4, 1)])
def test_a_server_whose_clock_is_elsewhere_is_named(off_s: float, wrong: int) -> None:
    asked = NOW, NOW + timedelta(seconds=0.2)
    found = judge.clocks("PostgreSQL", NOW + timedelta(seconds=off_s), *asked)
    assert len(bad(found)) == wrong


def test_a_slow_answer_is_no_wrong_clock() -> None:
    assert not bad(judge.clocks("PostgreSQL", NOW + timedelta(seconds=3), NOW, NOW + timedelta(seconds=4)))


def test_a_clock_that_nobody_sets_is_named() -> None:
    assert bad(judge.own_clock(synchronised=False))
    assert not bad(judge.own_clock(synchronised=True))


def test_a_process_that_is_not_ready_says_what_it_lacks() -> None:
    assert not bad(judge.ready("api", {"ready": True, "checks": {"database": "ok"}}))
    said = {"ready": False, "checks": {"database": "ok", "mqtt": "connection is down"}}
    assert bad(judge.ready("ingest", said)) == ["ingest is not ready: mqtt: connection is down"]


def test_canaries_that_do_not_come_are_named_however_many_came_before() -> None:
    assert not bad(judge.canaries(metrics(3), metrics(4), 9))
    assert bad(judge.canaries(metrics(3), metrics(3), 20)) == ["no canary came the whole way within 20 s"]
    assert bad(judge.canaries("", "", 20))


def test_an_estate_in_fallback_is_named() -> None:
    assert not bad(judge.modes(metrics()))
    assert 'mode="fallback"' in bad(judge.modes(metrics(mode="fallback")))[0]


def test_old_papers_and_none_at_all_are_named() -> None:
    assert not bad(judge.papers(metrics(), NOW))
    assert "older than 15 minutes" in bad(judge.papers(metrics(papers_s=1000), NOW))[0]
    assert bad(judge.papers("", NOW)) == ["there are no papers"]


def test_backups_that_stand_are_named() -> None:
    assert not bad(*judge.backups(metrics(), NOW))
    assert "90 s ago" in bad(*judge.backups(metrics(log_s=90), NOW))[0]
    assert "a base backup" in bad(*judge.backups(metrics(base_h=30), NOW))[0]
    assert len(bad(*judge.backups("", NOW))) == 2


def test_a_person_reads_what_is_wrong_and_what_helps() -> None:
    lines = [*judge.told([judge.strangers(0), judge.strangers(5)])]
    assert [line[:6] for line in lines] == ["BAD th", "    ->", "ok  th"]
