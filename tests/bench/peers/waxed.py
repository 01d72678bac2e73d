"""The keyed processor on Bytewax: `python -m bytewax.run tests.bench.peers.waxed -r FOLDER`.

Scores are made for a batch at once, as Bytewax can; state is remembered by its recovery store: the
episodes of residents, and which numbers of boxes have come, so that what is sent again is decided once.
Where the environment names BENCH_DSN, what comes out is kept by a sink of the kind that its documentation
describes, which then gives receipts; else it is dropped, which shows what that costs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import bytewax.operators as op  # type: ignore[import-not-found]  # in its own environment
from bytewax.connectors.kafka import operators as kop  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found]
from confluent_kafka import Producer  # type: ignore[import-not-found]

from tests.bench.peers import detector
from tests.bench.peers.accounting import Account, Receipts, lane_of, take
from tests.bench.peers.keeping import Judged, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.events import Envelope

BATCH = 500
brokers, dsn = [os.environ["BENCH_KAFKA"]], os.environ.get("BENCH_DSN")


class Scored(NamedTuple):
    """An event and its score.

    Attributes:
        first: Whether its number came for the first time.
        stored: Up to which number its box's have all come.
    """

    envelope: Envelope
    score: float
    sentence: dict[str, str]
    first: bool = True
    stored: int = 0


class Kept(StatelessSinkPartition):  # type: ignore[misc]  # untyped here
    """Keeps each batch, then gives the receipts for it."""

    def __init__(self, dsn: str) -> None:
        self._keeper = Keeper(dsn, "bytewax")
        self._receipts = Receipts(Producer({"bootstrap.servers": ",".join(brokers)}))

    def write_batch(self, items: list[tuple[str, tuple[Judged, int]]]) -> None:
        """Write it to the database."""
        self._keeper.keep([judged for _, (judged, _) in items])
        self._receipts.give((judged.envelope, stored) for _, (judged, stored) in items)


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


def judge(batch: list[Any]) -> Iterable[Scored]:
    """Decode and score a batch."""
    read = [detector.read(message.value) for message in batch]
    judged = detector.scores([data for _, data in read])
    return [Scored(envelope, *one) for (envelope, _), one in zip(read, judged, strict=True)]


def account(state: Account | None, scored: Scored) -> tuple[Account, Scored]:
    """Take an event's number."""
    after, first = take(state or Account(), scored.envelope.seq)
    return after, scored._replace(first=first, stored=after.stored)


def weigh(state: Any, counted: tuple[str, Scored]) -> tuple[Any, tuple[Judged, int]]:
    """Take one score into its subject's episode; what came before changes nothing, and is answered."""
    envelope, score, sentence, first, stored = counted[1]
    after, verdict = detector.step(state, envelope, score) if first else (state, "again")
    return after, (Judged(envelope, score, sentence, verdict), stored)


flow = Dataflow("falls")
source = kop.input("in", flow, brokers=brokers, topics=["bench.windows"], batch_size=BATCH)
scored = op.flat_map_batch("judge", source.oks, judge)
lanes = op.key_on("lane", scored, lambda one: lane_of(one.envelope))
counted = op.stateful_map("account", lanes, account)
keyed = op.key_on("resident", counted, lambda one: detector.resident_of(one[1].envelope))
weighed = op.stateful_map("weigh", keyed, weigh)
op.output("out", weighed, Sink())
print("took 0", flush=True)
