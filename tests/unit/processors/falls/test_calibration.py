from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.falls import calibration as cal
from processors.falls.train import fit_calibration


def overconfident(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return raw scores that are surer than they may be, and what came true."""
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-2 * odds)), truth


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_lowers_the_brier_score_of_overconfident_scores(method: str) -> None:
    raw, truth = overconfident()
    likely = fit_calibration(method, raw[::2], truth[::2]).apply(raw[1::2])
    assert cal.brier(likely, truth[1::2]) < cal.brier(raw[1::2], truth[1::2])


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_higher_score_is_never_less_likely_and_nothing_is_certain(method: str, scores: list[float]) -> None:
    raw, truth = overconfident(400)
    likely = fit_calibration(method, raw, truth).apply(np.sort(scores))
    assert (np.diff(likely) >= 0).all()
    assert likely.min() >= 1 - cal.CERTAIN
    assert likely.max() <= cal.CERTAIN


def test_reliability_counts_every_window_once() -> None:
    raw, truth = overconfident()
    bins = cal.reliability(raw, truth)
    assert sum(each.n for each in bins) == len(raw)
    assert all(each.low <= each.mean <= each.high for each in bins)


def test_probabilities_at_the_bounds_have_their_bin() -> None:
    (low, high) = cal.reliability(np.array((0.0, 1.0)), np.array((False, True)))
    assert (low.n, low.observed, high.n, high.observed) == (1, 0.0, 1, 1.0)


def test_a_certain_error_surprises_more_than_a_doubtful_one() -> None:
    truth = np.array((True,))
    assert cal.log_loss(np.array((0.0,)), truth) > cal.log_loss(np.array((0.4,)), truth)
