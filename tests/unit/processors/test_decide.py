from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import fusion
from processors.arrivals import sort
from processors.decide import Decisions, Judged, decide, decide_overdue, episode_of, subject_of
from tests.making import ALERTING, NOW, Wearer, device, event, fall, record, registry
from vigil.alerts import Priority
from vigil.events import Answer, Hazard, LocalAlarm, PoseSuspected, SensorChanged, Sos, Stillness
from vigil.modes import Modes, Word

if TYPE_CHECKING:
    from vigil.registry import Registry

SUBJECT = "resident:r1"
POSE = PoseSuspected(
    keypoints=[[0] * 51],
    rate_hz=10,
    aspect=1.5,
    track=1,
    episode="e",
    score=0.7,
    model="rule",
    model_version="3",
)
LAY = Stillness(episode="e", still_s=20, watched_s=20)


def arrive(*made: Any, known: Registry | None = None) -> list[Any]:
    return sort([record(envelope) for envelope in made], known or registry(), NOW).arrivals


def judged(arrivals: list[Any], score: float) -> dict[Any, Judged]:
    return {a.envelope.id: Judged(score, "falls-waist", "1", {"en": "x", "zh": "x"}) for a in arrivals}


def after(score: float, *made: Any, known: Registry | None = None, episodes: Any = None) -> Decisions:
    arrivals = arrive(*made, known=known)
    return decide(arrivals, judged(arrivals, score), episodes or {}, NOW, ALERTING)


URGENT: dict[str, Any] = {
    "sos": Sos(by="cord"),
    "smoke": Hazard(hazard="smoke"),
    "gas": Hazard(hazard="gas"),
    "water": Hazard(hazard="water"),
}


@pytest.mark.parametrize("kind", URGENT)
def test_a_call_for_help_and_a_hazard_are_raised_at_once(kind: str) -> None:
    made = after(0, event(URGENT[kind]))
    (alert,) = made.alerts
    assert (alert.kind, alert.subject, alert.priority) == (kind, SUBJECT, Priority.CRITICAL)
    assert alert.detection == made.detections[0].id
    assert set(alert.summary) == {"en", "zh"}


def test_an_answer_help_is_a_call_for_help() -> None:
    assert [alert.kind for alert in after(0, event(Answer(answer="help"))).alerts] == ["sos"]


@pytest.mark.parametrize(
    "data",
    [
        Hazard(hazard="smoke", active=False),
        LocalAlarm(episode="e", silent_s=20),
        SensorChanged(sensor="door", state=True),
    ],
)
def test_what_is_no_alarm_raises_none(data: Any) -> None:
    assert after(0, event(data)) == Decisions()


def test_a_certain_fall_is_raised_at_once_about_the_wearer() -> None:
    made = after(0.99, event(fall()))
    (alert,) = made.alerts
    assert (alert.kind, alert.subject, alert.resident, alert.zone) == ("fall", SUBJECT, "r1", "home1")
    assert made.waits == {SUBJECT: None}


def test_an_uncertain_fall_waits_half_a_minute() -> None:
    made = after(0.7, event(fall()))
    assert made.alerts == []
    assert made.waits == {SUBJECT: NOW + timedelta(seconds=30)}
    assert [d.score for d in made.detections] == [0.7]


def test_an_unlikely_fall_is_kept_as_a_detection_and_raises_nothing() -> None:
    made = after(0.3, event(fall()))
    assert (made.alerts, made.waits) == ([], {})
    assert len(made.detections) == 1


@pytest.mark.parametrize("scores", [None, float("nan")])
def test_a_fall_that_no_model_could_judge_is_asked_about_and_then_raised(scores: float | None) -> None:
    arrivals = arrive(event(fall()))
    made = decide(arrivals, {} if scores is None else judged(arrivals, scores), {}, NOW, ALERTING)
    assert made.waits == {SUBJECT: NOW + fusion.WAIT}
    _, alert = decide_overdue(made.episodes[SUBJECT], made.detections[0])
    assert alert is not None


def test_a_pose_that_no_model_could_judge_has_the_score_of_the_cameras_own_rule() -> None:
    (detection,) = decide(arrive(event(POSE)), {}, {}, NOW, ALERTING).detections
    assert (detection.score, detection.model, detection.model_version) == (0.7, "rule", "3")


def test_fine_cancels_the_wait() -> None:
    first = after(0.7, event(fall()))
    made = after(0, event(Answer(answer="fine"), seq=2), episodes=first.episodes)
    assert (made.alerts, made.waits) == ([], {SUBJECT: None})


