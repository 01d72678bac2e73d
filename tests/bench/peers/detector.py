"""The detector that every processor runs: our model's score and our fusion's step, for one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from processors import fusion
from processors.falls.explain import explain
from processors.falls.features import windows_of
from processors.falls.model import FallModel
from processors.fusion import Episode, Evidence
from vigil import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.events import Envelope, FallSuspected

_model = FallModel.load("waist")


def read(payload: bytes) -> tuple[Envelope, FallSuspected]:
    """Decode one event."""
    envelope = events.decode(payload)
    return envelope, events.decode_data(envelope)  # type: ignore[return-value]  # the load has windows alone


def scores(data: Sequence[FallSuspected]) -> list[tuple[float, dict[str, str]]]:
    """Score windows together, and say why."""
    windows = windows_of(d.accel_mg for d in data)
    return list(zip(_model.score(windows).tolist(), explain(windows), strict=True))


def resident_of(envelope: Envelope) -> str:
    """Return whose device it is, the key of all state: five to a resident, as the bench registers them."""
    return f"r{int(envelope.subject[1:]) // 5}"


def step(state: object, envelope: Envelope, score: float) -> tuple[object, str]:
    """Take a score into its episode, which is kept as plain values; return the verdict."""
    episode = msgspec.convert(state, Episode) if state else None
    evidence = Evidence(at=envelope.time, device=envelope.subject, detection=str(envelope.id), wearable=score)
    after, verdict = fusion.step(episode, evidence)
    return msgspec.to_builtins(after), str(verdict)
