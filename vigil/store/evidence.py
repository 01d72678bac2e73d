"""Frames as evidence, as rows: who may make one, what came, and what may still be looked at.

Neighbours: `api.evidence` decides who may ask and opens what is kept here sealed.  Consent is asked
of the register each time: for a permit, when a frame comes, and when it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from uuid import UUID

    from vigil.evidence import Shown
    from vigil.store.pool import Connection

BEFORE: Final = timedelta(seconds=10)
AFTER: Final = timedelta(seconds=60)
"""A frame belongs to an alert that rests on what its camera saw so long after or before it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, sealed as it came.

    Attributes:
        residents: Whom it may show; each has agreed.
        expires_at: When it will be gone.
    """

    id: UUID
    node: str
    device: str
    episode: str
    taken_at: datetime
    expires_at: datetime
    residents: list[str]
    sealed: bytes


async def permitted(connection: Connection, node: str, now: datetime) -> tuple[int, list[str]]:
    """Return the register's version, and which of a node's cameras may make frames."""
    cursor = await connection.execute(
        """
        SELECT coalesce((SELECT max(version) FROM registry_change), 0),
               coalesce((SELECT array_agg(id ORDER BY id) FROM device
                         WHERE node = %s AND agreed_to_frames(id, %s) IS NOT NULL), '{}')
        """,
        [node, now],
    )
    row = await cursor.fetchone()
    return (int(row[0]), list(row[1])) if row else (0, [])


async def keep(connection: Connection, id_: UUID, node: str, shown: Shown, now: datetime) -> bool:
    """Keep a frame; the same one again changes nothing.

    Returns:
        False where the node has no such camera, or somebody whom it watches over has not agreed.
    """
    cursor = await connection.execute(
        """
        WITH asked AS (
            SELECT id, agreed_to_frames(id, %(now)s) AS residents FROM device
            WHERE id = %(device)s AND node = %(node)s),
        kept AS (
            INSERT INTO evidence_frame
            SELECT %(id)s, %(node)s, id, %(episode)s, %(taken_at)s, %(now)s, residents, %(sealed)s
            FROM asked WHERE residents IS NOT NULL
            ON CONFLICT (id) DO NOTHING)
        SELECT residents IS NOT NULL FROM asked
        """,
        {
            "id": id_,
            "node": node,
            "device": shown.device,
            "episode": shown.episode,
            "taken_at": shown.taken_at,
            "sealed": shown.sealed,
            "now": now,
        },
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def of_alert(connection: Connection, alert: UUID, now: datetime) -> list[Frame]:
    """Return the frames that belong to what an alert rests on, and that may still be looked at."""
    async with connection.cursor(row_factory=class_row(Frame)) as cursor:
        await cursor.execute(
            """
            SELECT DISTINCT f.id, f.node, f.device, f.episode, f.taken_at, f.received_at + k.keep AS expires_at,
                   f.residents, f.sealed
            FROM alert_evidence x
            JOIN detection d ON d.id = x.detection
            JOIN evidence_frame f ON f.device = d.device
                 AND f.taken_at BETWEEN d.time - %(before)s AND d.time + %(after)s
            JOIN retention k ON k.class = 'evidence_frame'
            WHERE x.alert = %(alert)s AND f.received_at + k.keep > %(now)s
              AND (SELECT bool_and(agrees(r, 'evidence_frame', %(now)s)) FROM unnest(f.residents) AS r)
            ORDER BY f.taken_at, f.id
            """,
            {"alert": alert, "now": now, "before": BEFORE, "after": AFTER},
        )
        return await cursor.fetchall()
