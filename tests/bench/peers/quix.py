"""The keyed processor on Quix Streams: `python -m tests.bench.peers.quix KAFKA STATE_DIR DSN`.

State is where Quix keeps it (RocksDB, and a changelog topic); what comes out goes through a batching
sink of the kind that its documentation describes, with each of its checkpoints.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from quixstreams import Application  # type: ignore[import-not-found]  # in its own environment
from quixstreams.sinks import BatchingSink  # type: ignore[import-not-found]

from tests.bench.peers import detector
from tests.bench.peers.keeping import Judged, Keeper

if TYPE_CHECKING:
    from quixstreams.sinks import SinkBatch

BATCH = 500
"""Messages to a checkpoint; the default of 5 seconds alone would leave this load waiting for it."""
bootstrap, folder, dsn = sys.argv[1:4]


class Sink(BatchingSink):  # type: ignore[misc]  # untyped here
    """Keeps what a checkpoint holds of a partition."""

    def __init__(self) -> None:
        super().__init__()
        self._keeper = Keeper(dsn, "quix")

    def write(self, batch: SinkBatch) -> None:
        """Write it to the database."""
        self._keeper.keep([item.value for item in batch])


def judge(payload: bytes, state: Any) -> Judged:
    """Score, weigh, remember."""
    envelope, data = detector.read(payload)
    ((score, sentence),) = detector.scores([data])
    after, verdict = detector.step(state.get("episode"), envelope, score)
    state.set("episode", after)
    return Judged(envelope, score, sentence, verdict)


application = Application(
    broker_address=bootstrap, consumer_group="quix", auto_offset_reset="earliest", state_dir=folder,
    commit_every=BATCH, commit_interval=0.2,
)  # fmt: skip
stream = application.dataframe(application.topic("bench.windows", value_deserializer="bytes"))
stream.apply(judge, stateful=True).sink(Sink())
print("took 0", flush=True)
application.run()
