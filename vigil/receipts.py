"""Receipts on their way from `processors` to `ingest.downlink`, over Kafka.

A receipt is what an edge may delete its rows on: PostgreSQL has committed.
"""

from __future__ import annotations

import msgspec

from vigil.events import Receipt
from vigil.topics import Address, Lane


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
decode = msgspec.json.Decoder(StoredReceipt).decode
