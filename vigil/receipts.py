"""Receipts on their way from `processors` to `ingest.downlink`, over Kafka.

A receipt is what an edge may delete its rows on: PostgreSQL has committed.  A record holds many
of them, as a list; one that holds a single receipt, as they were written before, is read as well,
so that the members of `ingest` are renewed first and the processors after them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from vigil.events import Receipt
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST: Final = 1000
"""Receipts in one record: about 150 KB, of the 1 MB that Kafka takes."""


class StoredReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt and the node it is for."""

    community: str
    estate: str
    node: str
    boot: str
    lane: Lane
    stored: int

    @property
    def address(self) -> Address:
        """The node it is for."""
        return Address(self.community, self.estate, self.node)

    @property
    def receipt(self) -> Receipt:
        """What the node is told."""
        return Receipt(boot=self.boot, lane=self.lane, stored=self.stored)


encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(StoredReceipt | list[StoredReceipt]).decode


def decode(value: bytes) -> list[StoredReceipt]:
    """Return the receipts of a record.

    Raises:
        msgspec.DecodeError: It is no such record.
    """
    read = _read(value)
    return read if isinstance(read, list) else [read]


def packed(given: Iterable[StoredReceipt], partitions: int) -> Iterator[tuple[int, bytes]]:
    """Yield partitions and the records for them, as few as hold all receipts.

    A node's go to the same partition, and so by the same member of `ingest`, which passes the newest
    of several down and not each of them.
    """
    shares = defaultdict(list)
    for receipt in given:
        shares[crc32(receipt.node.encode()) % partitions].append(receipt)
    for partition, share in shares.items():
        for start in range(0, len(share), MOST):
            yield partition, encode(share[start : start + MOST])
