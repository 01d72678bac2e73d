"""Ask the models about suspected falls, in a thread: inference never blocks the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import numpy as np

from processors.decide import Judged
from processors.falls.explain import explain
from vigil.events import FallSuspected, PoseSuspected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from processors.arrivals import Arrival
    from processors.falls.model import FallModel


class PoseModel(Protocol):
    """What scores a sequence of poses."""

    def judge(self, data: PoseSuspected) -> Judged:
        """Return the probability of a fall, and why."""


class Scorer:
    """Every model, loaded once; a placement without a model of its own is never scored by another's."""

    def __init__(self, wearables: Mapping[str, FallModel], pose: PoseModel | None) -> None:
        self._wearables = wearables
        self._pose = pose

    async def score(self, arrivals: Sequence[Arrival]) -> dict[UUID, Judged]:
        """Return what the models make of the suspected falls among new events, by event id."""
        suspected = [a for a in arrivals if isinstance(a.data, (FallSuspected, PoseSuspected))]
        return await asyncio.to_thread(self._score, suspected) if suspected else {}

    def _score(self, suspected: Iterable[Arrival]) -> dict[UUID, Judged]:
        scores: dict[UUID, Judged] = {}
        for placement, model in self._wearables.items():
            worn = [
                (a.envelope.id, a.data)
                for a in suspected
                if isinstance(a.data, FallSuspected) and a.data.placement == placement
            ]
            scores |= _score_windows(placement, model, worn) if worn else {}
        for arrival in suspected:
            if isinstance(arrival.data, PoseSuspected) and self._pose is not None:
                scores[arrival.envelope.id] = self._pose.judge(arrival.data)
        return scores


def _score_windows(
    placement: str, model: FallModel, worn: Sequence[tuple[UUID, FallSuspected]]
) -> dict[UUID, Judged]:
    windows = np.array([data.accel_mg for _, data in worn], np.float32).reshape(-1, 200, 3) / 1000
    probabilities = model.score(windows)
    version = model.manifest.version
    return {
        id_: Judged(float(p), f"falls-{placement}", version, explain(window))
        for (id_, _), window, p in zip(worn, windows, probabilities, strict=True)
    }
