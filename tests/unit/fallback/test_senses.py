from __future__ import annotations

from datetime import datetime, timedelta

from fallback.coverage import SILENT
from fallback.liveness import Process
from fallback.probes import Looked
from fallback.senses import Heard, Listening, Noted, Senses
from tests.unit.fallback.conftest import T0
from vigil.progress import Work

LONG = SILENT + timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def listening() -> Senses:
    senses = Senses([])
    senses.take(Listening(on=True, at=T0))
    return senses


def codes(senses: Senses, now: datetime, estate: str = "e1") -> list[tuple[str, str]]:
    return [(cause.code, cause.subject) for cause in senses.findings(estate, {"n1"}, now).causes]


def test_a_node_whose_will_came_is_silent_since_then() -> None:
    senses = Senses([])
    senses.take(Heard("n1", online=False, at=T0))
    assert senses.silent(T0 + SILENT - timedelta(seconds=1)) == {}
    assert senses.silent(T0 + LONG) == {"n1": T0}


def test_a_node_that_hangs_without_a_will_is_silent_since_its_last_health() -> None:
    senses = listening()
    senses.take(Heard("n1", online=True, at=at(7)))
    assert senses.silent(at(7) + LONG) == {"n1": at(7)}


def test_a_node_that_is_lost_is_named_within_the_ninety_seconds_of_the_design() -> None:
    will = timedelta(seconds=15)
    assert will + SILENT <= timedelta(seconds=90)


def test_a_node_that_nobody_ever_heard_is_not_one_that_fell_silent() -> None:
    assert listening().silent(at(3600)) == {}


def test_while_the_platform_does_not_store_silence_means_nothing() -> None:
    senses = listening()
    senses.take(Heard("n1", online=True, at=at(1)))
    senses.take(Listening(on=False, at=at(2)))
    assert senses.silent(at(600)) == {}
    senses.take(Listening(on=True, at=at(600)))
    assert senses.silent(at(600) + SILENT - timedelta(seconds=1)) == {}
    assert senses.silent(at(600) + LONG) == {"n1": at(1)}


def test_what_was_missed_while_the_watchdog_stood_still_is_held_against_nobody() -> None:
    senses = listening()
    senses.take(Heard("n1", online=True, at=at(1)))
    senses.stood_still(at(600))
    assert senses.silent(at(601)) == {}


def test_a_silent_node_is_found_where_it_watches_over_somebody() -> None:
    senses = listening()
    for node in ("n1", "n2"):
        senses.take(Heard(node, online=True, at=T0))
    assert codes(senses, T0 + LONG) == [("node", "n1")]


def test_what_is_noted_of_one_estate_is_not_the_others() -> None:
    senses = Senses([])
    senses.take(Noted("unanswered", "3", T0, "e1"))
    senses.take(Noted("pack", "disk full", T0))
    assert codes(senses, T0, "e1") == [("unanswered", "e1"), ("pack", "")]
    assert codes(senses, T0, "e2") == [("pack", "")]


def test_what_is_well_again_is_forgotten_and_what_lasts_keeps_its_beginning() -> None:
    senses = Senses([])
    senses.take(Noted("disk", "9 MB", T0))
    senses.take(Noted("disk", "8 MB", at(30)))
    (cause,) = senses.findings("e1", (), at(30)).soft
    assert (cause.since, cause.detail) == (T0, "8 MB")
    senses.take(Noted("disk", None, at(60)))
    assert codes(senses, at(60)) == []


def test_a_process_that_hangs_with_work_in_hand_is_hard() -> None:
    senses = Senses([Process("ingest", "http://ingest")])
    for number in range(4):
        senses.take(Looked("http://ingest", None, at(5 * number), {"bulk": Work(5, 9)}))
    (cause,) = senses.findings("e1", (), at(20)).hard
    assert (cause.code, cause.detail) == ("service", "bulk: 9 waiting, none done")
