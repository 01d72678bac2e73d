"""Receipts on their way down: which of them waits, which one goes, and which is not needed any more.

Place in the flow: `ingest.downlink` puts in what Kafka gives, and takes out what the broker may have.
No I/O, and time is an input.

Rules
-----
1. Of each node, boot and lane the highest receipt is kept alone: it says all that the lower ones say.
2. A receipt of the alarm lane may go at once, and goes before the others.
3. One of another lane goes `HOLD_S` after the first of those that it stands for came.  A box does not
   wait for it: it may send more as soon as its broker has what it sent, sends again after a minute
   only, and frees its disk later than it might have.
4. What is held is bounded: a receipt too many is dropped, and its events are sent and answered again.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.receipts import StoredReceipt

    Key: TypeAlias = tuple[str, str, str]

HOLD_S: Final = 2.0
"""A thirtieth of the minute after which a box sends again.  Of 2,000 boxes that send twice a second
it makes one publish of four."""
MOST: Final = 100_000
"""Receipts that wait, of alarms and of all others: some 60 MB."""


class Held:
    """Receipts that wait to be passed down.  Times are seconds of any clock that only goes forward."""

    def __init__(self, hold_s: float = HOLD_S, most: int = MOST) -> None:
        self._hold_s = hold_s
        self._most = most
        self._alarms: dict[Key, StoredReceipt] = {}
        self._others: dict[Key, StoredReceipt] = {}
        self._due: dict[Key, float] = {}  # of the others, in the order in which they came

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._alarms) + len(self._others)

    def put(self, given: Iterable[StoredReceipt], now: float) -> int:
        """Take receipts in; return how many there was no room for."""
        dropped = 0
        for receipt in given:
            lane = self._alarms if receipt.lane is Lane.ALARM else self._others
            key = (receipt.node, receipt.boot, receipt.lane)
            before = lane.get(key)
            if before is None and len(lane) >= self._most:
                dropped += 1
            elif before is None or before.stored < receipt.stored:
                lane[key] = receipt
                if lane is self._others:
                    self._due.setdefault(key, now + self._hold_s)
        return dropped

    def take(self, most: int, now: float) -> list[StoredReceipt]:
        """Give up to so many of those that may go now, alarms' first."""
        taken = [self._alarms.pop(key) for key in list(islice(self._alarms, most))]
        while self._due and len(taken) < most:
            key, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[key]
            taken.append(self._others.pop(key))
        return taken

    def wait_s(self, now: float) -> float | None:
        """Return in how many seconds one may go, None where none waits."""
        if self._alarms:
            return 0.0
        return max(next(iter(self._due.values())) - now, 0.0) if self._due else None
