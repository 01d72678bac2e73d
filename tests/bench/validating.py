"""Decoding and checking an event: ours against pydantic's models of the same shapes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tests.bench.load import messages
from tests.bench.processes import ROOT, Took
from vigil import events, topics
from vigil.clock import utc_now

if TYPE_CHECKING:
    from tests.bench.load import Message


def measure(count: int, rounds: int) -> dict[str, list[Took]]:
    """Return what each round took: four readings to each window, as devices send them."""
    at = utc_now()
    mixed = [*messages("telemetry", count * 4 // 5, 100, at), *messages("window", count // 5, 100, at)]
    sys.path.insert(0, str(ROOT / "tests/bench/peers"))  # as in its own environment
    from models import events as models  # type: ignore[import-not-found]  # a script's neighbour

    took: dict[str, list[Took]] = {"ours": [], "pydantic": []}
    for _ in range(rounds):
        for name, check in (("ours", _ours), ("pydantic", lambda m: models.validate_json(m.payload))):
            began, cpu = time.perf_counter(), time.process_time()
            for message in mixed:
                check(message)
            took[name].append(Took(time.perf_counter() - began, time.process_time() - cpu, len(mixed)))
    return took


def _ours(message: Message) -> None:
    """Decode, compare with the topic it came by (identity included), decode the data."""
    envelope = events.decode(message.payload)
    events.check_origin(envelope, topics.parse(message.topic))
    events.decode_data(envelope)
