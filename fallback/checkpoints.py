"""Keeps the signatures under the platform's audit log, where the platform cannot reach them.

Place in the flow: `vigil.audit.writer` signs every 5 minutes, this fetches while all is well.
A signature is never replaced: what contradicts an earlier one is the proof that somebody has
rewritten the log or cut off its end.  `python -m fallback checkpoints` writes them out for
`python -m vigil.audit verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from vigil.audit.chain import Checkpoint, check_signature
from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fallback.store import Store

PERIOD_S: Final = 300.0
ANSWER_S: Final = 10.0


def contradiction(last: Checkpoint | None, fresh: Checkpoint) -> str | None:
    """Say how a fresh signature contradicts the last one that was kept, or None."""
    if last is None or fresh.seq > last.seq or (fresh.seq, fresh.hash) == (last.seq, last.hash):
        return None
    at = f"{last.at:%Y-%m-%d %H:%M:%S} UTC"
    if fresh.seq < last.seq:
        return f"the audit log had {last.seq} entries at {at} and has {fresh.seq} now"
    return f"entry {fresh.seq} of the audit log was signed at {at} and is another one now"


async def fetch(client: httpx.AsyncClient) -> Checkpoint | None:
    """Fetch the newest signature; None where nothing has been signed yet.

    Raises:
        Unavailable: The platform does not answer, or answers nonsense.
    """
    try:
        answer = await client.get("/api/v1/fallback/checkpoint", timeout=ANSWER_S)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Checkpoint)
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise Unavailable("the audit log's signature", error) from None


def kept(store: Store) -> list[Checkpoint]:
    """Return what was kept, in the order it came."""
    rows = store.read("SELECT signed FROM checkpoint ORDER BY id")
    return [msgspec.json.decode(row["signed"], type=Checkpoint) for row in rows]


def keep(store: Store, key: Ed25519PublicKey, fresh: Checkpoint) -> None:
    """Keep a signature, with what it contradicts; one that contradicts is the proof.

    Raises:
        Rejected: `forged`: the platform's key did not sign it; it is not kept.
    """
    check_signature(fresh, key)
    rows = store.read("SELECT signed FROM checkpoint ORDER BY id DESC LIMIT 1")
    last = msgspec.json.decode(rows[0]["signed"], type=Checkpoint) if rows else None
    if fresh != last:
        row = [msgspec.json.encode(fresh), contradiction(last, fresh)]
        with store.transaction() as connection:
            connection.execute("INSERT INTO checkpoint (signed, wrong) VALUES (?, ?)", row)


def wrong(store: Store) -> str | None:
    """Return the first contradiction there ever was: it does not go away."""
    rows = store.read("SELECT wrong FROM checkpoint WHERE wrong IS NOT NULL ORDER BY id LIMIT 1")
    return str(rows[0]["wrong"]) if rows else None


async def look(client: httpx.AsyncClient, store: Store, key: Ed25519PublicKey) -> str | None:
    """Fetch and keep the newest signature; return what is wrong with the audit log, or None.

    Raises:
        Unavailable: The platform does not answer.
    """
    fresh = await fetch(client)
    if fresh is None:
        return "the audit log was signed and is not now" if kept(store) else None
    try:
        keep(store, key, fresh)
    except Rejected as error:
        return error.detail
    return wrong(store)
