"""Ask the models about suspected falls, in a thread: inference never blocks the event loop.

What a model fails on has no score, and `processors.decide` judges it by rule.

Beside each packaged model there may be candidates: further versions, which are asked about the same
events.  Which of them may alert is not decided here (`vigil.modes`).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import structlog
from prometheus_client import Counter

from processors.decide import Judged
from processors.drift import Watch
from processors.falls.explain import explain
from processors.falls.features import windows_of
from vigil.events import FallSuspected, PoseSuspected
from vigil.modes import POSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from processors.arrivals import Arrival
    from processors.falls.model import FallModel
    from processors.posefalls.model import PoseRule

failures = Counter("vigil_model_failures_total", "Batches that a model failed on; judged by rule.", ["model"])
_log = structlog.get_logger(__name__)


class Scorer:
    """Every model, loaded once; a placement without a model of its own is never scored by another's.

    Attributes:
        versions: Which are there, by detector, the packaged one first.
    """

    def __init__(
        self,
        wearables: Mapping[str, FallModel],
        pose: PoseRule | None,
        candidates: Mapping[str, Sequence[FallModel]] | None = None,
        pose_candidates: Sequence[PoseRule] = (),
        watch: Watch | None = None,
    ) -> None:
        """Take the packaged models, candidates for their place by placement, and who watches for drift."""
        self._wearables = {
            placement: (model, *(candidates or {}).get(placement, ()))
            for placement, model in wearables.items()
        }
        self._poses = (*([pose] if pose else []), *pose_candidates)
        self._watch = watch or Watch({})
        self.versions: dict[str, tuple[str, ...]] = {
            f"falls-{placement}": tuple(model.manifest.version for model in models)
            for placement, models in self._wearables.items()
        } | {POSE: tuple(pose.manifest.version for pose in self._poses)}

    async def score(self, arrivals: Sequence[Arrival]) -> dict[UUID, Judged]:
        """Return what the models make of the suspected falls among new events, by event id."""
        suspected = [a for a in arrivals if isinstance(a.data, (FallSuspected, PoseSuspected))]
        return await asyncio.to_thread(self._score, suspected) if suspected else {}

    def _score(self, suspected: Iterable[Arrival]) -> dict[UUID, Judged]:
        scores: dict[UUID, Judged] = {}
        worn: dict[str, list[tuple[Arrival, FallSuspected]]] = {
            placement: [] for placement in self._wearables
        }
        for arrival in suspected:
            if isinstance(arrival.data, FallSuspected) and arrival.data.placement in worn:
                worn[arrival.data.placement].append((arrival, arrival.data))
            elif isinstance(arrival.data, PoseSuspected) and self._poses:
                found = [_judge_pose(pose, arrival.data) for pose in self._poses]
                scores[arrival.envelope.id] = _together(found)
        for placement, some in worn.items():
            if some:
                versions = [
                    self._judge_windows(placement, model, some) for model in self._wearables[placement]
                ]
                words = zip(*versions, strict=True)
                scores |= {a.envelope.id: _together(said) for (a, _), said in zip(some, words, strict=True)}
        return scores

    def _judge_windows(
        self, placement: str, model: FallModel, worn: Sequence[tuple[Arrival, FallSuspected]]
    ) -> list[Judged]:
        """Return a version's word on each window; a score that is no number where it failed."""
        name, version = f"falls-{placement}", model.manifest.version
        try:
            windows = windows_of(data.accel_mg for _, data in worn)
            likely = model.score(windows)
            real = np.array([a.synthetic is None for a, _ in worn])
            devices = [(a.device.id, a.happened.date()) for a, _ in worn if a.synthetic is None]
            self._watch.note((name, version), windows[real], likely[real], devices)
            return [
                Judged(float(p), name, version, sentence)
                for sentence, p in zip(explain(windows), likely, strict=True)
            ]
        except Exception:  # noqa: BLE001 - whatever it is, a fall that was not scored is still raised
            _note_failure(name)
            return [Judged(math.nan, name, version, {})] * len(worn)


def _together(versions: Sequence[Judged]) -> Judged:
    """Return the packaged model's word with those of the candidates beside it."""
    first, *others = versions
    return replace(first, others=tuple(others)) if others else first


def _judge_pose(pose: PoseRule, data: PoseSuspected) -> Judged:
    try:
        return pose.judge(data)
    except Exception:  # noqa: BLE001 - as above
        _note_failure(POSE)
        return Judged(math.nan, POSE, pose.manifest.version, {})


def _note_failure(model: str) -> None:
    failures.labels(model).inc()
    _log.exception("model failed", model=model)
