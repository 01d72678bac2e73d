"""The audit log's rows: notes that wait, the chain, its checkpoints.

Neighbours: triggers write the notes (`0190_audit.sql`), `vigil.audit.writer` chains them,
`vigil.audit.__main__` and `api.audit` read.  Nobody changes or deletes an entry: a trigger
refuses, and the processes' roles have no right to (`vigil.store.rights`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from vigil.audit.chain import EMPTY, Checkpoint, Head, Link, canonical, chained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.store.pool import Connection

MOST: Final = 500
"""Notes a transaction: some 20 ms."""
PAGE: Final = 5000
_LOCK: Final = 0x41554449
"""Held to the end of the transaction by the one writer there is at a time."""
_TAKE: Final = """
    DELETE FROM audit_waiting WHERE id IN (SELECT id FROM audit_waiting ORDER BY id LIMIT %s)
    RETURNING id, note
"""
_SOURCES: Final = {
    "access_log": "r.id::text = e.key->>'id'",
    "alert_transition": "r.alert::text = e.key->>'alert' AND r.version::text = e.key->>'version'",
    "policy": "r.name = e.key->>'name' AND r.version::text = e.key->>'version'",
    "detector_mode": "r.id::text = e.key->>'id'",
}
"""Tables whose rows are written once, and how a note names one."""
_UNLIKE: Final = """
    WITH e AS MATERIALIZED (
        SELECT seq, note->'key' AS key, note->>'digest' AS digest
        FROM (SELECT seq, entry::jsonb AS note FROM audit_log) AS told
        WHERE note->>'thing' = '{table}' AND note->>'act' = 'insert')
    SELECT e.seq, r IS NULL FROM e LEFT JOIN {table} r ON {key}
    WHERE r IS NULL OR audit_digest(to_jsonb(r)) <> e.digest
    ORDER BY e.seq
"""


async def append(connection: Connection, most: int = MOST) -> int:
    """Chain the notes that wait, at most so many; return how many it were.

    One transaction: a note is in the chain, or it waits.  A second writer finds the lock taken
    and does nothing.
    """
    async with connection.transaction():
        cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if await cursor.fetchone() != (True,):
            return 0
        notes = sorted(await (await connection.execute(_TAKE, [most])).fetchall())
        links = chained(await head(connection), (canonical(note) for _, note in notes))
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO audit_log (seq, entry, hash) VALUES (%s, %s, %s)",
                [(link.seq, link.entry, link.hash) for link in links],
            )
        return len(notes)


async def head(connection: Connection) -> Head:
    """Return where the chain stands."""
    cursor = await connection.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1")
    row = await cursor.fetchone()
    return Head(*row) if row else EMPTY


async def waiting(connection: Connection) -> int:
    """Return how many notes are not in the chain yet."""
    cursor = await connection.execute("SELECT count(*) FROM audit_waiting")
    (count,) = await cursor.fetchone() or (0,)
    return int(count)


async def links(connection: Connection) -> AsyncIterator[Link]:
    """Read the whole chain in order, a page at a time."""
    last = 0
    while True:
        cursor = await connection.execute(
            "SELECT seq, entry, hash FROM audit_log WHERE seq > %s ORDER BY seq LIMIT %s", [last, PAGE]
        )
        page = await cursor.fetchall()
        for row in page:
            yield Link(*row)
        if len(page) < PAGE:
            return
        last = page[-1][0]


async def latest(connection: Connection, before: int | None, most: int) -> list[tuple[int, dict[str, Any]]]:
    """Return entries with their numbers, newest first, older than a number."""
    cursor = await connection.execute(
        "SELECT seq, entry::jsonb FROM audit_log WHERE %(before)s::bigint IS NULL OR seq < %(before)s"
        " ORDER BY seq DESC LIMIT %(most)s",
        {"before": before, "most": most},
    )
    return await cursor.fetchall()


async def keep(connection: Connection, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint beside the chain."""
    await connection.execute(
        "INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES (%s, %s, %s, %s)",
        [
            checkpoint.seq,
            base64.b64decode(checkpoint.hash),
            checkpoint.at,
            base64.b64decode(checkpoint.signature),
        ],
    )


async def checkpoints(connection: Connection, most: int | None = None) -> list[Checkpoint]:
    """Return what was signed, newest first."""
    cursor = await connection.execute(
        "SELECT seq, hash, at, signature FROM audit_checkpoint ORDER BY at DESC, seq DESC LIMIT %s", [most]
    )
    return [
        Checkpoint(seq, base64.b64encode(digest).decode(), at, base64.b64encode(signature).decode())
        for seq, digest, at, signature in await cursor.fetchall()
    ]


async def unlike(connection: Connection) -> list[tuple[int, str, bool]]:
    """Return entries whose row is not what was written: number, table, whether the row is gone."""
    await connection.execute("SET timezone = 'UTC'")  # as the digests were made
    found = []
    for table, key in _SOURCES.items():
        cursor = await connection.execute(_UNLIKE.format(table=table, key=key).encode())
        found += [(seq, table, gone) for seq, gone in await cursor.fetchall()]
    return sorted(found)
