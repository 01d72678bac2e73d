"""The keyed processor on Bytewax: `BENCH_KAFKA=... BENCH_EVERY=... python -m bytewax.run tests.bench.peers.waxed`.

Scores are made for a batch at once, as Bytewax can; state is in memory, without recovery.
Prints a line whenever it has processed another EVERY events.
"""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import bytewax.operators as op  # type: ignore[import-not-found]  # in its own environment
from bytewax.connectors.kafka import KafkaSinkMessage  # type: ignore[import-not-found]
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]

from tests.bench.peers import detector

if TYPE_CHECKING:
    from collections.abc import Iterable

brokers, every = [os.environ["BENCH_KAFKA"]], int(os.environ["BENCH_EVERY"])
seen = itertools.count(1)


def judge(batch: list[Any]) -> Iterable[tuple[Any, float, dict[str, str]]]:
    """Decode and score a batch."""
    read = [detector.read(message.value) for message in batch]
    judged = detector.scores([data for _, data in read])
    return [(envelope, *one) for (envelope, _), one in zip(read, judged, strict=True)]


def weigh(state: Any, value: Any) -> tuple[Any, tuple[str, bytes]]:
    """Take one score into its subject's episode."""
    envelope, score, sentence = value
    after, verdict = detector.step(state, envelope, score)
    number = next(seen)
    if number % every == 0:
        print("took", number, flush=True)
    alert = {"event": str(envelope.id), "verdict": verdict, "score": score, "why": sentence}
    return after, (verdict, json.dumps(alert).encode())


flow = Dataflow("falls")
source = kop.input("in", flow, brokers=brokers, topics=["bench.windows"], batch_size=1000)
scored = op.flat_map_batch("judge", source.oks, judge)
keyed = op.key_on("subject", scored, lambda value: value[0].subject)
weighed = op.stateful_map("weigh", keyed, weigh)
raised = op.filter("raised", weighed, lambda item: item[1][0] == "raise")
alerts = op.map("alerts", raised, lambda item: KafkaSinkMessage(item[0].encode(), item[1][1]))
kop.output("out", alerts, brokers=brokers, topic="bench.bytewax.alerts")
print("took 0", flush=True)