TAP = SensorChanged(sensor="water_use", state=True)


def test_a_tap_that_is_opened_after_an_uncertain_fall_ends_the_wait_for_who_lives_alone() -> None:
    known = registry(device(Wearer()), device(Wearer(), id="tap"))
    at = NOW - timedelta(seconds=20)
    made = after(0.7, event(fall(), 1, time=at), event(TAP, 2, device="tap"), known=known)
    assert (made.alerts, made.waits) == ([], {SUBJECT: None})


@pytest.mark.parametrize(
    ("wearers", "data"),
    [
        ((Wearer("r1"), Wearer("r2")), TAP),
        ((Wearer("r2"),), TAP),
        ((Wearer("r1"),), SensorChanged(sensor="water_use", state=False)),
    ],
)
def test_what_another_may_have_done_or_a_tap_that_closes_ends_no_wait(
    wearers: tuple[Wearer, ...], data: Any
) -> None:
    known = registry(device(Wearer()), device(*wearers, id="tap"))
    at = NOW - timedelta(seconds=20)
    made = after(0.7, event(fall(), 1, time=at), event(data, 2, device="tap"), known=known)
    assert made.waits == {SUBJECT: NOW + fusion.WAIT}


def test_a_tap_is_of_no_interest_where_no_fall_is_asked_about() -> None:
    known = registry(device(Wearer()), device(Wearer(), id="tap"))
    assert after(0, event(TAP, 1, device="tap"), known=known) == Decisions()


def test_fine_and_then_another_uncertain_fall_in_one_batch_waits_again() -> None:
    later = NOW - timedelta(minutes=1)
    made = after(
        0.7,
        event(fall(), 1, time=NOW - timedelta(minutes=9)),
        event(Answer(answer="fine"), 2, time=NOW - timedelta(minutes=8)),
        event(fall(), 3, time=later),
    )
    assert made.waits == {SUBJECT: NOW + fusion.WAIT}
    assert made.episodes[SUBJECT].last == later


def test_lying_still_raises_what_waited_and_says_so() -> None:
    first = after(0.8, event(fall()))
    made = after(0, event(LAY, seq=2), episodes=first.episodes)
    (alert,) = made.alerts
    assert made.waits == {SUBJECT: None}
    assert "still" in alert.summary["en"]
    assert [found.model for found in made.detections] == ["fusion"]
    # The picture is that of the blow: lying still has none.
    assert alert.detection == first.detections[0].id


def test_an_overdue_wait_is_raised_on_the_detection_it_stands_on() -> None:
    made = after(0.6, event(fall()))
    settled, alert = decide_overdue(made.episodes[SUBJECT], made.detections[0])
    assert alert is not None
    assert alert.detection == made.detections[0].id
    assert decide_overdue(settled, made.detections[0])[1] is None


YARD = registry(
    device(Wearer()), device(id="cam", public=True, legal_basis="notice", zone="yard"), zone="yard"
)
"""A pendant at a box in the yard, and a camera that looks at the yard."""


def at_place(scores: dict[str, float], *made: Any, known: Registry = YARD) -> Decisions:
    arrivals = arrive(*made, known=known)
    judged_ = {a.envelope.id: Judged(scores[a.device.id], "m", "1", {"en": "x"}) for a in arrivals}
    return decide(arrivals, judged_, {}, NOW, ALERTING, watched={"yard"})


def test_a_wearer_and_a_camera_elsewhere_are_weighed_apart() -> None:
    known = registry(device(Wearer()), device(id="cam", public=True, legal_basis="notice", zone="yard"))
    scores = {"pendant": 0.9, "cam": 0.9}
    made = at_place(scores, event(fall()), event(POSE, 2, device="cam"), known=known)
    assert set(made.waits) == {SUBJECT, "zone:yard"}
    assert made.alerts == []


@pytest.mark.parametrize("first", ["pendant", "cam"])
def test_a_blow_where_a_camera_looks_tells_whose_fall_it_saw_without_any_face(first: str) -> None:
    scores = {"pendant": 0.9, "cam": 0.9}
    felt, seen = (1, 2) if first == "pendant" else (2, 1)
    made = at_place(scores, event(fall(), felt), event(POSE, seen, device="cam"))
    assert {(alert.subject, alert.resident) for alert in made.alerts} == {(SUBJECT, "r1")}


def test_what_was_raised_about_a_place_is_raised_about_the_person_whose_device_then_felt_it() -> None:
    scores = {"pendant": 0.3, "cam": 0.99}
    made = at_place(scores, event(POSE, 1, device="cam"), event(fall(), 2))
    assert [alert.subject for alert in made.alerts] == ["zone:yard", SUBJECT]


