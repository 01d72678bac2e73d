"""What nodes and devices say of themselves, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import to_builtins
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.events import Birth, NodeState
    from vigil.store.pool import Connection


async def note_state(connection: Connection, node: str, state: NodeState, now: datetime) -> None:
    """Note that a node is online or offline.

    The will of an old connection may come after the birth of a new one: an offline that names
    another session than the one online is stale, and changes nothing.
    """
    await connection.execute(
        """
        UPDATE node SET online = %(online)s, session = %(session)s, seen_at = %(now)s
        WHERE id = %(node)s AND (%(online)s OR session IS NULL OR session = %(session)s)
        """,
        {"online": state.online, "session": state.session, "node": node, "now": now},
    )


async def note_birth(connection: Connection, node: str, device: str, birth: Birth, now: datetime) -> None:
    """Note what a node says one of its devices is; of another node's device it says nothing."""
    await connection.execute(
        "UPDATE device SET birth = %s, seen_at = %s WHERE id = %s AND node = %s",
        [Jsonb(to_builtins(birth)), now, device, node],
    )
