from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import fusion
from processors.fusion import ALERT, REVIEW, TOGETHER, Episode, Evidence, Verdict, Worn
from tests.making import NOW

scores = st.floats(0, 1)
devices = st.sampled_from(["a", "b", "c"])
moments = st.integers(-20, 20).map(lambda seconds: NOW + timedelta(seconds=seconds))


def worn(score: float, at: Any = NOW, device: str = "a") -> Evidence:
    return Evidence(at=at, device=device, detection=f"d-{device}", wearable=score)


def seen(score: float, at: Any = NOW, device: str = "b") -> Evidence:
    return Evidence(at=at, device=device, detection=f"d-{device}", camera=score)


def lay(share: float | None, at: Any = NOW) -> Evidence:
    return Evidence(at=at, device="a", still=share)


def said(answer: str, at: Any = NOW) -> Evidence:
    return Evidence(at=at, device="a", answer=answer)


def did(sensor: str, seconds: float = 10) -> Evidence:
    return Evidence(at=NOW + timedelta(seconds=seconds), device="tap", activity=sensor)


detections = st.builds(worn, scores, moments, devices) | st.builds(seen, scores, moments, devices)
stillness = st.builds(lay, st.none() | scores, moments)
not_walking = st.builds(lay, st.none() | st.floats(fusion.MOVING, 1, exclude_min=True), moments)
activities = st.builds(did, st.sampled_from(sorted(fusion.ACTIVITY_LOGITS)), st.floats(-90, 90))
answers = st.builds(said, st.sampled_from(["fine", "help"]), moments)
anything = detections | stillness | answers | activities


def fed(evidence: list[Evidence]) -> tuple[Episode | None, list[Verdict]]:
    episode, verdicts = None, []
    for word in evidence:
        episode, verdict = fusion.step(episode, word)
        verdicts.append(verdict)
    return episode, verdicts


@given(st.lists(detections, min_size=1, max_size=6), detections)
def test_more_evidence_of_a_fall_never_lowers_its_probability(known: list[Evidence], more: Evidence) -> None:
    before, _ = fed(known)
    after, _ = fed([*known, more])
    assert before is not None
    assert after is not None
    assert fusion.probability(after) >= fusion.probability(before) - 1e-12


@given(st.lists(detections, min_size=1, max_size=6), st.floats(fusion.STILL, 1))
def test_lying_still_never_lowers_the_probability(known: list[Evidence], share: float) -> None:
    before, _ = fed(known)
    after, _ = fed([*known, lay(share)])
    assert before is not None
    assert after is not None
    assert fusion.probability(after) >= fusion.probability(before)


@given(scores, scores)
def test_a_sensor_that_sees_nothing_takes_nothing_away(score: float, nothing: float) -> None:
    alone, _ = fed([worn(score)])
    beside, _ = fed([worn(score), seen(nothing)])
    assert alone is not None
    assert beside is not None
    assert fusion.probability(beside) >= fusion.probability(alone) - 1e-12


@given(st.floats(REVIEW, 1), st.sampled_from([worn, seen]))
def test_one_sensor_alone_is_enough_to_raise_or_to_ask(score: float, sensor: Any) -> None:
    _, verdict = fusion.step(None, sensor(score))
    assert verdict is (Verdict.RAISE if score >= ALERT else Verdict.WAIT) or score == pytest.approx(ALERT)


def test_two_uncertain_sensors_together_are_certain() -> None:
    _, verdicts = fed([worn(0.85), seen(0.85)])
    assert verdicts == [Verdict.WAIT, Verdict.RAISE]


def test_the_order_of_two_sensors_does_not_matter() -> None:
    one, _ = fed([worn(0.7), seen(0.8)])
    other, _ = fed([seen(0.8), worn(0.7)])
    assert one is not None
    assert other is not None
    assert fusion.probability(one) == fusion.probability(other)


@given(st.floats(REVIEW + 1e-6, ALERT - 1e-6))
def test_who_is_uncertain_and_hears_nothing_raises(score: float) -> None:
    waiting, verdict = fusion.step(None, worn(score))
    assert verdict is Verdict.WAIT
    assert fusion.overdue(waiting)[1] is Verdict.RAISE


