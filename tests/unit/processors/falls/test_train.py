from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from processors.falls import packaging, train
from processors.falls.model import FallModel
from processors.falls.recordings import per_recording, read
from tests.unit.processors.falls import community

if TYPE_CHECKING:
    from pathlib import Path

SMALL = train.Recipe(trees=20, copies=1, folds=3)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> train.Measured:
    folder = community.write(tmp_path_factory.mktemp("data"), each=12)
    return train.prepare(read(folder), SMALL)


def test_training_twice_gives_the_same_files_byte_for_byte(tmp_path: Path) -> None:
    folder = community.write(tmp_path / "data", each=6)
    for run in ("one", "other"):
        train.main(["--data", str(folder), "--placement", "wrist", "--out", str(tmp_path / run), "--quick"])
    for name in ("wrist.onnx", "wrist.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_command_packages_a_model_that_loads_and_scores(tmp_path: Path) -> None:
    folder = community.write(tmp_path / "data", each=6)
    train.main(["--data", str(folder), "--placement", "chest", "--out", str(tmp_path), "--quick"])
    model = FallModel.load("chest", tmp_path)
    assert model.manifest.trained_on[0].name == "made_up"
    assert model.manifest.trained_on[0].subjects == 6
    assert model.score(read(folder).windows).shape == (len(read(folder).windows),)


def test_people_never_seen_are_told_apart(measured: train.Measured) -> None:
    highest = per_recording(measured.recordings, train.cross_validated(measured, SMALL))
    assert ((highest >= 0.5) == measured.recordings.is_fall).mean() > 0.95


def test_the_metrics_say_what_was_counted(measured: train.Measured) -> None:
    from processors.falls.manifest import Thresholds

    counted = train.metrics(train.train(measured, SMALL), measured, Thresholds())
    assert counted.new_people.sens > 95
    assert counted.new_people.spec > 95
    assert counted.new_activities.sens > 95
    assert sum(each.n for each in counted.reliability) <= 2 * len(measured.recordings.owner)


def test_one_window_of_a_fall_is_the_fall_and_none_of_daily_life(measured: train.Measured) -> None:
    recordings = measured.recordings
    marked = train.fall_windows(recordings, np.arange(len(recordings.owner), dtype=np.float64))
    assert marked.sum() == recordings.is_fall.sum()
    assert recordings.is_fall[recordings.owner[marked]].all()


def test_the_onnx_file_scores_as_the_trees_do(measured: train.Measured) -> None:
    import onnxruntime as ort

    booster = train.train(measured, SMALL).booster
    session = ort.InferenceSession(packaging.to_onnx(booster), providers=["CPUExecutionProvider"])
    scores = session.run(["probabilities"], {"features": measured.original})[0][:, 1]
    assert np.abs(scores - booster.predict(measured.original)).max() < 1e-5


def test_another_placements_recordings_are_learned_from_and_named(tmp_path: Path) -> None:
    own = community.write(tmp_path / "own", name="own")
    other = community.write(tmp_path / "other", name="other", seed=1)
    manifest = train.main(
        [
            "--data",
            str(own),
            "--beside",
            str(other),
            "--placement",
            "wrist",
            "--out",
            str(tmp_path),
            "--quick",
        ]
    )
    assert [(each.name, each.weight) for each in manifest.trained_on] == [("own", 1.0), ("other", 0.4)]


def test_too_few_subjects_are_named(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path, subjects=2))
    with pytest.raises(ValueError, match="2 subjects are too few for 3 folds"):
        train.train(train.prepare(recordings, SMALL), SMALL)


def test_recordings_without_daily_life_are_refused(measured: train.Measured) -> None:
    with pytest.raises(ValueError, match="falls and of daily life"):
        train.train(measured.of(measured.recordings.is_fall), SMALL)
