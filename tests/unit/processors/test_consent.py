from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from processors.consent import CAMERA, FALLS, PUBLIC, ROUTINE, withheld_for
from tests.making import BOOT, EVER, NOW, Wearer, device, fall
from vigil.events import (
    Answer,
    DeviceHealth,
    Hazard,
    LocalAlarm,
    PoseSuspected,
    Readings,
    SensorChanged,
    Shed,
    Sos,
    Stillness,
    Tombstone,
)
from vigil.registry import Assignment, Consent, Device
from vigil.topics import Lane

POSE = PoseSuspected(
    keypoints=[[0] * 51],
    rate_hz=10,
    aspect=1.5,
    track=1,
    episode="e",
    score=0.9,
    model="m",
    model_version="1",
)
WATCHED: dict[str, list[Any]] = {
    FALLS: [fall(), Stillness(episode="e", still_s=1, watched_s=2)],
    CAMERA: [POSE],
    ROUTINE: [
        SensorChanged(sensor="door", state=True),
        Readings(quantity="activity_g", interval_s=1, values=[0.1]),
    ],
}
NEEDS_NONE: list[Any] = [
    Sos(by="button"),
    Answer(answer="fine"),
    Answer(answer="help"),
    Hazard(hazard="smoke"),
    Hazard(hazard="gas"),
    Hazard(hazard="water"),
    DeviceHealth(),
    LocalAlarm(episode="e", silent_s=20),
    Shed(of_boot=BOOT, of_lane=Lane.ALARM, first=1, last=1, reason="spool_full"),
    Tombstone(of_boot=BOOT, of_lane=Lane.ALARM, of_seq=1, sent=20),
]
EACH = [(purpose, data) for purpose, several in WATCHED.items() for data in several]


@pytest.mark.parametrize(("purpose", "data"), EACH)
def test_who_consented_is_looked_after(purpose: str, data: Any) -> None:
    assert withheld_for(device(Wearer(purposes=(purpose,))), data, NOW) is None


@pytest.mark.parametrize(("purpose", "data"), EACH)
def test_consent_to_other_purposes_is_none_to_this_one(purpose: str, data: Any) -> None:
    others = tuple({FALLS, CAMERA, ROUTINE} - {purpose})
    assert withheld_for(device(Wearer(purposes=others)), data, NOW) == purpose


@pytest.mark.parametrize(("purpose", "data"), EACH)
def test_a_resident_who_is_not_flagged_is_not_watched_whatever_was_signed(purpose: str, data: Any) -> None:
    assert withheld_for(device(Wearer(flagged=False)), data, NOW) == purpose


@pytest.mark.parametrize(("purpose", "data"), EACH)
def test_of_two_who_share_a_home_one_no_is_enough(purpose: str, data: Any) -> None:
    shared = device(Wearer("r1"), Wearer("r2", purposes=()))
    assert withheld_for(shared, data, NOW) == purpose


@pytest.mark.parametrize("data", NEEDS_NONE, ids=lambda data: type(data).__name__)
def test_calls_for_help_hazards_and_a_devices_own_affairs_need_no_consent(data: Any) -> None:
    assert withheld_for(device(Wearer(flagged=False, purposes=())), data, NOW) is None


def test_a_public_camera_looks_only_with_a_legal_basis() -> None:
    assert withheld_for(device(public=True), POSE, NOW) == PUBLIC
    assert withheld_for(device(public=True, legal_basis="notice 7/2025"), POSE, NOW) is None


def test_a_device_of_nobody_knows_no_no() -> None:
    assert withheld_for(device(), fall(), NOW) is None


def with_words(*words: Consent) -> Device:
    wearer = replace(Wearer().resident(), consents=words)
    return device(assignments=(Assignment(wearer, *EVER),))


def test_of_several_words_the_latest_in_force_counts() -> None:
    hour = timedelta(hours=1)
    yes = Consent(FALLS, True, NOW - 2 * hour, EVER[1])
    no = Consent(FALLS, False, NOW - hour, EVER[1])
    later = Consent(FALLS, True, NOW + hour, EVER[1])
    assert withheld_for(with_words(yes, no, later), fall(), NOW) == FALLS
    assert withheld_for(with_words(no, yes, later), fall(), NOW - 1.5 * hour) is None
    assert withheld_for(with_words(yes, no, later), fall(), NOW + hour) is None


def test_a_consent_ends_with_the_moment_named() -> None:
    lapsing = Consent(FALLS, True, EVER[0], NOW)
    assert withheld_for(with_words(lapsing), fall(), NOW - timedelta(seconds=1)) is None
    assert withheld_for(with_words(lapsing), fall(), NOW) == FALLS


def test_a_former_wearer_has_no_say_and_a_new_one_has() -> None:
    former = Assignment(Wearer("r1", purposes=()).resident(), EVER[0], NOW)
    present = Assignment(Wearer("r2").resident(), NOW, EVER[1])
    handed_on = device(assignments=(former, present))
    assert withheld_for(handed_on, fall(), NOW) is None
    assert withheld_for(handed_on, fall(), NOW - timedelta(seconds=1)) == FALLS
