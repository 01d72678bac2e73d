"""One node, put together: which part is given to which, and what ends with what.

Place in the flow: built by `edge.__main__`.  The order of ending is the reverse of the
flow: sources first, then what they handed over is made durable, then the broker is told.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from edge import sources
from edge.config import Cameras
from edge.gate import Gate
from edge.health import BoxHealth
from edge.home_assistant import Companion
from edge.identity import Standing
from edge.intake import Intake
from edge.link import Link
from edge.local_alarm import Watch
from edge.notify import ALIVE, READY, STOPPING
from edge.orders import Orders
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.reading import Reading
from edge.remote_config import RemoteConfig
from edge.running import Running
from edge.sounder import Horn
from edge.spool import Spool
from edge.trigger import impact_and_posture
from edge.worn import Worn
from vigil.events import DeviceHealth

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path
    from random import Random

    from edge.config import Node
    from edge.evidence import Evidence
    from edge.notify import Notify
    from edge.reading import Source
    from edge.spool import Row
    from edge.timesync import Now
    from vigil.clock import Clock
    from vigil.events import FallSuspected
    from vigil.settings import EdgeSettings
    from vigil.telemetry import Check

ALIVE_EVERY_S: Final = 10.0
"""A third of the unit's WatchdogSec."""
FRAMES: Final = "evidence frames"
COMPANION: Final = "home assistant"
"""What runs beside the sources, to be replaced and restarted as they are."""
GOODBYE_S: Final = 2.0
"""How long an ending node waits for the broker."""
_log = structlog.get_logger(__name__)