def test_a_fall_in_a_public_place_with_no_identity_alerts_for_the_place() -> None:
    made = at_place({"cam": 0.99}, event(POSE, 1, device="cam"))
    assert [(alert.subject, alert.resident) for alert in made.alerts] == [("zone:yard", None)]


def test_an_overdue_wait_of_a_place_is_raised_about_the_person_whose_device_felt_it() -> None:
    scores = {"pendant": 0.4, "cam": 0.6}
    made = at_place(scores, event(POSE, 1, device="cam"), event(fall(), 2))
    assert made.alerts == []
    (camera,) = [one for one in made.detections if one.device == "cam"]
    _, alert = decide_overdue(made.episodes["zone:yard"], camera)
    assert alert is not None
    assert (alert.subject, alert.resident) == (SUBJECT, "r1")


def test_who_lies_in_bed_and_moves_there_is_not_asked_about() -> None:
    arrivals = arrive(event(fall()))
    for since, asked in ((timedelta(hours=3), False), (timedelta(days=3), True), (-timedelta(hours=1), True)):
        abed = {SUBJECT: NOW - since}
        made = decide(arrivals, judged(arrivals, 0.7), {}, NOW, ALERTING, abed=abed)
        assert bool(made.waits) is asked


@pytest.mark.parametrize(
    ("wearers", "zone", "subject"),
    [
        ((Wearer("r1"),), "home1", "resident:r1"),
        ((Wearer("r1"), Wearer("r2")), "home1", "zone:home1"),
        ((), "home1", "zone:home1"),
        ((), None, "device:pendant"),
    ],
)
def test_an_event_is_about_the_one_resident_else_the_place_else_the_device(
    wearers: tuple[Wearer, ...], zone: str | None, subject: str
) -> None:
    (arrival,) = arrive(event(fall()), known=registry(device(*wearers, zone=zone)))
    assert subject_of(arrival) == subject
    (detection,) = after(0.9, event(fall()), known=registry(device(*wearers, zone=zone))).detections
    assert detection.resident == ("r1" if len(wearers) == 1 else None)


def test_every_canary_is_about_itself_and_about_no_person() -> None:
    known = registry(synthetic="canary")
    made = after(0.99, *(event(fall(), seq, synthetic="canary") for seq in (1, 2)), known=known)
    assert len({alert.subject for alert in made.alerts}) == 2
    for alert in made.alerts:
        assert alert.subject.startswith("canary:")
        assert (alert.resident, alert.synthetic) == (None, "canary")


@pytest.mark.parametrize("kind", ["drill", "demo"])
def test_a_drill_settles_no_real_fall(kind: Any) -> None:
    known = registry(synthetic=kind)
    practised, real = event(fall(), 1, synthetic=kind), event(fall(), 2, time=NOW - timedelta(seconds=5))
    made = after(0.99, practised, real, known=known)
    assert [alert.synthetic for alert in made.alerts] == [kind, None]
    assert {alert.subject for alert in made.alerts} == {SUBJECT}
    assert {episode_of(arrival) for arrival in arrive(practised, real, known=known)} == {
        SUBJECT,
        f"{kind}/{SUBJECT}",
    }


@pytest.mark.parametrize("forged", ["canary", "drill", "demo"])
def test_a_forged_flag_cannot_hide_a_real_fall(forged: Any) -> None:
    (alert,) = after(0.99, event(fall(), synthetic=forged)).alerts
    assert (alert.subject, alert.synthetic) == (SUBJECT, None)


some = st.builds(
    event,
    st.sampled_from([fall(), POSE, LAY, Sos(by="hub"), Answer(answer="fine"), Answer(answer="help")]),
    st.integers(1, 9),
    time=st.integers(0, 90).map(lambda seconds: NOW - timedelta(seconds=seconds)),
)


@given(st.lists(some, max_size=6), st.floats(0, 1))
def test_deciding_again_decides_the_same(made: list[Any], score: float) -> None:
    assert after(score, *made) == after(score, *made)


@given(st.lists(some, max_size=6, unique_by=lambda e: e.seq), st.floats(0, 1))
def test_whatever_waits_stands_on_a_detection_that_is_kept(made: list[Any], score: float) -> None:
    decisions = after(score, *made)
    kept = {str(detection.id) for detection in decisions.detections}
    for name, due in decisions.waits.items():
        if due is not None:
            assert decisions.episodes[name].detection in kept
    assert {str(alert.detection) for alert in decisions.alerts} <= kept


