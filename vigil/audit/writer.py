"""Chains the notes of people's acts, and signs where the chain stands every 5 minutes.

Place in the flow: `api` runs one in each of its processes, of which one writes at a time;
`fallback.checkpoints` fetches what was signed.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter, Gauge

from vigil.audit.chain import sign
from vigil.errors import Unavailable
from vigil.store import audit

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool

PAUSE_S: Final = 1.0
SIGN_EVERY: Final = timedelta(minutes=5)
_written = Counter("vigil_audit_entries_total", "Acts of people that were chained.")
_waiting = Gauge("vigil_audit_waiting", "Acts of people that are not chained yet.")
_signed = Gauge("vigil_audit_signed_timestamp_seconds", "When the audit log was last signed.")
_log = structlog.get_logger(__name__)


class Writer:
    """The one who writes, or waits to.

    Args:
        pool: Of the API's own role.
        now: The clock.
        key: Signs; without one the chain is kept, and nothing proves its end.
    """

    def __init__(self, pool: Pool, now: Clock, key: Ed25519PrivateKey | None) -> None:
        self._pool = pool
        self._now = now
        self._key = key

    async def run(self) -> None:
        """Write until cancelled."""
        if self._key is None:
            _log.warning("nobody signs the audit log", remedy="set VIGIL_API_ROSTER_KEY")
        while True:
            try:
                async with self._pool.connection() as connection:
                    await self.once(connection)
            except Unavailable as error:
                _log.warning("acts of people wait to be chained", error=str(error))
            await asyncio.sleep(PAUSE_S)

    async def once(self, connection: Connection) -> None:
        """Chain what waits, and sign if it is time."""
        while written := await audit.append(connection):
            _written.inc(written)
        _waiting.set(await audit.waiting(connection))
        if self._key is not None:
            await self._sign(connection, self._key, self._now())

    async def _sign(self, connection: Connection, key: Ed25519PrivateKey, now: datetime) -> None:
        newest = await audit.checkpoints(connection, most=1)
        head = await audit.head(connection)
        if head.seq == 0 or (newest and now - newest[0].at < SIGN_EVERY):
            return
        await audit.keep(connection, sign(head, now, key))
        _signed.set(now.timestamp())
