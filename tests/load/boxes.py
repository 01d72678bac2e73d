"""The boxes that are played, and the account of what they have sent.

Place in the flow: `tests.load.__main__` publishes what `Boxes` makes and tells `Account` of the
receipts.  Messages hold what those of `tests.bench.load` hold; time is an input.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.bench.load import DEVICES_A_NODE, Message, data_of, window
from vigil.events import encode, envelope_of
from vigil.topics import Address, Kind, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from vigil.events import Data, Receipt

COMMUNITY, ESTATE = "c-load", "e-load"
KINDS: Final = {Lane.TELEMETRY: Kind.TELEMETRY, Lane.EVENT: Kind.EVENT, Lane.ALARM: Kind.ALARM}
A_HUNDRED: Final = (Lane.ALARM, *[Lane.EVENT] * 9, *[Lane.TELEMETRY] * 90)
"""What a hundred messages are: a stumble, nine changes of sensors, ninety batches of readings."""


def address_of(device: int) -> Address:
    """Return the box that a device hangs on, `DEVICES_A_NODE` to a box."""
    return Address(COMMUNITY, ESTATE, f"load-n{device // DEVICES_A_NODE}")


def rows(devices: int) -> dict[str, list[dict[str, Any]]]:
    """Return the register's rows: boxes that send drills, with devices that are nobody's."""
    nodes = range(0, devices, DEVICES_A_NODE)
    return {
        "community": [{"id": COMMUNITY, "name": "Load"}],
        "estate": [{"id": ESTATE, "community": COMMUNITY, "name": "Load"}],
        "node": [{"id": address_of(n).node, "estate": ESTATE, "synthetic": "drill"} for n in nodes],
        "device": [
            {"id": f"load-d{n}", "node": address_of(n).node, "kind": "pendant", "placement": "waist"}
            for n in range(devices)
        ],
    }


class Boxes:
    """Makes the messages of all devices, in turn from box to box."""

    def __init__(self, devices: int, boot: str, seed: int) -> None:
        """Begin with the first sequence number of a boot; no two runs may share one."""
        self._order = sorted(range(devices), key=lambda device: (device % DEVICES_A_NODE, device))
        self._boot = boot
        self._rng = Random(seed)
        self._seqs: dict[tuple[str, Lane], int] = {}
        self._count = 0

    def next(self, now: datetime) -> tuple[Message, Lane, int]:
        """Return the next message, its lane and its sequence number; it happens now."""
        number = self._count
        self._count += 1
        device = self._order[number % len(self._order)]
        # A step of its own from round to round, so that a device sends of all kinds.
        lane = A_HUNDRED[(number + number // len(self._order)) % len(A_HUNDRED)]
        address, name = address_of(device), f"load-d{device}"
        seq = self._seqs[address.node, lane] = self._seqs.get((address.node, lane), 0) + 1
        made = envelope_of(
            address, name, self._data(lane, number), time=now, boot=self._boot, seq=seq,
            synthetic="drill", clock="synced",
        )  # fmt: skip
        return Message(address.topic(KINDS[lane], name), encode(made), address.node), lane, seq

    def _data(self, lane: Lane, number: int) -> Data:
        """Stumbles and no falls, so that nobody's board fills."""
        if lane is Lane.ALARM:
            return window(f"load-{number}", self._rng)
        return data_of("event" if lane is Lane.EVENT else "telemetry", number, self._rng)


@dataclass(slots=True)
class Account:
    """What was sent and has no receipt, and how long receipts took; used by several threads.

    Attributes:
        waits: Seconds from publishing to the receipt, by lane.
    """

    waits: dict[Lane, list[float]] = field(default_factory=lambda: {lane: [] for lane in KINDS})
    _open: dict[tuple[str, Lane], deque[tuple[int, float]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, node: str, lane: Lane, seq: int, at: float) -> None:
        """Note a message, in the order of its box's and lane's numbers."""
        with self._lock:
            self._open.setdefault((node, lane), deque()).append((seq, at))

    def stored(self, node: str, receipt: Receipt, at: float) -> None:
        """Take off what a receipt covers."""
        with self._lock:
            row = self._open.get((node, receipt.lane), deque())
            while row and row[0][0] <= receipt.stored:
                self.waits[receipt.lane].append(at - row.popleft()[1])

    def outstanding(self) -> int:
        """Return how many messages have no receipt."""
        with self._lock:
            return sum(map(len, self._open.values()))


def summary(waits: Mapping[Lane, list[float]]) -> dict[str, float | None]:
    """Return the 50th and 99th percentiles in ms, of all and of alarms; None of nothing."""
    everything = [wait for lane in waits.values() for wait in lane]
    return {
        f"{name}_p{share}_ms": _percentile(values, share)
        for name, values in (("receipts", everything), ("alarm_receipts", waits[Lane.ALARM]))
        for share in (50, 99)
    }


def _percentile(values: list[float], share: int) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) * share // 100, len(ordered) - 1)] * 1000, 1)
