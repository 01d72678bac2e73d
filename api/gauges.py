"""Keeps metrics current that only the database knows: open alerts, which boxes are connected.

Neighbours: `vigil.store.gauges` looks, `api.effect` has another look of the same kind, `api.__main__`
runs both; every member of `api` says the same, so that rules take the maximum.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Gauge

from vigil.alerts import URGENCY
from vigil.errors import Unavailable
from vigil.store import configs
from vigil.store.configs import State
from vigil.store.gauges import standing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.gauges import Standing
    from vigil.store.pool import Connection, Pool

EVERY_S: Final = 15.0
_OPEN: Final = Gauge("vigil_alerts_open", "Open alerts.", ["priority"])
_WAITING: Final = Gauge("vigil_alerts_waiting", "Open alerts that nobody has acknowledged.", ["priority"])
_AGE: Final = Gauge("vigil_alert_waiting_seconds", "Age of the oldest alert that waits.", ["priority"])
_NODES: Final = Gauge("vigil_nodes", "Edge boxes in service, by whether they are connected.", ["state"])
_CONFIGS: Final = Gauge(
    "vigil_box_configs", "Edge boxes in service, by how they stand to their newest config.", ["state"]
)
_UNTAKEN: Final = Gauge(
    "vigil_box_config_waiting_seconds", "How long a connected box has not answered its newest config."
)
_LOOKED: Final = Gauge("vigil_gauges_timestamp_seconds", "When the community was last looked at.")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looking:
    """Looks at the database again and again, and sets metrics by what it finds.

    Attributes:
        every_s: Pause between two looks.
        look: Reads, and sets the metrics; is given the present time.
    """

    pool: Pool
    clock: Clock
    every_s: float
    look: Callable[[Connection, datetime], Awaitable[None]]

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                _log.warning("metrics stand still", error=str(error))
            await asyncio.sleep(self.every_s)

    async def once(self) -> None:
        """Look once."""
        async with self.pool.connection() as connection:
            await self.look(connection, self.clock())


async def look_at_community(connection: Connection, now: datetime) -> None:
    """Set the gauges of the whole community."""
    show(await standing(connection), now)
    by_state, waiting_s = await configs.counts(connection, now)
    for state in State:
        _CONFIGS.labels(state).set(by_state.get(state, 0))
    _UNTAKEN.set(max(waiting_s, 0.0))


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
