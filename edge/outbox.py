"""What has been sent and is not yet stored, and what is to be sent next: no I/O.

Place in the flow: `edge.publisher` asks it before each sending and tells it of every
sending and receipt; `edge.schedule` holds the rules for a single row.  It lives in memory
only: after a restart every row of the spool counts as not yet sent, which repeats some
events, and those the platform recognises by their ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge.schedule import Sending, is_due, put_off, sent_once_more, stands_aside
from edge.spool import Key
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

LANES: Final = (Lane.ALARM, Lane.EVENT, Lane.HEALTH, Lane.TELEMETRY)
"""The order in which lanes are served."""
OUTSTANDING: Final = 500
"""Rows of a lane that may wait for their first receipt, alarms excepted: the broker
acknowledges at once and queues without saying so, so that only receipts tell how much the
platform can take.  Rows that were sent twice or more do not count: they hold nobody up."""


class Outbox:
    """What a node knows of its sendings since it was started."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._sendings: dict[Key, Sending] = {}
        self._cursors: dict[Lane, Key] = {}
        self._expected = set(Lane)
        self._heard = 0

    def expect(self, lane: Lane) -> None:
        """Take note that the lane may hold rows that were never sent."""
        self._expected.add(lane)

    def look(self, lane: Lane) -> bool:
        """Say whether to look for fresh rows of the lane, and take note that this is done now.

        The note is taken before the spool is asked, so that a row which arrives meanwhile is
        expected again.
        """
        expected = lane in self._expected
        self._expected.discard(lane)
        return expected

    def cursor(self, lane: Lane) -> Key | None:
        """Return the lane's last row that has been sent for the first time."""
        return self._cursors.get(lane)

    def room(self, lane: Lane) -> int:
        """Return how many rows of the lane may be sent for the first time now."""
        if lane is Lane.ALARM:
            return OUTSTANDING
        waiting = sum(row.lane is lane and row.sent == 1 for row in self._sendings.values())
        return max(OUTSTANDING - waiting, 0)

    def sends(self, key: Key) -> int:
        """Return how often a row has been sent since the start."""
        sending = self._sendings.get(key)
        return sending.sent if sending else 0

    def sent(self, key: Key, now: float) -> None:
        """Take note that a row has been handed to the broker at monotonic second `now`."""
        before = self._sendings.get(key)
        self._sendings[key] = sent_once_more(before, key.lane, now, self._heard, self._rng)
        self.passed(key)

    def passed(self, key: Key) -> None:
        """Look for fresh rows of the lane behind this one only."""
        last = self._cursors.get(key.lane)
        if last is None or _place(last) < _place(key):
            self._cursors[key.lane] = key

    def due(self, lane: Lane, now: float, *, storing: bool) -> list[Key]:
        """Return the rows of a lane to be sent again, oldest first."""
        found = [
            key
            for key, row in self._sendings.items()
            if key.lane is lane and is_due(row, now, storing=storing)
        ]
        return sorted(found, key=_place)

    def given_up(self, key: Key) -> bool:
        """Say whether a row that is due is to stand aside instead."""
        return stands_aside(self._sendings[key], self._heard, at_head=self._at_head(key))

    def receipt(self, ordinal: int, lane: Lane, stored: int) -> None:
        """Forget what the platform has accounted for, and count that it spoke."""
        self._heard += 1
        for key in [k for k in self._sendings if k.lane is lane and k.ordinal == ordinal and k.seq <= stored]:
            del self._sendings[key]

    def forget(self, key: Key) -> None:
        """Forget a row that is no longer in the spool's way."""
        self._sendings.pop(key, None)

    def storing_again(self, now: float) -> None:
        """Give the platform time to account for what it already has before sending it again."""
        self._sendings = {
            key: row if row.lane is Lane.ALARM else put_off(row, now, self._rng)
            for key, row in self._sendings.items()
        }

    def resend(
        self, lanes: Iterable[Lane], ordinal: int | None, from_seq: int, now: float, spread_s: float
    ) -> None:
        """Make rows due again, at once for alarms, the others spread over `spread_s` seconds.

        Args:
            lanes: Lanes it is about.
            ordinal: Boot it is about; None is every boot.
            from_seq: First number of the boot it is about.
            now: Monotonic second.
            spread_s: Width of the spread, against stampedes.
        """
        for key, row in self._sendings.items():
            if key.lane in lanes and ordinal in (None, key.ordinal) and key.seq >= from_seq:
                wait = 0.0 if key.lane is Lane.ALARM else spread_s * self._rng.random()
                self._sendings[key] = replace(row, due=now + wait)

    def step_back(self, lane: Lane, ordinal: int, before_seq: int) -> None:
        """Look again at the lane's rows from `before_seq` of a boot on; sent ones are passed over."""
        last = self._cursors.get(lane)
        if last and (ordinal, before_seq) <= _place(last):
            self._cursors[lane] = Key(lane, ordinal, before_seq - 1)

    def _at_head(self, key: Key) -> bool:
        same = (k.seq for k in self._sendings if k.lane is key.lane and k.ordinal == key.ordinal)
        return key.seq == min(same, default=key.seq)


def _place(key: Key) -> tuple[int, int]:
    return key.ordinal, key.seq
