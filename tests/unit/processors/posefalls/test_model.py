from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.fusion import ALERT, REVIEW
from processors.posefalls.features import Measures
from processors.posefalls.model import NAME, PACKAGED, PoseRule, packaged
from tests.unit.processors.posefalls import figure
from tests.unit.processors.posefalls.test_features import event
from vigil.errors import ModelRefused

if TYPE_CHECKING:
    from pathlib import Path

RULE = PoseRule.load()
DIRECTIONS = range(0, 360, 45)
LYING = Measures(shoulders_sunk=0.7, hips_sunk=0.44, speed=1.2, trunk_upright=0.0, seen_after=1.0, body=0.5)


@pytest.mark.parametrize("name", list(figure.FALLS))
def test_a_fall_scores_high_from_every_side(name: str) -> None:
    scores = RULE.score([event(figure.FALLS[name], facing=facing) for facing in DIRECTIONS])
    assert scores.min() >= REVIEW
    assert np.median(scores) >= ALERT


@pytest.mark.parametrize(
    "name",
    ["standing", "sitting down", "dropping into a chair", "bending", "bending for long", "kneeling down", "lying down on a bed"],
)  # fmt: skip
def test_daily_life_scores_low_from_every_side_and_at_any_time(name: str) -> None:
    seen = [event(figure.DAILY_LIFE[name], facing=f, begin_s=s) for f in DIRECTIONS for s in (0.5, 1.0, 2.0)]
    assert RULE.score(seen).max() < REVIEW


def test_crouching_is_never_certain_when_seen_from_the_side() -> None:
    seen = [event(figure.DAILY_LIFE["crouching"], facing=facing, begin_s=1.0) for facing in (90, 270)]
    assert RULE.score(seen).max() < ALERT


def test_no_sequences_have_no_scores() -> None:
    assert RULE.score([]).shape == (0,)


def test_a_judgement_says_which_rule_and_why_in_two_languages() -> None:
    judged = RULE.judge(event(figure.FALLS["backwards"]))
    assert (judged.model, judged.model_version) == (NAME, RULE.manifest.version)
    assert set(judged.sentence) == {"en", "zh"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(("shoulders_sunk", "hips_sunk", "speed")), st.floats(-1, 2), st.floats(0, 1))
def test_sinking_further_or_faster_never_lowers_the_score(name: str, value: float, more: float) -> None:
    rule = RULE.manifest.rule
    one = msgspec.structs.replace(LYING, **{name: value})
    other = msgspec.structs.replace(LYING, **{name: value + more})
    assert rule.probability(one) <= rule.probability(other)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(*(st.floats(-1e6, 1e6) for _ in range(4)))
def test_no_score_is_certain(shoulders: float, hips: float, speed: float, upright: float) -> None:
    measured = Measures(shoulders_sunk=shoulders, hips_sunk=hips, speed=speed, trunk_upright=upright)
    certain = RULE.manifest.rule.certain
    assert 1 - certain - 1e-9 <= RULE.manifest.rule.probability(measured) <= certain + 1e-9


def changed(folder: Path, **values: object) -> Path:
    path = folder / "pose.json"
    path.write_text(json.dumps(json.loads(PACKAGED.read_text()) | values))
    return path


@pytest.mark.parametrize("field", ["version", "feature_schema_sha256", "rule_sha256"])
def test_a_manifest_that_does_not_fit_is_refused(field: str, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused):
        PoseRule.load(changed(tmp_path, **{field: "another"}))


def test_a_threshold_changed_by_hand_is_refused(tmp_path: Path) -> None:
    rule = json.loads(PACKAGED.read_text())["rule"]
    rule["speed"]["middle"] = 0.1
    with pytest.raises(ModelRefused, match="rule"):
        PoseRule.load(changed(tmp_path, rule=rule))


def test_a_missing_or_broken_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused):
        PoseRule.load(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ModelRefused):
        PoseRule.load(tmp_path / "broken.json")


def test_a_rule_that_was_packaged_is_loaded_again(tmp_path: Path) -> None:
    made = packaged(RULE.manifest.rule, chosen_on="a", reported_on="b")
    (tmp_path / "pose.json").write_bytes(msgspec.json.encode(made))
    assert PoseRule.load(tmp_path / "pose.json").manifest == made
