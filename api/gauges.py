"""Keeps the gauges of the whole community current: open alerts, and which boxes are connected.

Neighbours: `vigil.store.gauges` looks, `api.__main__` runs it; every member of `api` says the same,
so that rules take the maximum.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Gauge

from vigil.alerts import URGENCY
from vigil.errors import Unavailable
from vigil.store.gauges import standing

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.gauges import Standing
    from vigil.store.pool import Pool

EVERY_S: Final = 15.0
_OPEN: Final = Gauge("vigil_alerts_open", "Open alerts.", ["priority"])
_WAITING: Final = Gauge("vigil_alerts_waiting", "Open alerts that nobody has acknowledged.", ["priority"])
_AGE: Final = Gauge("vigil_alert_waiting_seconds", "Age of the oldest alert that waits.", ["priority"])
_NODES: Final = Gauge("vigil_nodes", "Edge boxes in service, by whether they are connected.", ["state"])
_LOOKED: Final = Gauge("vigil_gauges_timestamp_seconds", "When the community was last looked at.")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gauges:
    """Looks at the community for Prometheus."""

    pool: Pool
    clock: Clock

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                _log.warning("the community's gauges stand still", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Look once."""
        async with self.pool.connection() as connection:
            found = await standing(connection)
        show(found, self.clock())


def show(found: Standing, now: datetime) -> None:
    """Set the gauges; a priority without an alert is 0."""
    for priority in URGENCY:
        _OPEN.labels(priority).set(found.open_alerts.get(priority, (0, now))[0])
        waiting, since = found.waiting.get(priority, (0, now))
        _WAITING.labels(priority).set(waiting)
        _AGE.labels(priority).set(max((now - since).total_seconds(), 0.0))
    for state in ("online", "offline", "unknown"):
        _NODES.labels(state).set(found.nodes.get(state, 0))
    _LOOKED.set(now.timestamp())
