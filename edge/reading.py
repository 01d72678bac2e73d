"""What a source hands over: one observation of one device, not yet numbered.

Place in the flow: `edge.sources` and `edge.camera` make readings, `edge.intake` checks them
with `check` and has `edge.spool` turn each into an event.  A source is anything with a
coroutine `run(put)` that goes on until it is cancelled or has nothing left.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from vigil.errors import Rejected
from vigil.events import DATA, MAX_PAYLOAD, TYPE_OF, Data, Synthetic, encode

if TYPE_CHECKING:
    from datetime import datetime

ENVELOPE_BYTES: Final = 1024
"""Room that an event's envelope may take beside its data; it takes about 500 bytes."""

_DEVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_decoders = {shape: msgspec.json.Decoder(shape) for shape in DATA.values()}


@dataclass(frozen=True, slots=True)
class Reading:
    """An observation.

    Attributes:
        device: Id of the device, as registered.
        data: What was observed.
        time: When it happened, by the edge's clock, aware and in UTC.
        synthetic: Set by simulators, canaries and drills; None is real.
    """

    device: str
    data: Data
    time: datetime
    synthetic: Synthetic | None = None


Put = Callable[[Reading], Awaitable[None]]
"""Takes a reading; returns when it is durable, raises `Rejected` or `Unavailable`."""


class Source(Protocol):
    """Something that observes devices."""

    async def run(self, put: Put) -> None:
        """Hand over readings until there is nothing left or the task is cancelled."""


def check(reading: Reading) -> None:
    """Check what the platform will check, before the reading gets a sequence number.

    Raises:
        Rejected: `malformed` or `oversize`; the source must not offer it again.
    """
    if not _DEVICE.fullmatch(reading.device):
        raise Rejected("malformed", f"device id {reading.device!r} is not of [A-Za-z0-9_.-], 1 to 64 long")
    if reading.time.tzinfo is None:
        raise Rejected("malformed", f"time of {reading.device} has no time zone")
    raw = encode(reading.data)
    if len(raw) > MAX_PAYLOAD - ENVELOPE_BYTES:
        raise Rejected("oversize", f"{len(raw)} bytes of data from {reading.device}")
    try:
        _decoders[type(reading.data)].decode(raw)
    except msgspec.DecodeError as error:
        kind = TYPE_OF[type(reading.data)]
        raise Rejected("malformed", f"{kind} from {reading.device}: {error}") from None
