"""Take a batch of records apart: what is valid, what is dead, what must be withheld.

Pure; the first thing `processors.intake` does with a batch, before anything is stored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from processors.consent import withheld_for
from vigil import events
from vigil.errors import Rejected
from vigil.store.intake import Dead, EventRow, Withheld

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from aiokafka import ConsumerRecord

    from vigil.events import Data, Envelope
    from vigil.registry import Device, Node, Registry, Resident
    from vigil.store.intake import Key

AHEAD: Final = timedelta(hours=1)
BEHIND: Final = timedelta(days=60)
"""A time further from its arrival than this cannot be: a spool holds 72 h, a box may have
been away for weeks, a clock without a battery begins in 1970."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A valid event, and what the registry knows of its sender.

    Attributes:
        happened: Best knowledge of when it happened: the event's own time where the device's
            clock is synced, else by the edge's monotonic age; when neither can be, the arrival.
        synthetic: The event's claim, where its sender is registered for it; a forged claim
            is ignored, so it cannot hide a real fall.
        residents: Whose device it is now.
    """

    envelope: Envelope
    data: Data
    node: Node
    device: Device
    received_at: datetime
    happened: datetime
    synthetic: str | None
    residents: tuple[Resident, ...]

    @property
    def key(self) -> Key:
        """Where its sequence number counts."""
        return (self.node.id, self.envelope.boot, str(self.envelope.lane))

    @property
    def plausible(self) -> bool:
        """Whether the event's own time can be."""
        return _can_be(self.envelope.time, self.received_at)

    def row(self) -> EventRow:
        """Return the event as it is stored."""
        e = self.envelope
        return EventRow(
            e.time,
            e.id,
            self.node.id,
            e.subject,
            e.type,
            e.boot,
            e.lane,
            e.seq,
            self.received_at,
            e.clock,
            self.synthetic,
            bytes(e.data),
        )


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, taken apart.

    Attributes:
        arrivals: In the order in which their nodes made them.
        accounted: First and last of the sequence numbers that the batch accounts for.
    """

    arrivals: list[Arrival]
    withheld: list[Withheld]
    dead: list[Dead]
    accounted: dict[Key, list[tuple[int, int]]]


def sort(records: Iterable[ConsumerRecord[Any, Any]], registry: Registry, now: datetime) -> Sorted:
    """Take records of the event topics apart.

    Args:
        records: As they came from Kafka; a record's time stamp is when ingest received it.
        registry: Nodes, devices, residents, consents.
        now: Present time, at which consent has to be in force.
    """
    found = Sorted([], [], [], defaultdict(list))
    for record in records:
        outcome = _read(record, registry, now)
        seq = outcome.seq if isinstance(outcome, Dead) else outcome.envelope.seq
        if seq is not None:
            found.accounted[outcome.key].append((seq, seq))
        if isinstance(outcome, Dead):
            found.dead.append(outcome)
        elif purpose := withheld_for(outcome.device, outcome.data, now):
            found.withheld.append(_withheld(outcome, purpose))
        else:
            found.arrivals.append(outcome)
    found.arrivals.sort(key=_made)
    return found


def _made(arrival: Arrival) -> tuple[str, int, int]:
    return (arrival.node.id, ordinal_of(arrival.envelope.boot), arrival.envelope.seq)


def ordinal_of(boot: str) -> int:
    """Return the how manieth boot of its box one is."""
    return int(boot.partition("-")[0])


def _read(record: ConsumerRecord[Any, Any], registry: Registry, now: datetime) -> Arrival | Dead:
    received_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    envelope: Envelope | None = None
    try:
        envelope = events.decode(record.value or b"")
        address = events.address_of(envelope.source)
        node, device = registry.node(address), registry.device(address, envelope.subject)
        data = events.decode_data(envelope)
    except Rejected as rejected:
        return _dead(record, rejected, envelope, received_at)
    synthetic = envelope.synthetic if envelope.synthetic == node.synthetic else None
    happened = _happened(envelope, received_at)
    residents = device.residents(now)
    return Arrival(envelope, data, node, device, received_at, happened, synthetic, residents)


def _can_be(time: datetime, received_at: datetime) -> bool:
    return received_at - BEHIND <= time <= received_at + AHEAD


def _happened(envelope: Envelope, received_at: datetime) -> datetime:
    by_clock = envelope.time if _can_be(envelope.time, received_at) else None
    aged = envelope.age is not None and envelope.age <= BEHIND.total_seconds()
    by_age = received_at - timedelta(seconds=envelope.age or 0) if aged else None
    first, second = (by_clock, by_age) if envelope.clock == "synced" else (by_age, by_clock)
    return min(first or second or received_at, received_at)


def _withheld(arrival: Arrival, purpose: str) -> Withheld:
    e = arrival.envelope
    return Withheld(e.id, arrival.node.id, e.boot, e.lane, e.seq, purpose, arrival.received_at.date())


def dead_of(record: ConsumerRecord[Any, Any], why: Rejected) -> Dead:
    """Return the dead letter of a record; accounts for its number where that can be read."""
    try:
        envelope = events.decode(record.value or b"")
    except Rejected:
        envelope = None
    return _dead(record, why, envelope, datetime.fromtimestamp(record.timestamp / 1000, UTC))


def _dead(record: ConsumerRecord[Any, Any], why: Rejected, envelope: Envelope | None, at: datetime) -> Dead:
    origin = f"{envelope.source}/{envelope.subject}" if envelope else f"{record.topic}/{record.partition}"
    payload = record.value or b""
    id_ = envelope.id if envelope else letter_id(origin, payload)
    node = _sender(envelope) if envelope else None
    known = envelope if node else None
    return Dead(
        id=id_,
        reason=why.reason,
        detail=why.detail,
        origin=origin,
        payload=payload,
        node=node,
        boot=known.boot if known else None,
        lane=known.lane if known else None,
        seq=known.seq if known else None,
        at=at,
    )


def _sender(envelope: Envelope) -> str | None:
    try:
        return events.address_of(envelope.source).node
    except Rejected:
        return None


def letter_id(origin: str, payload: bytes) -> UUID:
    """Return the id of a dead letter without an event's id: the same bytes count once."""
    return events.derived_id("dead", origin, payload.hex())