@given(st.floats(REVIEW + 1e-6, ALERT - 1e-6), st.lists(detections | not_walking, max_size=8))
def test_nothing_but_an_answer_an_alarm_or_somebody_up_and_about_ends_a_wait(
    score: float, later: list[Evidence]
) -> None:
    episode, verdicts = fed([worn(score), *later])
    assert episode is not None
    raised = Verdict.RAISE in verdicts
    assert raised or fusion.overdue(episode)[1] is Verdict.RAISE


def test_lying_still_turns_a_question_into_an_alarm() -> None:
    _, verdicts = fed([worn(0.8), lay(1.0)])
    assert verdicts == [Verdict.WAIT, Verdict.RAISE]


def test_walking_about_takes_away_from_an_uncertain_fall_only() -> None:
    uncertain, _ = fed([worn(0.8), lay(0.0)])
    certain, _ = fed([worn(0.97), lay(0.0)])
    assert uncertain is not None
    assert certain is not None
    assert fusion.probability(uncertain) < 0.8
    assert fusion.probability(certain) >= ALERT


def test_who_walks_about_after_an_uncertain_fall_is_not_asked_about_any_longer() -> None:
    episode, verdicts = fed([worn(0.6), lay(0.0)])
    assert episode is not None
    assert verdicts == [Verdict.WAIT, Verdict.KEEP]
    assert not episode.waiting


@pytest.mark.parametrize("sensor", ["door", "water_use", "appliance", "chair", "bed"])
def test_who_opens_a_door_or_a_tap_after_an_uncertain_fall_is_on_their_feet(sensor: str) -> None:
    episode, verdicts = fed([worn(0.7), did(sensor)])
    assert episode is not None
    assert verdicts == [Verdict.WAIT, Verdict.KEEP]
    assert not episode.waiting


def test_motion_alone_does_not_end_the_wait_for_a_likely_fall() -> None:
    episode, verdicts = fed([worn(0.65), did("motion", 10), did("motion", 20), did("presence", 25)])
    assert episode is not None
    assert verdicts[-1] is Verdict.WAIT
    assert fusion.overdue(episode)[1] is Verdict.RAISE


@pytest.mark.parametrize("seconds", [-30, 0, 4.9, 60.1])
def test_what_moves_before_at_or_long_after_a_fall_says_nothing_against_it(seconds: float) -> None:
    episode, _ = fed([worn(0.6), did("door", seconds)])
    assert episode is not None
    assert episode.waiting
    assert fusion.probability(episode) == pytest.approx(0.6)


@given(st.floats(ALERT + 1e-6, 1), activities)
def test_no_activity_takes_anything_from_a_certain_fall(score: float, seen_: Evidence) -> None:
    episode, verdicts = fed([worn(score), seen_])
    assert episode is not None
    assert verdicts == [Verdict.RAISE, Verdict.KEEP]
    assert fusion.probability(episode) >= ALERT


@given(st.floats(ALERT + 1e-6, 1), st.integers(11, 60))
def test_who_was_up_again_and_falls_for_certain_is_raised(score: float, seconds: int) -> None:
    _, verdicts = fed([worn(0.6), did("door"), worn(score, NOW + timedelta(seconds=seconds))])
    assert verdicts == [Verdict.WAIT, Verdict.KEEP, Verdict.RAISE]


def test_an_uncertain_fall_after_the_first_is_asked_about_again_as_soon_as_both_say_enough() -> None:
    _, verdicts = fed([worn(0.6), did("door"), worn(0.9, NOW + timedelta(seconds=30))])
    assert verdicts == [Verdict.WAIT, Verdict.KEEP, Verdict.WAIT]


def test_stillness_that_nobody_measured_says_nothing() -> None:
    alone, _ = fed([worn(0.8)])
    unmeasured, _ = fed([worn(0.8), lay(None)])
    assert alone is not None
    assert unmeasured is not None
    assert fusion.probability(unmeasured) == fusion.probability(alone)


