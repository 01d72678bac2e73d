"""Wearables behind a receiver on a serial port.

Place in the flow: a source of `edge.__main__`; `edge.sources.spoken` knows what the lines say.  A
port that goes away (a receiver pulled out) ends in an error, and `edge.running` opens it again.
"""

from __future__ import annotations

import asyncio
import os
import termios
from typing import TYPE_CHECKING, Final

from edge.sources.spoken import Pieces, Spoken
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from edge.config import Device, SerialLine
    from edge.reading import Put
    from edge.sources import Context

PIECE: Final = 4096


class SerialSource:
    """A port, and the wearables behind it."""

    def __init__(self, spec: SerialLine, devices: list[Device], context: Context) -> None:
        self._spec, self._spoken = spec, Spoken(devices, context)

    async def run(self, put: Put) -> None:
        """Read until cancelled.

        Raises:
            Unavailable: The port is not there, or no longer.
        """
        port = _opened(self._spec)
        readable, loop, pieces = asyncio.Event(), asyncio.get_running_loop(), Pieces()
        loop.add_reader(port, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                for line in pieces.add(self._read(port)):
                    await self._spoken.take(line, put)
        finally:
            loop.remove_reader(port)
            os.close(port)

    def _read(self, port: int) -> bytes:
        try:
            piece = os.read(port, PIECE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Unavailable(f"the port {self._spec.path}", error.strerror) from error
        if not piece:
            raise Unavailable(f"the port {self._spec.path}", "it was hung up")
        return piece


def _opened(spec: SerialLine) -> int:
    """Open a port for raw bytes at its speed."""
    try:
        port = os.open(spec.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"the port {spec.path}", error.strerror) from error
    try:
        _set(port, getattr(termios, f"B{spec.baud}"))
    except termios.error as error:
        os.close(port)
        raise Unavailable(f"the port {spec.path}", error) from error
    return port


def _set(port: int, speed: int) -> None:
    """Set 8N1 without any translation; the modem's lines are ignored."""
    characters = termios.tcgetattr(port)[6]
    mode = termios.CS8 | termios.CREAD | termios.CLOCAL
    termios.tcsetattr(port, termios.TCSANOW, [termios.IGNPAR, 0, mode, 0, speed, speed, characters])
    termios.tcflush(port, termios.TCIFLUSH)
