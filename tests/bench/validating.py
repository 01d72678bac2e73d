"""Decoding and checking an event: ours against pydantic's models of the same shapes.

Both check the same rules: every field's type and bounds, every name's form, the type's own data.
That an event says the same of itself as the topic it came by is left out, on both sides: it is the
same few lines of Python after either (`vigil.events.check_origin`, 1 to 2 us).

Thirty readings to a window: a pendant sends its activity once a minute (`edge.wearable`), and an impact
every half hour is a restless day.  The table also shows each kind alone.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tests.bench.load import messages
from tests.bench.processes import ROOT, Took
from vigil import events
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

READINGS_A_WINDOW = 30
MIXED = ""


def measure(count: int, rounds: int) -> dict[str, dict[str, list[Took]]]:
    """Return what each round took, by kind of message (`MIXED`: as devices send them) and contender."""
    at, windows = utc_now(), max(count // READINGS_A_WINDOW, 1)
    telemetry = [m.payload for m in messages("telemetry", count, 100, at)]
    window = [m.payload for m in messages("window", windows, 100, at)]
    loads = {MIXED: telemetry + window, "telemetry": telemetry, "window": window}
    sys.path.insert(0, str(ROOT / "tests/bench/peers"))  # as in its own environment
    from models import events as models  # type: ignore[import-not-found]  # a script's neighbour

    checks: dict[str, Callable[[bytes], object]] = {"ours": events.read, "pydantic": models.validate_json}
    took: dict[str, dict[str, list[Took]]] = {kind: {name: [] for name in checks} for kind in loads}
    for _ in range(rounds):
        for kind, load in loads.items():
            for name, check in checks.items():
                took[kind][name].append(_timed(check, load))
    return took


def _timed(check: Callable[[bytes], object], load: Sequence[bytes]) -> Took:
    if check(load[0]) is None:
        raise ValueError("the load is not valid")
    began, cpu = time.perf_counter(), time.process_time()
    for payload in load:
        check(payload)
    return Took(time.perf_counter() - began, time.process_time() - cpu, len(load))
