"""A TCP proxy between the edges and the broker, which can be cut, healed and made to flap."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from deploy.embedded.servers import HOST, free_port


class Proxy:
    """Passes bytes on from a port of its own; runs in a thread.

    Attributes:
        port: Where to connect.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    def stop(self) -> None:
        """End, with every connection."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._open = False
        self._loop.call_soon_threadsafe(self._drop)

    def heal(self) -> None:
        """Accept connections again."""
        self._open = True

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _listen(self) -> None:
        await asyncio.start_server(self._connected, HOST, self.port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        with suppress(OSError):
            onward_reader, onward = await asyncio.open_connection(HOST, self._target)
            self._writers |= {writer, onward}
            await asyncio.gather(_pass(reader, onward), _pass(onward_reader, writer))
            self._writers -= {writer, onward}
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
