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
    from vigil.registry import Device, Node, Registry
    from vigil.store.intake import Key

AHEAD: Final = timedelta(hours=1)
BEHIND: Final = timedelta(days=60)
"""A time further from its arrival than this cannot be: a spool holds 72 h, a box may have
been away for weeks, a clock without a battery begins in 1970."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A valid event, and what the registry knows of its sender.

    Attributes:
        happened: Best knowledge of when it happened: by the edge's monotonic age where the
            device's clock is not synced, else the event's own time.
        synthetic: The event's claim, where its sender is registered for it; a forged claim
            is ignored, so it cannot hide a real fall.
    """

    envelope: Envelope
    data: Data
    node: Node
    device: Device
    received_at: datetime
    happened: datetime
    synthetic: str | None

    @property
    def key(self) -> Key:
        """Where its sequence number counts."""
        return (self.node.id, self.envelope.boot, str(self.envelope.lane))

    @property
    def plausible(self) -> bool:
        """Whether the event's own time can be."""
        return self.received_at - BEHIND <= self.envelope.time <= self.received_at + AHEAD

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
        outcome = _read(record, registry)
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
    ordinal, _, _ = arrival.envelope.boot.partition("-")
    return (arrival.node.id, int(ordinal), arrival.envelope.seq)


def _read(record: ConsumerRecord[Any, Any], registry: Registry) -> Arrival | Dead:
    received_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    envelope: Envelope | None = None
    try:
        envelope = events.decode(record.value)
        address = events.address_of(envelope.source)
        node, device = registry.node(address), registry.device(address, envelope.subject)
        data = events.decode_data(envelope)
    except Rejected as rejected:
        return _dead(record, rejected, envelope, received_at)
    synthetic = envelope.synthetic if envelope.synthetic == node.synthetic else None
    happened = _happened(envelope, received_at)
    return Arrival(envelope, data, node, device, received_at, happened, synthetic)


def _happened(envelope: Envelope, received_at: datetime) -> datetime:
    if envelope.clock == "synced" or envelope.age is None:
        return min(envelope.time, received_at)
    return received_at - timedelta(seconds=envelope.age)


def _withheld(arrival: Arrival, purpose: str) -> Withheld:
    e = arrival.envelope
    return Withheld(e.id, arrival.node.id, e.boot, e.lane, e.seq, purpose, arrival.received_at.date())


def dead_of(record: ConsumerRecord[Any, Any], why: Rejected) -> Dead:
    """Return the dead letter of a record; accounts for its number where that can be read."""
    try:
        envelope = events.decode(record.value)
    except Rejected:
        envelope = None
    return _dead(record, why, envelope, datetime.fromtimestamp(record.timestamp / 1000, UTC))


def _dead(record: ConsumerRecord[Any, Any], why: Rejected, envelope: Envelope | None, at: datetime) -> Dead:
    origin = f"{envelope.source}/{envelope.subject}" if envelope else f"{record.topic}/{record.partition}"
    id_ = envelope.id if envelope else letter_id(origin, record.value)
    return Dead(
        id=id_,
        reason=why.reason,
        detail=why.detail,
        origin=origin,
        payload=record.value,
        node=events.address_of(envelope.source).node if envelope else None,
        boot=envelope.boot if envelope else None,
        lane=envelope.lane if envelope else None,
        seq=envelope.seq if envelope else None,
        at=at,
    )


def letter_id(origin: str, payload: bytes) -> UUID:
    """Return the id of a dead letter without an event's id: the same bytes count once."""
    return events.derived_id("dead", origin, payload.hex())
