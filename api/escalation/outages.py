"""An estate's outage: one trouble alert with its residents, however many boxes and people.

Neighbours: `worker` looks every 15 s; `vigil.store.outages` reads which nodes are gone and keeps
the list.  The watchdog looks at the same from outside, and sends people when it has to.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from vigil.alerts import Priority
from vigil.events import derived_id
from vigil.store import alerts, outages
from vigil.store.detections import Detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.store.outages import GoneNode
    from vigil.store.pool import Connection

GONE_FOR: Final = timedelta(seconds=30)
"""A box that restarts is back before; named within 60 s at the latest, the goal is 90."""
KIND: Final = "outage"


async def look(connection: Connection, now: datetime) -> int:
    """Raise an alert for each estate with residents whom nothing watches over; keep the lists current.

    Args:
        connection: In a transaction.
        now: Present time.

    Returns:
        How many outages are open.
    """
    gone = await outages.gone_nodes(connection, now - GONE_FOR)
    for estate, of_estate in groupby(gone, key=lambda node: node.estate):
        unwatched = await outages.unwatched(connection, estate, now)
        if unwatched:
            await _raise(connection, estate, list(of_estate), unwatched, now)
    still_open = await outages.open_outages(connection)
    for alert, estate in still_open:
        await outages.note_residents(connection, alert, estate, now)
    return len(still_open)


async def _raise(
    connection: Connection, estate: str, gone: Sequence[GoneNode], unwatched: int, now: datetime
) -> None:
    """Raise the estate's alert, or join to it; each node counts once for each time that it goes."""
    summary = {
        "en": f"{len(gone)} boxes are silent; nothing watches over {unwatched} residents",
        "zh": f"{len(gone)}台设备失联，{unwatched}位老人无人看护",
    }
    for node in gone:
        id_ = derived_id(KIND, node.node, node.since.isoformat())
        found = Detection(
            id=id_,
            event=id_,
            time=node.since,
            kind=KIND,
            subject=f"estate:{estate}",
            resident=None,
            zone=None,
            estate=estate,
            device=node.node,
            score=1.0,
            model=KIND,
            model_version="1",
            explanation=summary,
            synthetic=node.synthetic,
            made_at=now,
        )
        await alerts.raise_found(connection, found, Priority.TROUBLE, now)
