"""The load's publisher: MQTT 3.1.1 at QoS 1 over a bare socket, so that it costs the cores little.

Packets are encoded before the clock runs; at most `WINDOW` are unacknowledged at a time.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.load import Message

WINDOW: Final = 2000
_MIDS: Final = 65_000


def packet(mid: int, topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH at QoS 1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + payload
    return b"\x32" + _length(len(body)) + body


def _length(size: int) -> bytes:
    encoded = b""
    while size > 127:
        encoded += bytes([size & 127 | 128])
        size >>= 7
    return encoded + bytes([size])


def packets(messages: Iterable[Message]) -> list[bytes]:
    """Encode messages; packet ids repeat long after their first use was acknowledged."""
    return [packet(number % _MIDS + 1, m.topic, m.payload) for number, m in enumerate(messages)]


class Firehose:
    """A connection that publishes."""

    def __init__(self, host: str, port: int, client_id: str) -> None:
        """Connect."""
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(name)) + name
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._receive(4)

    def _receive(self, size: int) -> None:
        while size:
            got = len(self._socket.recv(min(size, 65536)))
            if not got:
                raise ConnectionError("the broker hung up on the load's publisher")
            size -= got

    def send(self, encoded: Sequence[bytes], rate: float | None = None) -> float:
        """Publish all, and return how many seconds it took until the last acknowledgement.

        Args:
            encoded: As `packets` made them.
            rate: A second; None: as fast as the broker takes them.
        """
        began = time.monotonic()
        chunk = WINDOW if rate is None else max(1, int(rate / 100))
        for start in range(0, len(encoded), chunk):
            if rate is not None:
                time.sleep(max(0.0, began + start / rate - time.monotonic()))
            some = encoded[start : start + chunk]
            self._socket.sendall(b"".join(some))
            self._receive(4 * len(some))
        return time.monotonic() - began

    def close(self) -> None:
        """Leave."""
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()
