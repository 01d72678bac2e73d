"""Wearables that send lines over UDP.

Place in the flow: a source of `edge.__main__`; `edge.sources.spoken` knows what the lines say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from edge.sources.spoken import Spoken

if TYPE_CHECKING:
    from edge.config import Device, Udp
    from edge.reading import Put
    from edge.sources import Context

QUEUE: Final = 10_000
"""Datagrams that wait; more are dropped by us rather than by the kernel, and logged."""
_log = structlog.get_logger(__name__)


class UdpSource:
    """A socket, and the wearables behind it.

    Attributes:
        port: Where it listens, once it runs.
    """

    def __init__(self, spec: Udp, devices: list[Device], context: Context) -> None:
        self._spec = spec
        self._spoken = Spoken(devices, context)
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
                for text in (await queue.get()).decode("ascii", errors="replace").splitlines():
                    await self._spoken.take(text, put)
        finally:
            transport.close()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Keep a datagram, if there is room."""
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            _log.error("datagrams come faster than they can be kept")