class Box:
    """A node with all its parts.

    Attributes:
        spool: Its spool.
    """

    def __init__(self, settings: EdgeSettings, now: Now, utc: Clock, rng: Random, notify: Notify) -> None:
        """Read the node's file, open its spool, and connect the parts.

        Raises:
            Stop: The file or the spool cannot be used.
        """
        self._settings, self._now, self._utc, self._notify = settings, now, utc, notify
        self._own_health: DeviceHealth | None = None
        kept = settings.edge_spool.with_name(settings.edge_spool.name + ".config.json")
        self._config = RemoteConfig(settings.edge_config, kept, self._apply)
        node = self._config.node
        self._frames: Evidence | None = None
        self._sources = self._built(node, _made_of(node))
        settings.edge_spool.parent.mkdir(parents=True, exist_ok=True)
        self.spool = Spool(settings.edge_spool, node.address, now(), max_bytes=node.spool_max_mb << 20)
        if self.spool.salvage:
            _log.error("the spool's file was set aside", **_told(self.spool))
        self._intake = Intake(self.spool, now)
        self._running = Running(Gate(self._intake.put, lambda: self._config.without).put, rng)
        self._worn, self._noticed = Worn(node.devices), asyncio.Queue[Reading]()
        self._intake.listeners.append(self._notice)
        horn = self._horn = Horn(node.local_alarm)
        outbox = Outbox(rng)
        orders = Orders(
            self.spool,
            self._intake,
            outbox,
            horn,
            now,
            reload=self._config.reload,
            configure=self._config.take,
        )
        self._link = Link(settings, node.address, lambda: uuid.uuid4().hex[:12], rng)
        self._standing = Standing(settings, self._link, utc)
        watch = Watch(looks_like_fall)
        self._publisher = Publisher(
            node, self._link, self.spool, self._intake, outbox, watch, horn, orders, now, rng
        )
        self._health = BoxHealth(
            node.node, self.spool, self._intake, now, self._troubles, settings.edge_spool.parent
        )

    @property
    def node(self) -> Node:
        """The config in effect."""
        return self._config.node

    def checks(self) -> Mapping[str, Check]:
        """Return what must be well for the node to be ready, by name."""
        return {
            "broker": lambda: None if self._link.up else self._standing.refused or "not connected",
            "sources": lambda: "; ".join(self._running.trouble.values()) or None,
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set or a part ends in an error.

        Raises:
            Stop: The spool is damaged.
        """
        self._link.start(self._publisher)
        self._running.start(self._sources, _made_of(self.node))
        self._notify.say(READY)
        parts = (
            asyncio.create_task(self._intake.run(), name="intake"),
            asyncio.create_task(self._publisher.run(), name="publisher"),
            asyncio.create_task(self._health.run(self._running.put), name="health"),
            asyncio.create_task(self._report_noticed(), name="worn"),
            asyncio.create_task(self._standing.run(), name="standing"),
            asyncio.create_task(self._stay_alive(), name="watchdog"),
            asyncio.create_task(_until(stopping), name="stopping"),
        )
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._notify.say(STOPPING)
            await self._end(parts)
        for part in done:
            part.result()

    async def _end(self, parts: tuple[asyncio.Task[None], ...]) -> None:
        await self._running.stop()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await self._intake.close()
        await self._link.stop(GOODBYE_S)
        self.spool.close()

    def _built(self, node: Node, names: Collection[str]) -> Mapping[str, Source]:
        """Build what is named of a node's sources, and of what runs beside them."""
        if FRAMES in names:
            self._frames = self._evidence()
        elif not _shows_frames(node):
            self._frames = None
            shutil.rmtree(self._folder, ignore_errors=True)  # where the file allows none, none stay
        offer = self._frames.offer if self._frames else None
        built: dict[str, Source] = sources.build(node, names, self._utc, lambda: self._now().mono, offer)
        if FRAMES in names and self._frames is not None:
            built[FRAMES] = self._frames
        if COMPANION in names and node.home_assistant is not None:
            built[COMPANION] = Companion(node.home_assistant, node, lambda: (self._own_health, self._link.up))
        return built

    @property
    def _folder(self) -> Path:
        return self._settings.edge_spool.with_name("evidence")

    def _evidence(self) -> Evidence:
        """Return what makes frames as evidence."""
        # Imported here: OpenCV and cryptography are nothing for a box without cameras.
        from edge.claim import Identity  # noqa: PLC0415
        from edge.evidence import Evidence  # noqa: PLC0415

        shown = self._settings.mqtt_cert or self._folder
        return Evidence(Identity(shown.parent), self._folder, self._utc)

    async def _apply(self, node: Node) -> None:
        """Put a config into effect: other sources, births, siren and bound."""
        await self._running.replace(_made_of(node), lambda names: self._built(node, names))
        self._publisher.announce_again(node)
        self._worn = Worn(node.devices)
        self._horn.use(node.local_alarm)
        self.spool.max_bytes = node.spool_max_mb << 20

    def _notice(self, readings: Sequence[Reading], _rows: Sequence[Row]) -> None:
        for reading in readings:
            if reading.device == self.node.node and isinstance(reading.data, DeviceHealth):
                self._own_health = reading.data
            for said in self._worn.take(reading):
                self._noticed.put_nowait(said)

    async def _report_noticed(self) -> None:
        while True:
            await self._running.put(await self._noticed.get())

    async def _stay_alive(self) -> None:
        """Tell systemd while the publisher makes its rounds; a stuck one is started again."""
        rounds = -1
        while True:
            if self._publisher.rounds != rounds:
                rounds = self._publisher.rounds
                self._notify.say(ALIVE)
            await asyncio.sleep(ALIVE_EVERY_S)

    def _troubles(self) -> list[str]:
        salvaged = ["spool file set aside"] if self.spool.salvage else []
        return [*salvaged, *self._standing.trouble, *self._running.trouble.values()]


def _shows_frames(node: Node) -> bool:
    return any(isinstance(spec, Cameras) and spec.evidence_frames for spec in node.sources.values())


def _made_of(node: Node) -> dict[str, object]:
    """Return what each source of a node, and what runs beside them, is made of."""
    found: dict[str, object] = {
        name: (spec, node.of_source(name), node.synthetic) for name, spec in node.sources.items()
    }
    if _shows_frames(node):
        found[FRAMES] = True
    if node.home_assistant is not None:
        found[COMPANION] = node
    return found


def looks_like_fall(data: FallSuspected) -> bool:
    """Judge a window by the simple rule, for the time without the platform."""
    window = np.array(data.accel_mg, np.float32).reshape(-1, 3) / np.float32(1000)
    return impact_and_posture(window).is_fall


def _told(spool: Spool) -> dict[str, object]:
    salvage = spool.salvage
    if salvage is None:
        return {}
    lost = sum(shed.last - shed.first + 1 for shed in salvage.lost)
    return {
        "aside": salvage.aside.name,
        "why": salvage.why,
        "saved": salvage.rows,
        "lost": lost,
        "complete": salvage.complete,
    }


async def _until(event: asyncio.Event) -> None:
    await event.wait()
