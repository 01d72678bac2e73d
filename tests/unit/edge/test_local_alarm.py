from __future__ import annotations

import pytest

from edge.box import looks_like_fall
from edge.local_alarm import Watch
from edge.spool import Key
from tests.unit.edge.parts import window
from vigil.events import Answer, Data, Hazard, Sos
from vigil.topics import Lane


@pytest.fixture
def watch() -> Watch:
    return Watch(looks_like_fall)


def alarm(seq: int = 1) -> Key:
    return Key(Lane.ALARM, 1, seq)


def test_a_fall_that_nobody_confirmed_for_twenty_seconds_is_sounded(watch: Watch) -> None:
    watch.accepted(alarm(), "d1", window(), 100.0, None)
    assert watch.due(119.9) == []
    (sounding,) = watch.due(120.0)
    assert (sounding.device, sounding.episode, sounding.silent_s) == ("d1", "d1-1", 20.0)


def test_a_confirmed_one_is_not(watch: Watch) -> None:
    watch.accepted(alarm(), "d1", window(), 100.0, None)
    watch.stored(1, Lane.ALARM, 1)
    assert watch.due(1000.0) == []


def test_confirming_earlier_ones_or_other_lanes_confirms_nothing(watch: Watch) -> None:
    watch.accepted(alarm(5), "d1", window(), 100.0, None)
    watch.stored(1, Lane.ALARM, 4)
    watch.stored(1, Lane.EVENT, 9)
    watch.stored(2, Lane.ALARM, 9)
    assert len(watch.due(1000.0)) == 1


def test_an_impact_without_a_change_of_posture_is_not_worth_a_siren(watch: Watch) -> None:
    watch.accepted(alarm(), "d1", window(fall=False), 100.0, None)
    assert watch.due(1000.0) == []


def test_an_episode_is_sounded_once(watch: Watch) -> None:
    watch.accepted(alarm(1), "d1", window(), 100.0, None)
    watch.accepted(alarm(2), "d1", window(), 101.0, None)
    assert len(watch.due(130.0)) == 1
    watch.accepted(alarm(3), "d1", window(), 131.0, None)
    assert watch.due(200.0) == []


def test_what_an_earlier_start_has_sounded_is_not_sounded_again(watch: Watch) -> None:
    watch.sounded("d1-1")
    watch.accepted(alarm(), "d1", window(), 100.0, None)
    assert watch.due(1000.0) == []


@pytest.mark.parametrize("data", [Sos(by="button"), Hazard(hazard="smoke"), Answer(answer="help")])
def test_calls_for_help_and_hazards_always_count(watch: Watch, data: Data) -> None:
    watch.accepted(alarm(), "d1", data, 100.0, None)
    assert len(watch.due(120.0)) == 1


@pytest.mark.parametrize("data", [Answer(answer="fine"), Hazard(hazard="smoke", active=False)])
def test_good_news_do_not(watch: Watch, data: Data) -> None:
    watch.accepted(alarm(), "d1", data, 100.0, None)
    assert watch.due(1000.0) == []


def test_two_presses_of_a_button_are_two_episodes(watch: Watch) -> None:
    for seq in (1, 2):
        watch.accepted(alarm(seq), "d1", Sos(by="button"), 100.0, None)
    assert len(watch.due(120.0)) == 2


def test_an_alarm_that_no_disk_took_is_sounded_at_once(watch: Watch) -> None:
    watch.refused("d1", Sos(by="button"), "d1-now", None)
    (sounding,) = watch.due(0.0)
    assert sounding.episode == "d1-now"
    assert watch.due(1000.0) == []


def test_the_canary_frightens_nobody(watch: Watch) -> None:
    watch.accepted(alarm(), "d1", Sos(by="button"), 100.0, "canary")
    assert watch.due(1000.0) == []
