from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.falls.recordings import activity_folds, folds_of, per_recording, read
from tests.unit.processors.falls import community

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_is_read_and_cut_into_windows(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    assert recordings.name == "made_up"
    assert len(recordings.is_fall) == 6 * 8 + 1
    assert recordings.is_fall.sum() == 24
    assert recordings.windows.shape[1:] == (200, 3)
    assert recordings.hours.sum() == pytest.approx((6 * 8 * 6 + 2) / 3600)


def test_a_recording_without_a_trigger_keeps_its_place_and_scores_nothing(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    highest = per_recording(recordings, np.ones(len(recordings.owner)))
    assert np.flatnonzero(highest == 0).tolist() == [48]


def test_a_recording_scores_as_its_likeliest_window(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    scores = np.linspace(0, 1, len(recordings.owner))
    highest = per_recording(recordings, scores)
    assert highest[recordings.owner[-1]] == 1.0


def test_choosing_recordings_takes_their_windows_along(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    wanted = recordings.subjects == "P03"
    some = recordings.of(wanted)
    assert some.subjects.tolist() == ["P03"] * 8
    assert len(some.owner) == wanted[recordings.owner].sum()
    assert (some.codes[some.owner] == recordings.codes[recordings.owner[wanted[recordings.owner]]]).all()


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds 0 files named <name>_50hz\.npz"):
        read(tmp_path)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=1, max_size=50), st.integers(2, 5), st.integers(0, 9))
def test_no_subject_is_in_two_folds_and_the_folds_are_even(people: list[str], count: int, seed: int) -> None:
    subjects = np.array(people)
    folds = folds_of(subjects, count, seed)
    pairs = set(zip(people, folds.tolist(), strict=True))
    assert len(pairs) == len(set(people))
    sizes = np.bincount([fold for _, fold in pairs], minlength=count)
    assert sizes.max() - sizes.min() <= 1


def test_every_fold_by_activity_holds_falls_and_daily_life(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    folds = activity_folds(recordings, 5, 0)
    assert set(folds[recordings.is_fall]) == set(folds[~recordings.is_fall]) == {0, 1}
    assert len({(code, fold) for code, fold in zip(recordings.codes, folds, strict=True)}) == 4


def test_where_activities_are_not_told_apart_people_are_dealt_out_instead(tmp_path: Path) -> None:
    recordings = read(community.write(tmp_path))
    alike = recordings.of(recordings.codes != "F02")
    assert (activity_folds(alike, 3, 0) == folds_of(alike.subjects, 3, 0)).all()
