from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from edge import trigger
from fallback import canary
from fallback.canary import KEPT, LATE, PERIOD, Judgement, Run, Stage
from processors.arrivals import Arrival
from processors.decide import Judged, decide
from processors.falls.model import FallModel
from processors.fusion import ALERT
from tests.unit.fallback.conftest import T0
from vigil.events import envelope_of
from vigil.modes import Modes
from vigil.registry import Device, Node
from vigil.topics import Address

EVENT = UUID("11111111-2222-5333-8444-555555555555")


def run(**seconds: float) -> Run:
    """A canary that passed these stages so many seconds after it set out."""
    stamps = tuple((Stage(stage), T0 + timedelta(seconds=after)) for stage, after in seconds.items())
    return Run(EVENT, "e1", "canary-e1", T0, stamps)


def past(*judgements: str) -> list[Run]:
    return [
        Run(uuid4(), "e1", "n", T0 + number * PERIOD, judgement=Judgement(judgement))
        for number, judgement in enumerate(judgements)
    ]


def test_a_canary_that_came_back_in_time_is_good() -> None:
    assert canary.judged(run(acknowledged=7.9), T0 + timedelta(seconds=8)).judgement is Judgement.GOOD


def test_a_canary_is_pending_until_it_is_late() -> None:
    assert canary.judged(run(published=0.1), T0 + LATE).judgement is Judgement.PENDING
    late = canary.judged(run(published=0.1), T0 + LATE + timedelta(seconds=0.1))
    assert (late.judgement, late.missing) == (Judgement.LATE, Stage.STORED)


def test_a_judgement_is_final_also_when_the_canary_comes_back_later() -> None:
    late = canary.judged(run(), T0 + LATE * 2)
    back = canary.stamped(late, Stage.ACKNOWLEDGED, T0 + LATE * 3)
    assert canary.judged(back, T0 + LATE * 3).judgement is Judgement.LATE


def test_a_stage_is_stamped_once() -> None:
    twice = canary.stamped(canary.stamped(run(), Stage.STORED, T0), Stage.STORED, T0 + LATE)
    assert twice.stamps == ((Stage.STORED, T0),)


@pytest.mark.parametrize(
    ("passed", "missing"),
    [
        ({}, "published"),
        ({"published": 1}, "stored"),
        ({"published": 1, "stored": 2}, "alerted"),
        ({"published": 1, "alerted": 2}, "stored"),
        ({"published": 1, "stored": 2, "alerted": 2}, "acknowledged"),
    ],
)
def test_the_failing_stage_is_named(passed: dict[str, float], missing: str) -> None:
    assert run(**passed).missing == missing


def test_one_late_canary_is_soft_and_two_are_hard() -> None:
    assert [cause.code for cause in canary.findings(past("good", "late")).soft] == ["canary_late"]
    assert [cause.code for cause in canary.findings(past("good", "late", "late")).hard] == ["canary"]


def test_a_broken_way_is_named_by_its_stage_and_its_beginning() -> None:
    (cause,) = canary.findings(past("good", "late", "late")).hard
    assert (cause.subject, cause.since) == ("published", T0 + PERIOD)


def test_void_and_pending_canaries_do_not_count() -> None:
    assert canary.findings(past("good", "late", "void", "pending", "late")).hard
    assert not canary.findings(past("good", "late", "void", "pending")).hard


def test_a_way_on_which_every_second_canary_is_late_is_broken() -> None:
    flapping = ["late", "good"] * KEPT
    assert canary.findings(past(*flapping[: KEPT - 1], "late")).hard or canary.findings(past(*flapping)).hard
    assert not canary.findings(past(*["late", "good", "good"] * KEPT)).hard


def test_alerts_without_receipts_are_a_soft_cause() -> None:
    done = [canary.judged(run(published=1, alerted=2, acknowledged=3), T0 + LATE)] * 2
    found = canary.findings(done)
    assert ([cause.code for cause in found.soft], found.hard) == (["receipt"], ())


def test_the_canary_has_been_good_since_the_last_late_one() -> None:
    assert canary.good_since(past("late", "good", "void", "good")) == T0 + PERIOD
    assert canary.good_since(past("good", "late")) is None
    assert canary.good_since([]) is None


def test_the_synthetic_fall_is_an_impact_that_the_edge_would_have_cut_out() -> None:
    window = np.array(canary.fall("x").accel_mg, np.float32).reshape(200, 3) / 1000
    _, (cut, *_) = trigger.step(trigger.State(), window)
    assert isinstance(cut, trigger.Window)
    assert cut.peak == 100


def test_the_synthetic_fall_ends_lying_still() -> None:
    window = np.array(canary.fall("x").accel_mg, np.float32).reshape(200, 3) / 1000
    before, after = window[:50].mean(axis=0), window[150:].mean(axis=0)
    turned = np.degrees(np.arccos(before @ after / np.linalg.norm(before) / np.linalg.norm(after)))
    assert turned > 80
    assert window[150:].std(axis=0).max() < 0.05


def test_the_alert_has_the_id_that_processors_derive_whatever_models_may_alert() -> None:
    address = Address("c1", "e1", "canary-e1")
    node = Node("canary-e1", "c1", "e1", None, "canary", retired=False)
    device = Device("canary-e1-pendant", node.id, None, False, None, "pendant", "waist", False, ())
    envelope = envelope_of(
        address, device.id, canary.fall("x"), time=T0, boot="1-0000abcd", seq=1, synthetic="canary"
    )
    arrival = Arrival(envelope, canary.fall("x"), node, device, T0, T0, "canary", ())
    made = decide([arrival], {envelope.id: Judged(0.99, "m", "1", {"en": "x"})}, {}, T0, Modes())
    assert [alert.id for alert in made.alerts] == [Run(envelope.id, "e1", node.id, T0).alert]


def test_the_packaged_model_is_certain_that_the_canary_fell() -> None:
    window = np.array(canary.fall("x").accel_mg, np.float32).reshape(1, 200, 3) / 1000
    (score,) = FallModel.load("waist").score(window)
    assert score >= ALERT
