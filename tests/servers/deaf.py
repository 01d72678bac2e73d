"""A Kafka that stops giving records and answers everything else: what pitfall 16 looks like from outside.

Clients are sent to a port in front of the embedded server.  What stands there passes requests on one
by one, and answers fetches itself, with nothing, once it is told to be deaf.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from deploy.embedded.servers import HOST, Kafka, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

FETCH: Final = 1
SESSIONS_FROM, TAGS_FROM = 7, 12
"""Versions of a fetch's answer that carry an error and a session, and tagged fields."""


class DeafKafka(Kafka):
    """The embedded server, which sends its clients to the port in front of it.

    Attributes:
        front: That port.
        deaf: Whether fetches are answered with nothing.
    """

    def __init__(self, folder: Path) -> None:
        """See `ServerProcess`."""
        super().__init__(folder)
        self.front = free_port()
        self.deaf = False
        self._connections: set[asyncio.Task[None]] = set()

    def _prepare(self) -> Sequence[str]:
        *command, _ = super()._prepare()
        return [*command, f"tcp://{HOST}:{self.front}"]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Stand in front of it."""
        server = await asyncio.start_server(self._connected, HOST, self.front)
        try:
            yield
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward = await asyncio.open_connection(HOST, self.port)
        try:
            with suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    writer.write(_framed(await self._answer(await _frame(reader), onward_reader, onward)))
                    await writer.drain()
        finally:
            onward.transport.abort()
            writer.transport.abort()

    async def _answer(
        self, request: bytes, onward_reader: asyncio.StreamReader, onward: asyncio.StreamWriter
    ) -> bytes:
        kind, version, number = struct.unpack("!hhi", request[:8])
        if self.deaf and kind == FETCH:
            await asyncio.sleep(0.05)
            return _nothing(version, number)
        onward.write(_framed(request))
        return await _frame(onward_reader)


def _nothing(version: int, number: int) -> bytes:
    """Return the answer to a fetch that found no records."""
    if version >= TAGS_FROM:
        return struct.pack("!iB", number, 0) + struct.pack("!ihiBB", 0, 0, 0, 1, 0)
    if version >= SESSIONS_FROM:
        return struct.pack("!iihii", number, 0, 0, 0, 0)
    return struct.pack("!iii", number, 0, 0) if version else struct.pack("!ii", number, 0)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack("!i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _framed(frame: bytes) -> bytes:
    return struct.pack("!i", len(frame)) + frame
