"""The keyed processor on Bytewax: `python -m bytewax.run tests.bench.peers.waxed -r FOLDER`.

Scores are made for a batch at once, as Bytewax can; state is remembered by its recovery store.
Where the environment names BENCH_DSN, what comes out is kept by a sink of the kind that its
documentation describes; else it is dropped, which shows what that costs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import bytewax.operators as op  # type: ignore[import-not-found]  # in its own environment
from bytewax.connectors.kafka import operators as kop  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found]

from tests.bench.peers import detector
from tests.bench.peers.keeping import Judged, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH = 500
brokers, dsn = [os.environ["BENCH_KAFKA"]], os.environ.get("BENCH_DSN")


class Kept(StatelessSinkPartition):  # type: ignore[misc]  # untyped here
    """Keeps each batch."""

    def __init__(self, dsn: str) -> None:
        self._keeper = Keeper(dsn, "bytewax")

    def write_batch(self, items: list[tuple[str, Judged]]) -> None:
        """Write it to the database."""
        self._keeper.keep([judged for _, judged in items])


class Dropped(StatelessSinkPartition):  # type: ignore[misc]
    """Counts, and keeps nothing."""

    def __init__(self) -> None:
        self._seen = 0

    def write_batch(self, items: list[Any]) -> None:
        """Say how far it has come."""
        self._seen += len(items)
        print("took", self._seen, flush=True)


class Sink(DynamicSink):  # type: ignore[misc]
    """One partition for the one worker."""

    def build(self, _step: str, _worker: int, _workers: int) -> Kept | Dropped:
        """Open it."""
        return Kept(dsn) if dsn else Dropped()


def judge(batch: list[Any]) -> Iterable[tuple[Any, float, dict[str, str]]]:
    """Decode and score a batch."""
    read = [detector.read(message.value) for message in batch]
    judged = detector.scores([data for _, data in read])
    return [(envelope, *one) for (envelope, _), one in zip(read, judged, strict=True)]


def weigh(state: Any, value: Any) -> tuple[Any, Judged]:
    """Take one score into its subject's episode."""
    envelope, score, sentence = value
    after, verdict = detector.step(state, envelope, score)
    return after, Judged(envelope, score, sentence, verdict)


flow = Dataflow("falls")
source = kop.input("in", flow, brokers=brokers, topics=["bench.windows"], batch_size=BATCH)
scored = op.flat_map_batch("judge", source.oks, judge)
keyed = op.key_on("resident", scored, lambda value: detector.resident_of(value[0]))
weighed = op.stateful_map("weigh", keyed, weigh)
op.output("out", weighed, Sink())
print("took 0", flush=True)
