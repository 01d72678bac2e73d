"""Fetches the platform's signed roster while all is well, and keeps the last good one.

Place in the flow: `api.snapshot` signs, this checks and keeps; `watchdog`, `page` and `pack`
read what was kept.  A roster that is not signed by the trusted key, or is older than the kept
one, changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from fallback import records
from vigil.errors import Rejected, Unavailable
from vigil.roster import Roster, Signed, verify

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fallback.store import Store

PERIOD: Final = timedelta(seconds=60)
OLD: Final = timedelta(minutes=15)
"""A roster older than this is a cause of its own: three packs were missed."""
ANSWER_S: Final = 15.0


class Keeper:
    """Holds the last good roster.

    Args:
        store: Where it is kept.
        key: The platform's public key; without one no roster is trusted.

    Attributes:
        roster: The last good one, or None.
        trouble: Why the last attempt failed, or None.
    """

    def __init__(self, store: Store, key: Ed25519PublicKey | None) -> None:
        self._store = store
        self._key = key
        self.roster: Roster | None = None
        self.trouble: str | None = "no roster was fetched yet"
        kept = records.kept_roster(store)
        if kept is not None and key is not None:
            self._trust(kept, key)

    def _trust(self, kept: Signed, key: Ed25519PublicKey) -> None:
        try:
            self.roster = verify(kept, key)
        except Rejected as error:
            self.trouble = str(error)

    def old(self, now: datetime) -> str | None:
        """Return how old the roster is, where that is too old."""
        if self.roster is not None and now - self.roster.made_at < OLD:
            return None
        made = f"made {self.roster.made_at:%Y-%m-%d %H:%M} UTC" if self.roster else "there is none"
        return f"{made}; {self.trouble}" if self.trouble else made

    async def fetch(self, client: httpx.AsyncClient, now: datetime) -> None:
        """Fetch the roster once, and keep it.

        Raises:
            Unavailable: The platform does not answer.
            Rejected: What it gave is not to be trusted.
        """
        try:
            answer = await client.get("/api/v1/fallback/snapshot", timeout=ANSWER_S)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            self.trouble = f"{type(error).__name__} {error}".strip()
            raise Unavailable("the roster", self.trouble) from None
        self.accept(answer.content, now)

    def accept(self, body: bytes, now: datetime) -> None:
        """Check a roster and keep it.

        Raises:
            Rejected: `no_key`, `forged`, `malformed`, or `stale`: the kept one is newer.
        """
        try:
            self.roster = self._checked(body, now)
        except Rejected as error:
            self.trouble = str(error)
            raise
        self.trouble = None

    def _checked(self, body: bytes, now: datetime) -> Roster:
        if self._key is None:
            raise Rejected("no_key", "set VIGIL_FALLBACK_ROSTER_KEY to the platform's public key")
        try:
            signed = msgspec.json.decode(body, type=Signed)
        except msgspec.DecodeError as error:
            raise Rejected("malformed", f"not a signed roster: {error}") from None
        fresh = verify(signed, self._key)
        if self.roster is not None and fresh.made_at < self.roster.made_at:
            raise Rejected("stale", f"made at {fresh.made_at:%H:%M:%S}, the kept one is newer")
        with self._store.transaction() as connection:
            records.keep_roster(connection, signed, now)
        return fresh
