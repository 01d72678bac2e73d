"""The keyed processor on Quix Streams: `python -m tests.bench.peers.quix KAFKA EVERY STATE_DIR`.

Prints a line whenever it has processed another EVERY events.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]  # in its own environment

from tests.bench.peers import detector

bootstrap, every, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
seen = itertools.count(1)


def judge(payload: bytes, state: Any) -> dict[str, Any]:
    """Score, weigh, remember."""
    envelope, data = detector.read(payload)
    ((score, sentence),) = detector.scores([data])
    after, verdict = detector.step(state.get("episode"), envelope, score)
    state.set("episode", after)
    number = next(seen)
    if number % every == 0:
        print("took", number, flush=True)
    return {"event": str(envelope.id), "verdict": verdict, "score": score, "why": sentence}


application = Application(
    broker_address=bootstrap, consumer_group="quix", auto_offset_reset="earliest", state_dir=folder
)
stream = application.dataframe(application.topic("bench.windows", value_deserializer="bytes"))
stream = stream.apply(judge, stateful=True)
stream = stream[stream["verdict"] == "raise"]
stream.to_topic(application.topic("bench.quix.alerts", value_serializer="json"))
print("took 0", flush=True)
application.run()