@given(st.lists(some, max_size=6, unique_by=lambda e: e.seq), st.floats(0, 1))
def test_no_call_for_help_goes_unraised(made: list[Any], score: float) -> None:
    calls = sum(isinstance(a.data, Sos) or getattr(a.data, "answer", "") == "help" for a in arrive(*made))
    assert len([a for a in after(score, *made).alerts if a.kind == "sos"]) == calls


SEATED = [0, 0, 1000] * 96 + [0, 0, 2500] * 8 + [0, 0, 1000] * 96
"""A blow of 2.5 g from below: somebody is set down on a seat."""


def asked(score: float, accel_mg: list[int] | None, placement: str = "waist", **profile: str) -> bool:
    known = registry(device(Wearer(profile=dict(profile)), placement=placement))
    made = after(score, event(fall(placement, accel_mg=accel_mg)), known=known)
    return bool(made.waits or made.alerts)


def test_a_wheelchair_users_transfer_is_no_fall() -> None:
    assert not asked(0.7, SEATED, mobility="wheelchair")
    assert asked(0.7, SEATED)
    assert asked(0.7, SEATED, mobility="cane")


def test_a_wheelchair_user_who_lies_afterwards_or_surely_fell_is_asked_about_and_raised() -> None:
    assert asked(0.7, None, mobility="wheelchair")
    assert asked(0.96, SEATED, mobility="wheelchair")
    assert asked(0.7, SEATED, "wrist", mobility="wheelchair")


# --- Versions: who may alert, and who only watches ---


def spoken(*versions: str, alerts: bool = True) -> Modes:
    return Modes(
        Word("falls-waist", version, None, None, alerts=alerts, at=NOW + timedelta(minutes=n))
        for n, version in enumerate(versions)
    )


def versions(*scores: float) -> tuple[list[Any], dict[Any, Judged]]:
    """Return arrivals of one suspected fall, and what versions 1, 2, ... make of it."""
    (arrival,) = arrive(event(fall()))
    words = [
        Judged(score, "falls-waist", str(n), {"en": "x", "zh": "x"}) for n, score in enumerate(scores, 1)
    ]
    return [arrival], {arrival.envelope.id: replace(words[0], others=tuple(words[1:]))}


def told(modes: Modes, *scores: float) -> tuple[list[str], dict[str, bool]]:
    """Return what is alerted on, and which versions were recorded: whether in shadow."""
    made = decide(*versions(*scores), {}, NOW, modes)
    by_id = {one.id: one.model_version for one in made.detections}
    assert len(by_id) == len(made.detections)
    return [by_id[alert.detection] for alert in made.alerts], {
        one.model_version: one.shadow for one in made.detections
    }


def test_a_version_that_nobody_let_alert_records_and_alerts_nobody() -> None:
    made = decide(*versions(0.99), {}, NOW, Modes())
    assert (made.alerts, made.waits, made.episodes) == ([], {}, {})
    assert [(one.score, one.shadow) for one in made.detections] == [(0.99, True)]


def test_of_two_versions_the_one_that_was_let_last_alerts_and_the_other_watches() -> None:
    assert told(spoken("1", "2"), 0.1, 0.99) == (["2"], {"1": True, "2": False})
    assert told(spoken("2", "1"), 0.1, 0.99) == ([], {"1": False, "2": True})


def test_a_new_version_beside_the_old_one_changes_no_alert() -> None:
    assert told(spoken("1"), 0.99, 0.1) == (["1"], {"1": False, "2": True})


def test_where_the_version_that_may_alert_is_gone_the_one_that_is_there_stands_in() -> None:
    assert told(spoken("0"), 0.99) == (["1"], {"1": False})


def test_a_version_that_fails_is_judged_by_rule_even_where_a_candidate_sees_nothing() -> None:
    made = decide(*versions(float("nan"), 0.1), {}, NOW, spoken("1"))
    assert made.waits == {SUBJECT: NOW + fusion.WAIT}
    assert {one.model: one.shadow for one in made.detections} == {"falls-waist": True, "trigger": False}


def test_where_no_version_may_alert_not_even_the_edges_rule_does() -> None:
    assert decide(arrive(event(fall())), {}, {}, NOW, Modes()) == Decisions()
    made = decide(*versions(float("nan")), {}, NOW, spoken("1", alerts=False))
    assert made == Decisions()


def test_a_call_for_help_needs_nobodys_permission() -> None:
    assert [alert.kind for alert in decide(arrive(event(Sos(by="cord"))), {}, {}, NOW, Modes()).alerts] == [
        "sos"
    ]
