"""A canary node's spool: gap-free sequence numbers, kept until the platform has stored them.

Place in the flow: `watchdog` puts canaries in, `courier` sends what is due and takes
receipts.  The rules are those of `edge.spool`: a boot is made whenever the spool is opened,
unsent rows keep theirs, the id is derived, and a row waits for `stored`, not for a PUBACK.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from fallback.store import moment_of, stamp_of
from vigil import events
from vigil.events import Envelope, LaneEnd, Receipt
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from fallback.store import Store

AGAIN: Final = timedelta(seconds=10)
"""An alarm that is not stored by then is sent again (DESIGN.md, Sending again)."""
AGAIN_AT_MOST: Final = timedelta(seconds=30)
"""Longest back-off; few rows wait at a time, and their return tells of the recovery."""
AT_ONCE: Final = 20
"""Rows sent in one step."""


@dataclass(frozen=True, slots=True)
class Due:
    """A row to be sent now.

    Attributes:
        envelope: As it was made; the sender adds its age.
        sent: How often it has been sent already.
        made_at: When it was made, by the watchdog's clock.
    """

    envelope: Envelope
    sent: int
    made_at: datetime


def open_boot(connection: sqlite3.Connection, node: str, token: str) -> str:
    """Make a new boot of a node.

    Args:
        connection: Inside a transaction.
        node: The canary node.
        token: Eight random hexadecimal digits.
    """
    row = connection.execute(
        "SELECT coalesce(max(ordinal), 0) + 1 FROM boot WHERE node = ?", [node]
    ).fetchone()
    boot = f"{row[0]}-{token}"
    connection.execute("INSERT INTO boot (node, ordinal, boot) VALUES (?, ?, ?)", [node, row[0], boot])
    return boot


def put(
    connection: sqlite3.Connection, address: Address, device: str, boot: str, data: events.Data, now: datetime
) -> Envelope:
    """Put a canary into the spool under the next sequence number."""
    row = connection.execute(
        "UPDATE boot SET seq = seq + 1 WHERE node = ? AND boot = ? RETURNING seq", [address.node, boot]
    ).fetchone()
    envelope = events.envelope_of(
        address, device, data, time=now, boot=boot, seq=row[0], synthetic="canary", clock="synced"
    )
    connection.execute(
        "INSERT INTO spool (node, boot, lane, seq, event, envelope, made_at, next_at) VALUES (?,?,?,?,?,?,?,?)",
        [
            address.node,
            boot,
            envelope.lane,
            envelope.seq,
            str(envelope.id),
            events.encode(envelope),
            stamp_of(now),
            stamp_of(now),
        ],
    )
    return envelope


def due(store: Store, node: str, now: datetime) -> list[Due]:
    """Return what is to be sent now, oldest first."""
    rows = store.read(
        "SELECT envelope, sent, made_at FROM spool WHERE node = ? AND stored_at IS NULL AND next_at <= ?"
        " ORDER BY made_at LIMIT ?",
        node,
        stamp_of(now),
        AT_ONCE,
    )
    return [Due(events.decode(row["envelope"]), row["sent"], moment_of(row["made_at"])) for row in rows]


def payload(row: Due, now: datetime) -> bytes:
    """Return the bytes to send: what was made, with its age and whether it was sent before."""
    age = max(0.0, (now - row.made_at).total_seconds())
    return events.encode(msgspec.structs.replace(row.envelope, age=age, replayed=row.sent > 0))


def sent(
    connection: sqlite3.Connection, row: Due, now: datetime, jitter: Callable[[float, float], float]
) -> None:
    """Note that a row has been sent; it is due again after a jittered, growing wait."""
    wait = min(AGAIN * 2**row.sent, AGAIN_AT_MOST)
    next_at = now + wait * jitter(1.0, 1.3)
    envelope = row.envelope
    connection.execute(
        "UPDATE spool SET sent = sent + 1, next_at = ? WHERE event = ? AND lane = ?",
        [stamp_of(next_at), str(envelope.id), envelope.lane],
    )


def receive(connection: sqlite3.Connection, node: str, receipt: Receipt, now: datetime) -> list[str]:
    """Mark as stored what a receipt frees; return the events that it freed."""
    rows = connection.execute(
        "UPDATE spool SET stored_at = ? WHERE node = ? AND boot = ? AND lane = ? AND seq <= ?"
        " AND stored_at IS NULL RETURNING event",
        [stamp_of(now), node, receipt.boot, receipt.lane, receipt.stored],
    ).fetchall()
    return [row[0] for row in rows]


def waiting(store: Store, estate: str) -> int:
    """Return how many canaries of an estate are neither stored nor known to have raised their alert."""
    (row,) = store.read(
        "SELECT count(*) FROM spool s JOIN run r ON r.event = s.event"
        " WHERE s.stored_at IS NULL AND r.alerted_at IS NULL AND r.estate = ?",
        estate,
    )
    return int(row[0])


def ends(store: Store, node: str) -> list[LaneEnd]:
    """Return the last sequence number of the latest boots, for the node's birth."""
    rows = store.read("SELECT boot, seq FROM boot WHERE node = ? ORDER BY ordinal DESC LIMIT 10", node)
    return [LaneEnd(row["boot"], Lane.ALARM, row["seq"]) for row in rows]
