from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from processors.arrivals import sort
from processors.scoring import Scorer
from tests.making import NOW, event, fall, record, registry

pytestmark = pytest.mark.asyncio


class Model:
    """Scores every window alike, or fails."""

    def __init__(self, score: float | None, version: str = "7") -> None:
        self.manifest = SimpleNamespace(version=version)
        self._score = score

    def score(self, windows: Any) -> Any:
        if self._score is None:
            raise RuntimeError("the session is broken")
        assert windows.shape[1:] == (200, 3)
        return np.full(len(windows), self._score)


def suspected(*placements: str) -> list[Any]:
    made = [event(fall(placement), seq) for seq, placement in enumerate(placements, 1)]
    return sort([record(envelope) for envelope in made], registry(), NOW).arrivals


def scorer(**models: float | None) -> Scorer:
    made: Any = {placement: Model(score) for placement, score in models.items()}
    return Scorer(made, None)


async def test_each_window_is_scored_by_the_model_of_its_placement() -> None:
    arrivals = suspected("waist", "wrist", "waist")
    scores = await scorer(waist=0.9, wrist=0.2).score(arrivals)
    found = [(s.score, s.model, s.model_version) for s in (scores[a.envelope.id] for a in arrivals)]
    assert found == [(0.9, "falls-waist", "7"), (0.2, "falls-wrist", "7"), (0.9, "falls-waist", "7")]


async def test_a_placement_without_a_model_is_scored_by_no_other() -> None:
    assert await scorer(waist=0.9).score(suspected("chest")) == {}


async def test_a_model_that_fails_has_no_score_and_leaves_the_others_theirs() -> None:
    wrist, waist = suspected("wrist", "waist")
    scores = await scorer(wrist=None, waist=0.9).score([wrist, waist])
    assert math.isnan(scores[wrist.envelope.id].score)
    assert scores[waist.envelope.id].score == 0.9


async def test_a_candidate_is_asked_about_the_same_window_and_its_failure_is_its_own() -> None:
    made: Any = {"waist": Model(0.9, "7")}
    beside: Any = {"waist": [Model(0.3, "8"), Model(None, "9")]}
    (arrival,) = suspected("waist")
    judged = (await Scorer(made, None, beside).score([arrival]))[arrival.envelope.id]
    assert (judged.model_version, judged.score) == ("7", 0.9)
    assert [one.model_version for one in judged.others] == ["8", "9"]
    assert judged.others[0].score == 0.3
    assert math.isnan(judged.others[1].score)


async def test_without_a_suspicion_no_model_is_asked() -> None:
    made = sort([record(event())], registry(), NOW).arrivals
    assert await scorer(waist=None).score(made) == {}
