"""Look again at what was told to wait: silence produces no event.

Place in the flow: `processors.decide` asks for a wait, any processor claims it here when it
is over, in one transaction with what becomes of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from processors.decide import FALLS, decide_overdue
from processors.fusion import Episode
from vigil.errors import Unavailable
from vigil.store import alerts, detections

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool

EVERY_S: Final = 1.0
_log = structlog.get_logger(__name__)


class Ticker:
    """Claims deadlines that have passed."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                while await self.step():
                    pass
            except Unavailable as error:
                _log.warning("deadlines wait", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def step(self) -> bool:
        """Decide on what is overdue; return whether there was anything."""
        now = self._clock()
        async with self._pool.transaction() as connection:
            states = await detections.claim_due(connection, FALLS, now)
            for subject, state in states.items():
                await _decide(connection, subject, msgspec.convert(state, Episode), now)
        return bool(states)


async def _decide(connection: Connection, subject: str, episode: Episode, now: datetime) -> None:
    detection = episode.detection and await detections.get_detection(connection, episode.detection)
    if not detection:
        _log.error("nothing to raise: the wait stands on no detection", subject=subject)
        return
    settled, alert = decide_overdue(episode, detection)
    await detections.save_states(connection, FALLS, {subject: msgspec.to_builtins(settled)}, now)
    if alert is not None:
        await alerts.raise_alert(connection, alert, now)
