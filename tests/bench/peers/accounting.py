"""What a peer owes to who sent an event: to take its number once, and to say up to which it has all.

The duty of `vigil.store.intake.account` and `vigil.receipts`, as a keyed stream has it: a state for each
box, boot and lane, in the framework's own store; receipts into Kafka once the sink has committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vigil import receipts
from vigil.events import address_of
from vigil.receipts import StoredReceipt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.events import Envelope

TOPIC = "bench.receipts"


class Account(NamedTuple):
    """All numbers up to and including `stored` have come, and those `beyond` it."""

    stored: int = 0
    beyond: frozenset[int] = frozenset()


def lane_of(envelope: Envelope) -> str:
    """Return where an event's number counts."""
    return f"{envelope.source}/{envelope.boot}/{envelope.lane}"


def take(account: Account, seq: int) -> tuple[Account, bool]:
    """Take a number; return the account after it, and whether it came for the first time."""
    if seq <= account.stored or seq in account.beyond:
        return account, False
    if seq > account.stored + 1:
        return Account(account.stored, account.beyond | {seq}), True
    stored = seq
    while stored + 1 in account.beyond:
        stored += 1
    return Account(stored, frozenset(n for n in account.beyond if n > stored)), True


class Receipts:
    """Gives receipts for what has been committed.

    Args:
        producer: Of confluent-kafka.
    """

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._partitions = len(producer.list_topics(TOPIC).topics[TOPIC].partitions)

    def give(self, committed: Iterable[tuple[Envelope, int]]) -> None:
        """Give one for each box, boot and lane among events: the highest number up to which it has all."""
        last = {lane_of(envelope): (envelope, stored) for envelope, stored in committed}
        given = [_receipt(envelope, stored) for envelope, stored in last.values()]
        for partition, record in receipts.packed(given, self._partitions):
            self._producer.produce(TOPIC, record, partition=partition)
        self._producer.poll(0)


def _receipt(envelope: Envelope, stored: int) -> StoredReceipt:
    address = address_of(envelope.source)
    return StoredReceipt(
        community=address.community,
        estate=address.estate,
        node=address.node,
        boot=envelope.boot,
        lane=envelope.lane,
        stored=stored,
    )
