"""What ingest reads from the database, at leisure: the registry, and whether anybody stores.

Ingest goes on without it: with the database away, messages are passed on unchecked
(processors check again) and the edges are told that nothing is being stored.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client import Gauge

from ingest.missing import count, lasting
from vigil.errors import Unavailable
from vigil.events import PlatformState
from vigil.registry import Registry
from vigil.store import heartbeats
from vigil.store.gaps import gaps
from vigil.store.registry import refresh
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingest.downlink import Downlink
    from vigil.clock import Clock
    from vigil.store.gaps import Gap
    from vigil.store.pool import Pool

EVERY_S: Final = 1.0
"""How old the registry may be; a device is announced to nobody before it is registered."""
LOG_EVERY_S: Final = 5.0
"""How soon a log that was replaced is noticed."""
ANNOUNCE_EVERY: Final = 5
"""Looks between two announcements of an unchanged state."""
SILENT: Final = timedelta(seconds=15)
"""Three heartbeats of the processors missed: nobody stores."""
GAPS_EVERY_S: Final = 60.0
"""What is missing at two looks was sent again in between, and did not come."""

missing = Gauge("vigil_ingest_missing", "Sequence numbers missing for a minute or longer.", ["lane"])
_log = structlog.get_logger(__name__)


class Watch:
    """Keeps the registry current and the edges informed.

    Attributes:
        storing: Whether the database answers and processors write.
        incarnation: Which log Kafka has; edges send again what the one before may have lost.
    """

    def __init__(self, pool: Pool, downlink: Downlink, incarnation: str, process: str, clock: Clock) -> None:
        self.storing = False
        self.incarnation = incarnation
        self._registry = Registry()
        self._pool = pool
        self._downlink = downlink
        self._process = process
        self._clock = clock

    def registry(self) -> Registry | None:
        """Return the registry, or None where it cannot be trusted to be current."""
        return self._registry if self.storing and self._registry.version else None

    async def run(self, progress: Callable[[], dict[str, Any]]) -> None:
        """Look for ever."""
        looks = 0
        while True:
            before = (self.storing, self.incarnation)
            await self.step(progress())
            if (self.storing, self.incarnation) != before or looks % ANNOUNCE_EVERY == 0:
                self._announce()
            looks += 1
            await asyncio.sleep(EVERY_S)

    async def step(self, progress: dict[str, Any]) -> None:
        """Look once: give a sign of life, refresh the registry, see whether anybody stores."""
        now = self._clock()
        try:
            async with self._pool.connection() as connection:
                await heartbeats.beat(connection, self._process, now, progress)
                await refresh(connection, self._registry)
                self.storing = await heartbeats.alive(connection, "processors", now, SILENT)
        except Unavailable as error:
            _log.warning("registry cannot be read", error=str(error))
            self.storing = False

    async def follow_log(self, ask: Callable[[], Awaitable[str]]) -> None:
        """Learn for ever whether Kafka still has the same log."""
        while True:
            try:
                self.incarnation = await ask()
            except Unavailable as error:
                _log.warning("kafka does not answer", error=str(error))
            await asyncio.sleep(LOG_EVERY_S)

    async def follow_gaps(self) -> None:
        """Look for ever for events that do not come."""
        found: list[Gap] = []
        while True:
            found = await self.look_for_gaps(found)
            await asyncio.sleep(GAPS_EVERY_S)

    async def look_for_gaps(self, before: list[Gap]) -> list[Gap]:
        """Tell what is missing now and was missing before; returns what is missing now."""
        try:
            async with self._pool.connection() as connection:
                now = await gaps(connection)
        except Unavailable as error:
            _log.warning("gaps cannot be read", error=str(error))
            return before
        still = lasting(before, now)
        numbers = count(still)
        for lane in Lane:
            missing.labels(lane).set(numbers.get(lane, 0))
        if still:
            _log.warning(
                "events are missing", numbers=numbers, nodes=sorted({gap.node for gap in still})[:10]
            )
        return now

    def _announce(self) -> None:
        state = PlatformState(up=True, storing=self.storing, at=self._clock(), incarnation=self.incarnation)
        for community in {node.community for node in self._registry.nodes.values()}:
            self._downlink.announce(community, state)