def test_stillness_without_any_suspicion_is_kept_and_raises_nothing() -> None:
    _, verdicts = fed([lay(1.0)])
    assert verdicts == [Verdict.KEEP]


def test_fine_ends_the_wait_without_an_alarm() -> None:
    episode, verdicts = fed([worn(0.8), said("fine", NOW + timedelta(seconds=9))])
    assert episode is not None
    assert verdicts == [Verdict.WAIT, Verdict.KEEP]
    assert fusion.overdue(episode)[1] is Verdict.KEEP


@given(st.lists(anything, max_size=6))
def test_help_raises_whatever_is_known(known: list[Evidence]) -> None:
    _, verdicts = fed([*known, said("help")])
    assert verdicts[-1] is Verdict.RAISE


@given(st.lists(detections | stillness, min_size=1, max_size=8), st.lists(anything, max_size=8))
def test_within_a_settled_episode_nothing_is_raised_but_a_call_for_help(
    first: list[Evidence], later: list[Evidence]
) -> None:
    episode, _ = fed([worn(0.99), *first])
    for word in later:
        assert episode is not None
        settled = episode.settled and episode.answered is None
        episode, verdict = fusion.step(episode, word)
        if settled and word.answer != "help":
            assert verdict is Verdict.KEEP


@given(st.floats(ALERT, 1), st.integers(1, 50))
def test_who_said_to_be_fine_and_falls_again_is_raised(score: float, seconds: int) -> None:
    fine = said("fine", NOW + timedelta(seconds=5))
    again = worn(max(score, ALERT + 1e-6), fine.at + timedelta(seconds=seconds))
    _, verdicts = fed([worn(0.8), fine, again])
    assert verdicts == [Verdict.WAIT, Verdict.KEEP, Verdict.RAISE]


def test_an_answer_does_not_settle_what_happened_after_it_was_given() -> None:
    early = said("fine", NOW - timedelta(seconds=5))
    episode, verdicts = fed([worn(0.8), early])
    assert episode is not None
    assert Verdict.RAISE in (*verdicts, fusion.overdue(episode)[1])


def test_late_evidence_of_the_answered_fall_joins_it() -> None:
    fine = said("fine", NOW + timedelta(seconds=20))
    _, verdicts = fed([worn(0.8), fine, seen(0.99, NOW + timedelta(seconds=2))])
    assert verdicts == [Verdict.WAIT, Verdict.KEEP, Verdict.KEEP]


@given(st.sampled_from([-1, 1]), st.integers(61, 10**7))
def test_a_fall_at_another_time_is_another_fall_be_it_later_or_earlier(sign: int, seconds: int) -> None:
    other = NOW + sign * timedelta(seconds=seconds)
    _, verdicts = fed([worn(0.99), worn(0.99, other)])
    assert verdicts == [Verdict.RAISE, Verdict.RAISE]


def test_a_settled_episode_is_not_prolonged_by_what_still_comes_in() -> None:
    restless = [worn(0.2, NOW + timedelta(seconds=s)) for s in range(0, 61, 10)]
    _, verdicts = fed([worn(0.99), *restless, worn(0.99, NOW + TOGETHER + timedelta(seconds=5))])
    assert verdicts[-1] is Verdict.RAISE


def test_what_waits_is_not_forgotten_for_evidence_of_another_time() -> None:
    much_later = NOW + timedelta(hours=3)
    for word in (worn(0.1, much_later), seen(0.1, much_later), lay(0.0, much_later), lay(1.0, much_later)):
        episode, verdicts = fed([worn(0.6), word])
        assert episode is not None
        assert episode.detection == "d-a"
        assert Verdict.RAISE in (*verdicts, fusion.overdue(episode)[1])


@given(st.lists(anything, min_size=1, max_size=8))
def test_an_episode_survives_the_database(known: list[Evidence]) -> None:
    episode, _ = fed(known)
    stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(episode)))
    assert msgspec.convert(stored, Episode) == episode


@given(scores, st.dictionaries(devices, scores), st.none() | scores)
def test_a_probability_is_one(wearable: float, cameras: dict[str, float], still: float | None) -> None:
    episode = Episode(last=NOW, wearable=wearable, cameras=cameras, still=still)
    assert 0 <= fusion.probability(episode) <= 1


