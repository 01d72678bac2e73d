from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from processors.falls.manifest import PLACEMENTS
from processors.falls.model import PACKAGED, FallModel
from processors.falls.recordings import windows_of
from tests.unit.processors.falls import community
from vigil.errors import ModelRefused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for suffix in ("json", "onnx"):
        shutil.copy(PACKAGED / f"waist.{suffix}", tmp_path)
    return tmp_path


def change(folder: Path, **values: object) -> None:
    path = folder / "waist.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_has_a_model_with_its_thresholds(placement: str) -> None:
    manifest = FallModel.load(placement).manifest
    assert (manifest.placement, manifest.sample_rate_hz) == (placement, 50)
    assert (manifest.thresholds.alert, manifest.thresholds.review) == (0.95, 0.5)
    assert manifest.onnx_sha256.startswith(manifest.version)


def test_a_fall_is_told_from_a_walk() -> None:
    rng = np.random.default_rng(0)
    model = FallModel.load("waist")
    assert (model.score(windows_of(community.fall(rng))) >= 0.95).all()
    assert (model.score(windows_of(community.walk(rng))) < 0.5).all()


def test_no_windows_give_no_scores() -> None:
    assert FallModel.load("waist").score(np.empty((0, 200, 3))).shape == (0,)


def test_threads_may_share_a_model() -> None:
    rng = np.random.default_rng(0)
    model = FallModel.load("wrist")
    windows = np.concatenate([windows_of(community.fall(rng)) for _ in range(20)])
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(model.score, [windows] * 8))
    assert all(np.array_equal(each, scores[0]) for each in scores)


def test_scoring_together_is_scoring_one_by_one() -> None:
    rng = np.random.default_rng(0)
    model = FallModel.load("chest")
    windows = np.concatenate([windows_of(community.walk(rng)) for _ in range(3)])
    alone = [model.score(window[None])[0] for window in windows]
    assert np.allclose(model.score(windows), alone, atol=1e-4)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"placement": "wrist"}, "states placement wrist"),
        ({"sample_rate_hz": 100}, "states sample rate 100"),
        ({"feature_schema_sha256": "0" * 64}, "states feature schema 0000"),
        ({"onnx_sha256": "0" * 64}, "states ONNX file 0000"),
        ({"surprise": 1}, "unknown field `surprise`"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy: Path, value: dict[str, object], said: str) -> None:
    change(copy, **value)
    with pytest.raises(ModelRefused, match=said):
        FallModel.load("waist", copy)


def test_a_changed_file_is_refused(copy: Path) -> None:
    with (copy / "waist.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelRefused, match="ONNX file"):
        FallModel.load("waist", copy)


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="waist"):
        FallModel.load("waist", tmp_path)


def test_an_unknown_placement_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelRefused, match="waist, chest, wrist"):
        FallModel.load("ankle")


def test_no_packaged_file_is_a_pickle() -> None:
    assert {path.suffix for path in PACKAGED.iterdir()} == {".json", ".onnx"}
