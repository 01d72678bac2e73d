"""Wearables that send their lines over Bluetooth LE, through `bleak`.

Place in the flow: a source of `edge.__main__`; `edge.sources.spoken` knows what the lines say.  Each
device is connected to by itself and for ever: wearers come and go.  One that has been out of reach
for a while is reported as such, so that nobody takes its silence for a quiet day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import structlog

from edge.reading import Reading
from edge.sources.spoken import Pieces, Spoken
from vigil.errors import Misconfigured, Unavailable
from vigil.events import DeviceHealth

if TYPE_CHECKING:
    from edge.config import Ble, Device
    from edge.reading import Put
    from edge.sources import Context

AGAIN_S: Final = 5.0
"""Between two attempts; looking for the device takes longer than this."""
AWAY_S: Final = 300.0
"""Who is at the letter box is not out of reach; who has gone out is."""
_log = structlog.get_logger(__name__)


class Radio(Protocol):
    """A connection to one device.  Every method raises `Unavailable` where the radio fails."""

    async def connect(self) -> None:
        """Find the device and connect."""

    async def notify(self, characteristic: str, piece: Callable[[bytes], None]) -> None:
        """Call back with every notification of a characteristic."""

    async def disconnect(self) -> None:
        """Let the device go."""


Dial: TypeAlias = Callable[[str, Callable[[], None]], Radio]
"""Makes a connection to an address, not yet open; calls back when it has ended."""


class BleSource:
    """The wearables in reach of one Bluetooth adapter."""

    def __init__(self, spec: Ble, devices: list[Device], context: Context, dial: Dial | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            spec: As the node's file has it.
            devices: The wearables.
            context: What every source is given.
            dial: Makes connections; bleak's where None.

        Raises:
            Misconfigured: There is no bleak on this box.
        """
        spoken = Spoken(devices, context)
        self._followed = [
            _Followed(device, spec.notify, spoken, context, dial or _bleak()) for device in devices
        ]

    async def run(self, put: Put) -> None:
        """Follow every device until cancelled."""
        async with asyncio.TaskGroup() as group:
            for followed in self._followed:
                group.create_task(followed.run(put), name=f"ble {followed.device.id}")


class _Followed:
    """One device, in reach or not."""

    def __init__(self, device: Device, notify: str, spoken: Spoken, context: Context, dial: Dial) -> None:
        self.device, self._notify, self._spoken = device, notify, spoken
        self._context, self._dial = context, dial
        self._name = device.address or device.id
        self._heard = context.mono()
        self._away = False

    async def run(self, put: Put) -> None:
        """Connect again and again."""
        while True:
            try:
                await self.listen(put)
            except Unavailable as error:
                _log.info("a wearable is not reached", device=self.device.id, why=str(error))
            await self.report(put)
            await asyncio.sleep(AGAIN_S)

    async def listen(self, put: Put) -> None:
        """Connect once, and take what the device says until the connection ends.

        Raises:
            Unavailable: It is not reached.
        """
        inbox, pieces = asyncio.Queue[bytes | None](), Pieces()
        radio = self._dial(self._name, lambda: inbox.put_nowait(None))
        try:
            await radio.connect()
            await radio.notify(self._notify, inbox.put_nowait)
            await self._back(put)
            while (piece := await inbox.get()) is not None:
                self._heard = self._context.mono()
                for line in pieces.add(piece):
                    await self._spoken.take(line, put, self._name)
        finally:
            with suppress(Unavailable):
                await radio.disconnect()

    async def report(self, put: Put) -> None:
        """Say that the device is out of reach, once, when it has been for a while."""
        if not self._away and self._context.mono() - self._heard >= AWAY_S:
            self._away = True
            await self._said(put, ["out of reach"])

    async def _back(self, put: Put) -> None:
        self._heard = self._context.mono()
        if self._away:
            self._away = False
            await self._said(put, [])

    async def _said(self, put: Put, trouble: list[str]) -> None:
        health = DeviceHealth(trouble=trouble, zone=self.device.zone)
        await put(Reading(self.device.id, health, self._context.utc(), self._context.synthetic))


def _bleak() -> Dial:
    """Return how bleak connects.

    Raises:
        Misconfigured: It is not installed.
    """
    try:
        import bleak  # noqa: PLC0415 - D-Bus is nothing for a box without such wearables
        from bleak.exc import BleakError  # noqa: PLC0415 - the same
    except ImportError:
        raise Misconfigured("VIGIL_EDGE_CONFIG", "a source of kind ble needs vigil[wearables]") from None
    failures = (BleakError, OSError, EOFError)  # a TimeoutError is an OSError

    class Bleak:
        """A `BleakClient` whose failures are ours."""

        def __init__(self, address: str, ended: Callable[[], None]) -> None:
            self._address = address
            self._client = bleak.BleakClient(address, lambda _client: ended())

        async def connect(self) -> None:
            await self._tried(self._client.connect())

        async def notify(self, characteristic: str, piece: Callable[[bytes], None]) -> None:
            await self._tried(
                self._client.start_notify(characteristic, lambda _from, data: piece(bytes(data)))
            )

        async def disconnect(self) -> None:
            await self._tried(self._client.disconnect())

        async def _tried(self, what: Any) -> None:
            try:
                await what
            except failures as error:
                raise Unavailable(f"the wearable {self._address}", error) from error

    return Bleak