# --- Whose fall a camera saw; who lies in bed ---


def seen_at(seconds: float, score: float, device: str = "cam1") -> Evidence:
    at = NOW + timedelta(seconds=seconds)
    return Evidence(at=at, device=device, detection=device, camera=score)


def felt_at(seconds: float, score: float, resident: str = "r1") -> Evidence:
    at = NOW + timedelta(seconds=seconds)
    return Evidence(at=at, device=f"pendant-{resident}", worn=Worn(resident, score, at))


def both(*evidence: Evidence) -> tuple[Episode, list[Verdict]]:
    episode, verdicts = None, []
    for one in evidence:
        episode, verdict = fusion.step(episode, one)
        verdicts.append(verdict)
    assert episode is not None
    return episode, verdicts


@pytest.mark.parametrize("order", [1, -1])
def test_a_blow_within_ten_seconds_says_whose_fall_it_was_whichever_came_first(order: int) -> None:
    episode, verdicts = both(*[seen_at(0, 0.8), felt_at(9, 0.9)][::order])
    felt = fusion.whose(episode)
    assert felt is not None
    assert felt.resident == "r1"
    assert verdicts[-1] is Verdict.RAISE  # 0.8 and 0.9 add up to 0.97


def test_a_blow_later_than_that_or_of_two_people_says_nothing() -> None:
    assert fusion.whose(both(seen_at(0, 0.8), felt_at(11, 0.9))[0]) is None
    episode, verdicts = both(seen_at(0, 0.8), felt_at(2, 0.9, "r1"), felt_at(3, 0.9, "r2"))
    assert fusion.whose(episode) is None
    assert both(felt_at(2, 0.9, "r1"), felt_at(3, 0.9, "r2"), seen_at(0, 0.8))[1][-1] is Verdict.WAIT
    assert verdicts[0] is Verdict.WAIT


def test_a_blow_where_no_camera_saw_anything_raises_nothing_about_the_place() -> None:
    assert both(felt_at(0, 0.99))[1] == [Verdict.KEEP]


def abed(score: float, still: float | None = None, **later: bool) -> float:
    episode = Episode(last=NOW, wearable=score, still=still, abed=later.get("abed", True))
    return fusion.probability(episode)


def test_a_bed_explains_lying_in_it_and_a_bed_that_says_nothing_explains_nothing() -> None:
    assert abed(0.8) < 0.5 < abed(0.8, abed=False)
    assert abed(0.8, still=1.0) == abed(0.8)
    assert abed(0.8, still=1.0, abed=False) > 0.95


def test_a_bed_never_takes_away_what_alerts_at_once() -> None:
    assert abed(0.96) >= 0.95


def test_who_leaves_the_bed_is_explained_by_it_no_longer() -> None:
    episode, _ = fusion.step(None, Evidence(at=NOW, device="p", detection="d", wearable=0.9, abed=True))
    assert fusion.probability(episode) < 0.95
    out = Evidence(at=NOW + timedelta(seconds=2), device="bed", abed=False)
    episode, verdict = fusion.step(episode, out)
    assert fusion.probability(episode) == pytest.approx(0.9)
    assert verdict is Verdict.WAIT


@given(
    st.floats(0, 1),
    st.lists(st.floats(0, 1), max_size=3),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_two_cameras_are_joined_by_or_and_a_camera_that_is_missing_never_suppresses(
    wearable: float, cameras: list[float], still: float | None
) -> None:
    seen = {str(n): score for n, score in enumerate(cameras)}
    without = fusion.probability(Episode(last=NOW, wearable=wearable, still=still))
    joined = fusion.probability(Episode(last=NOW, wearable=wearable, cameras=seen, still=still))
    # From 0.95 on, walking about takes nothing away any more: more evidence can only help.
    assert joined >= without - 1e-9
    for camera in seen:
        rest = {name: score for name, score in seen.items() if name != camera}
        fewer = Episode(last=NOW, wearable=wearable, cameras=rest, still=still)
        assert joined >= fusion.probability(fewer) - 1e-9
