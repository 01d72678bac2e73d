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
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.alerts import NewAlert
    from vigil.store.pool import Connection, Pool

EVERY_S: Final = 1.0
_log = structlog.get_logger(__name__)


async def ticking(step: Callable[[], Awaitable[bool]], every_s: float, what: str) -> None:
    """Look for ever: at once where there was something, else after `every_s`.

    Args:
        step: Looks, and returns whether there was anything.
        every_s: Between two looks, in seconds.
        what: Waits while the database is away; for the log.
    """
    while True:
        try:
            while await step():
                pass
        except Unavailable as error:
            _log.warning("wait for the database", what=what, error=str(error))
        await asyncio.sleep(every_s)


class Ticker:
    """Claims deadlines that have passed."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        await ticking(self.step, EVERY_S, "deadlines")

    async def step(self) -> bool:
        """Decide on what is overdue; return whether there was anything."""
        now = self._clock()
        async with self._pool.transaction() as connection:
            states = await detections.claim_due(connection, FALLS, now)
            episodes = {subject: msgspec.convert(state, Episode) for subject, state in states.items()}
            await _decide(connection, episodes, now)
        return bool(states)


async def _decide(connection: Connection, episodes: Mapping[str, Episode], now: datetime) -> None:
    ids = [episode.detection for episode in episodes.values() if episode.detection]
    found = {str(id_): one for id_, one in (await detections.get_detections(connection, ids)).items()}
    settled: dict[str, Episode] = {}
    raised: list[NewAlert] = []
    for subject, episode in episodes.items():
        detection = found.get(episode.detection or "")
        if detection is None:
            _log.error("nothing to raise: the wait stands on no detection", subject=subject)
            continue
        settled[subject], alert = decide_overdue(episode, detection)
        raised += [alert] if alert else []
    await detections.save_states(connection, FALLS, settled, now)
    await alerts.raise_alerts(connection, raised, now)
