"""Wearables that send lines over UDP.

Place in the flow: a source of `edge.__main__`; `edge.lines` reads the lines, each device's
samples go through `edge.wearable`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from edge import lines, wearable
from edge.lines import Battery, Grid, Pressed, Sample
from edge.reading import Reading
from edge.wearable import Wearer, placement_of
from vigil.errors import Rejected
from vigil.events import DeviceHealth, Sos
from vigil.impact import RATE_HZ

if TYPE_CHECKING:
    from edge.config import Device, Udp
    from edge.reading import Put
    from edge.sources import Context
    from edge.wearable import Worn

QUEUE: Final = 10_000
"""Datagrams that wait; more are dropped by us rather than by the kernel, and logged."""
_log = structlog.get_logger(__name__)


class UdpSource:
    """A socket, and the wearables behind it.

    Attributes:
        port: Where it listens, once it runs.
    """

    def __init__(self, spec: Udp, devices: list[Device], context: Context) -> None:
        self._spec, self._context = spec, context
        self._wearing = {device.address or device.id: _Wearing(device, context) for device in devices}
        self.port = spec.port

    async def run(self, put: Put) -> None:
        """Listen until cancelled."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(queue), local_addr=(self._spec.host, self._spec.port)
        )
        self.port = transport.get_extra_info("sockname")[1]
        try:
            while True:
                await self._take(await queue.get(), put)
        finally:
            transport.close()

    async def _take(self, datagram: bytes, put: Put) -> None:
        for text in datagram.decode("ascii", errors="replace").splitlines():
            try:
                line = lines.parse(text)
            except Rejected as error:
                _log.warning("a line was not understood", why=error.detail)
                continue
            wearing = self._wearing.get(line.name)
            if wearing is None:
                _log.warning("a device that this node does not have", name=line.name)
                continue
            for reading in wearing.take(line):
                await put(reading)


class _Wearing:
    """One wearable's stream."""

    def __init__(self, device: Device, context: Context) -> None:
        self._wearer = Wearer(device.id, placement_of(device.worn), device.zone, context.synthetic)
        self._context = context
        self._grid: Grid | None = None
        self._worn: Worn | None = None

    def take(self, line: lines.Line) -> list[Reading]:
        """Return the readings that a line completes."""
        if isinstance(line, Pressed):
            return [self._reading(Sos(by="button", zone=self._wearer.zone))]
        if isinstance(line, Battery):
            return [self._reading(DeviceHealth(battery_pct=line.percent, zone=self._wearer.zone))]
        return self._fed(line)

    def _fed(self, sample: Sample) -> list[Reading]:
        self._grid, samples, begins = lines.join(self._grid, sample)
        ended: list[Reading] = []
        if begins or self._worn is None:
            if self._worn is not None:
                self._worn, ended = wearable.end(self._wearer, self._worn)
            self._worn = wearable.begin(self._context.utc(), RATE_HZ, self._worn)
        self._worn, found = wearable.feed(self._wearer, self._worn, samples)
        return ended + found

    def _reading(self, data: Sos | DeviceHealth) -> Reading:
        return Reading(self._wearer.device, data, self._context.utc(), self._wearer.synthetic)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Keep a datagram, if there is room."""
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            _log.error("datagrams come faster than they can be kept")
