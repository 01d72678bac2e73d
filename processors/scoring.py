"""Ask the models about suspected falls, in a thread: inference never blocks the event loop.

What a model fails on is left without a score, and `processors.decide` judges it by rule.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog
from prometheus_client import Counter

from processors.decide import Judged
from processors.falls.explain import explain
from vigil.events import FallSuspected, PoseSuspected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from processors.arrivals import Arrival
    from processors.falls.model import FallModel

failures = Counter("vigil_model_failures_total", "Batches that a model failed on; judged by rule.", ["model"])
_log = structlog.get_logger(__name__)


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
            with _surviving(placement):
                scores |= _score_windows(placement, model, worn) if worn else {}
        for arrival in suspected:
            if isinstance(arrival.data, PoseSuspected) and self._pose is not None:
                with _surviving("pose"):
                    scores[arrival.envelope.id] = self._pose.judge(arrival.data)
        return scores


@contextmanager
def _surviving(model: str) -> Iterator[None]:
    """Go on without the scores of a model that fails."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it is, a fall that was not scored is still raised
        failures.labels(model).inc()
        _log.exception("model failed", model=model)


def _score_windows(
    placement: str, model: FallModel, worn: Sequence[tuple[UUID, FallSuspected]]
) -> dict[UUID, Judged]:
    windows = np.array([data.accel_mg for _, data in worn], np.float32).reshape(-1, 200, 3) / np.float32(1000)
    probabilities = model.score(windows)
    version = model.manifest.version
    return {
        id_: Judged(float(p), f"falls-{placement}", version, sentence)
        for (id_, _), sentence, p in zip(worn, explain(windows), probabilities, strict=True)
    }
