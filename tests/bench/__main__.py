"""`make bench`: measure everything side by side; the last line is JSON.

The table goes to stderr.  `python -m tests.bench bridge sink` measures these parts alone.
QUICK=1 is short: fewer events, three rounds, 20,000 devices for 100,000, a backlog of 20,000
for 1,000,000.  What cannot be measured here is null, with the reason on stderr.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import bridging, fanout, processing, servers, sinking, validating, whole
from tests.bench.processes import CORES, median

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.processes import Took
    from tests.bench.servers import Servers

Rounds = dict[str, list["Took"]]
KEYS = (
    "bridge_vs_usual", "bridge_vs_mqbridge", "bridge_cpu_vs_mqbridge", "validate_vs_pydantic",
    "processor_vs_quix", "processor_vs_bytewax", "sink_vs_copy", "replay_rows", "e2e_p99_vs_floor",
    "cpu_100k_vs_100", "drain_vs_live", "drain_alarm_p99_vs_idle", "state_mb_per_10k", "whole_way_events_s",
    "fanout_p99_vs_bare",
)  # fmt: skip
Figures = dict[str, float | None]


def say(text: str) -> None:
    """Print to people."""
    print(text, file=sys.stderr, flush=True)


def show(title: str, rounds: Rounds) -> None:
    """Print what each contender did: the middle of its rounds."""
    for name, took in rounds.items():
        rate, cpu = median([t.rate for t in took]), median([t.cpu_us for t in took])
        say(f"{title:12} {name:10} {rate:12,.0f} events/s {cpu:10.1f} CPU-us/event")


def ratio(rounds: Rounds, other: str, of: str = "rate") -> float | None:
    """Return ours by another's, round by round, the middle one; None without the other."""
    if other not in rounds:
        return None
    pairs = zip(rounds["ours"], rounds[other], strict=True)
    return round(median([getattr(ours, of) / getattr(theirs, of) for ours, theirs in pairs]), 2)


def bridge(stack: Servers, quick: bool) -> Figures:
    """Bridges."""
    rounds = bridging.measure(stack, 10_000 if quick else 40_000, 3 if quick else 5)
    show("bridge", rounds)
    return {
        "bridge_vs_usual": ratio(rounds, "usual"),
        "bridge_vs_mqbridge": ratio(rounds, "mqbridge"),
        "bridge_cpu_vs_mqbridge": ratio(rounds, "mqbridge", "cpu_us"),
    }


def validate(_stack: Servers, quick: bool) -> Figures:
    """Validation."""
    rounds = validating.measure(2000 if quick else 10_000, 3 if quick else 5)
    for kind, took in rounds.items():
        show(f"validate {kind}".strip(), took)
    return {"validate_vs_pydantic": ratio(rounds[validating.MIXED], "pydantic")}


def processor(stack: Servers, quick: bool) -> Figures:
    """Keyed processors."""
    rounds = processing.measure(stack, 1000 if quick else 4000, 3 if quick else 5)
    show("processor", rounds)
    return {"processor_vs_quix": ratio(rounds, "quix"), "processor_vs_bytewax": ratio(rounds, "bytewax")}


def sink(stack: Servers, quick: bool) -> Figures:
    """The sink."""
    rounds, replayed = sinking.measure(stack, 10_000 if quick else 50_000, 3 if quick else 5)
    show("sink", rounds)
    return {"sink_vs_copy": ratio(rounds, "copy"), "replay_rows": replayed}


def the_whole_way(stack: Servers, quick: bool) -> Figures:
    """From the broker to the screen."""
    figures: dict[str, Any] = whole.measure(stack, quick=quick)
    for name in ("way", "floor"):
        p50 = median([whole.quantile(r, 0.5) for r in figures[name]])
        p99 = median([whole.quantile(r, 0.99) for r in figures[name]])
        say(f"{'to screen':12} {name:10} p50 {p50:8.1f} ms, p99 {p99:8.1f} ms")
    p99s = [
        whole.quantile(way, 0.99) / whole.quantile(floor, 0.99)
        for way, floor in zip(figures["way"], figures["floor"], strict=True)
    ]
    cost = {name: median([took.cpu_us for took, _ in pairs]) for name, pairs in figures["cost"].items()}
    for name, pairs in figures["cost"].items():
        database = median([us for _, us in pairs])
        devices = whole.FEW if name == "few" else figures["devices"]
        say(f"{'devices':12} {devices:10,} {cost[name]:8.1f} CPU-us/event, PostgreSQL {database:8.1f}")
    return {
        "e2e_p99_vs_floor": round(median(p99s), 2),
        "cpu_100k_vs_100": round(cost["many"] / cost["few"], 2),
        "state_mb_per_10k": round(figures["state"], 1),
        "whole_way_events_s": round(median(figures["whole_way"])),
    }


def drained(stack: Servers, quick: bool) -> Figures:
    """A backlog."""
    count = 20_000 if quick else int(os.environ.get("BENCH_BACKLOG", "1000000"))
    rate, idle, busy = whole.drain(stack, count, 4 if quick else 20)
    slow, fast = whole.quantile(busy, 0.99), whole.quantile(idle, 0.99)
    say(f"{'drain':12} {count:,} at {rate:,.0f} events/s; alarms' p99 {slow:.1f} ms, idle {fast:.1f} ms")
    return {
        "drain_vs_live": round(rate / whole.BACKGROUND, 2),
        "drain_alarm_p99_vs_idle": round(slow / fast, 2),
    }


def fan_out(stack: Servers, quick: bool) -> Figures:
    """The live stream."""
    found = fanout.measure(stack, seconds=4 if quick else 10, rounds=3 if quick else 5)
    for name, p99s in found.items():
        say(f"{'fan-out':12} {name:10} p99 {median(p99s) * 1000:8.1f} ms, {fanout.SESSIONS} sessions")
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    return {"fanout_p99_vs_bare": round(median(ratios), 2)}


def chosen(names: Sequence[str]) -> list[Callable[[Servers, bool], Figures]]:
    """Return the parts of these names, all without one."""
    parts: tuple[Callable[[Servers, bool], Figures], ...] = (
        validate, bridge, processor, sink, the_whole_way, drained, fan_out,
    )  # fmt: skip
    known = {part.__name__: part for part in parts}
    if unknown := set(names) - set(known):
        sys.exit(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def main() -> int:
    """Measure; return 0 if every figure could be had."""
    quick = bool(os.environ.get("QUICK"))
    parts = chosen(sys.argv[1:])
    found: Figures = dict.fromkeys(KEYS)
    failed = False
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder, servers.started(Path(folder)) as stack:
        say(f"Kafka is {stack.kind}; {len(CORES)} cores{'; QUICK' if quick else ''}")
        for part in parts:
            try:
                found |= part(stack, quick)
            except Exception:  # noqa: BLE001 - the other parts are still worth having
                failed = True
                say(f"{part.__name__} failed:\n{traceback.format_exc()}")
        kind = stack.kind
    print(json.dumps({**found, "kafka": kind, "quick": quick, "cores": len(CORES)}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
