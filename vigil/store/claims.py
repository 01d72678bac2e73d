"""Claim codes and certificates of boxes, as rows.

Neighbours: `api.claims` decides and signs, `vigil.pki` makes what is kept here.  A code is used by
a conditional UPDATE, so that of two boxes that say it at once one has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from vigil.pki import Revoked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.pki import Issued
    from vigil.store.pool import Connection

COUNTED: Final = timedelta(minutes=1)
"""Attempts are counted over so long a time."""
LISTED: Final = timedelta(days=1)
"""A revoked certificate stays on the list for so long after its end: brokers' clocks may be slow."""
SUPERSEDED: Final = "claim"
"""Revoked by a later claim of the same node: a node is one box."""
_CERTIFICATE: Final = "serial, node, pem, issued_at, not_after, issued_for, revoked_at, revoked_by"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands."""

    node: str
    estate: str
    community: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was issued to a node's box."""

    serial: str
    node: str
    pem: str
    issued_at: datetime
    not_after: datetime
    issued_for: str
    revoked_at: datetime | None
    revoked_by: str | None


async def place(connection: Connection, node: str, estates: Sequence[str] | None) -> Place | None:
    """Return where a node stands; None where there is none in service, or outside the estates (None: all)."""
    cursor = await connection.execute(
        """
        SELECT n.id, n.estate, e.community FROM node n JOIN estate e ON e.id = n.estate
        WHERE n.id = %(node)s AND n.retired_at IS NULL
          AND (%(estates)s::text[] IS NULL OR n.estate = ANY(%(estates)s))
        """,
        {"node": node, "estates": None if estates is None else list(estates)},
    )
    row = await cursor.fetchone()
    return Place(*row) if row else None


async def add_code(
    connection: Connection, code: bytes, node: str, actor: str, now: datetime, expires_at: datetime
) -> None:
    """Keep the digest of a new code; the node's unused ones are void."""
    await connection.execute("DELETE FROM claim WHERE node = %s AND used_at IS NULL", [node])
    await connection.execute(
        "INSERT INTO claim (code, node, made_by, made_at, expires_at) VALUES (%s, %s, %s, %s, %s)",
        [code, node, actor, now, expires_at],
    )


async def use_code(connection: Connection, code: bytes, key: bytes, now: datetime) -> str | None:
    """Use a code for a key, and return its node.

    Returns:
        None where there is no such code, where it has expired, or where another key has used it.
    """
    cursor = await connection.execute(
        """
        UPDATE claim SET used_at = coalesce(used_at, %(now)s), key = %(key)s
        WHERE code = %(code)s AND expires_at > %(now)s AND (key IS NULL OR key = %(key)s)
        RETURNING node
        """,
        {"code": code, "key": key, "now": now},
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def certificate_of(connection: Connection, key: bytes) -> Certificate | None:
    """Return what was issued for a key."""
    async with connection.cursor(row_factory=class_row(Certificate)) as cursor:
        await cursor.execute(f"SELECT {_CERTIFICATE} FROM certificate WHERE key = %s", [key])  # noqa: S608 - our own constant
        return await cursor.fetchone()


async def certificates(connection: Connection, node: str) -> list[Certificate]:
    """Return what a node has been issued, newest first."""
    query = f"SELECT {_CERTIFICATE} FROM certificate WHERE node = %s ORDER BY issued_at DESC, serial"  # noqa: S608 - our own constant
    async with connection.cursor(row_factory=class_row(Certificate)) as cursor:
        await cursor.execute(query, [node])
        return await cursor.fetchall()


async def is_good(connection: Connection, serial: str, node: str) -> bool:
    """Whether a certificate is known, its node's, and not revoked, and the node is in service."""
    cursor = await connection.execute(
        """
        SELECT true FROM certificate c JOIN node n ON n.id = c.node
        WHERE c.serial = %s AND c.node = %s AND c.revoked_at IS NULL AND n.retired_at IS NULL
        FOR SHARE OF c
        """,
        [serial, node],
    )
    return await cursor.fetchone() is not None


async def keep(
    connection: Connection, node: str, key: bytes, issued: Issued, issued_for: str, now: datetime
) -> None:
    """Keep a certificate that is about to be given out."""
    await connection.execute(
        """
        INSERT INTO certificate (serial, node, key, pem, issued_at, not_after, issued_for)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        [issued.serial, node, key, issued.pem.decode(), now, issued.not_after, issued_for],
    )


async def revoke(connection: Connection, node: str, actor: str, now: datetime) -> int:
    """Revoke all of a node's certificates, and void its codes; return how many were revoked."""
    await connection.execute("DELETE FROM claim WHERE node = %s AND used_at IS NULL", [node])
    cursor = await connection.execute(
        """
        UPDATE certificate SET revoked_at = %s, revoked_by = %s WHERE node = %s AND revoked_at IS NULL
        """,
        [now, actor, node],
    )
    return cursor.rowcount


async def revoked(connection: Connection, now: datetime) -> list[Revoked]:
    """Return every revoked certificate that has not ended by itself."""
    cursor = await connection.execute(
        """
        SELECT serial, revoked_at, node FROM certificate
        WHERE revoked_at IS NOT NULL AND not_after > %s ORDER BY serial
        """,
        [now - LISTED],
    )
    return [Revoked(*row) for row in await cursor.fetchall()]


async def count_attempt(connection: Connection, source: str, now: datetime) -> int:
    """Count an attempt; return how many a source has made lately, this one included."""
    await connection.execute("DELETE FROM claim_attempt WHERE at < %s", [now - COUNTED])
    await connection.execute("INSERT INTO claim_attempt VALUES (%s, %s)", [source, now])
    cursor = await connection.execute("SELECT count(*) FROM claim_attempt WHERE source = %s", [source])
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def first_config(connection: Connection, where: Place) -> dict[str, Any]:
    """Return the node's file to begin with: who it is, and its devices as they are registered."""
    cursor = await connection.execute(
        """
        SELECT id, kind, zone, placement FROM device
        WHERE node = %s AND id <> node AND retired_at IS NULL ORDER BY id
        """,
        [where.node],
    )
    names = ("id", "kind", "zone", "placement")
    devices = [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in await cursor.fetchall()
    ]
    return {
        "community": where.community,
        "estate": where.estate,
        "node": where.node,
        "devices": devices,
    }
