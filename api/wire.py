"""A live stream's way straight to its connection, past the web server's work for every message.

Neighbours: `api.server` runs uvicorn with `WiredProtocol`, which puts the connection where a
request finds it; `api.stream` takes it from there, and `api.live` writes.  The same change goes
to every session as the same bytes, the framing of HTTP/1.1 (RFC 9112, 7.1) included, in one
write each.  The head of a response, and its end, are the web server's as ever.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Scope

WIRE: Final = "vigil.wire"
MOST: Final = 512 * 1024
"""Bytes that may wait for a reader: about 500 changes, as long as a session's queue."""


def chunk(data: bytes) -> bytes:
    """Frame bytes as one chunk of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Wire:
    """The connection of a response whose head was sent, chunked."""

    transport: asyncio.Transport

    def write(self, chunks: bytes) -> bool:
        """Write chunks; False where the reader is gone or does not keep up."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size() > MOST:
            return False
        self.transport.write(chunks)
        return True


def wire_of(scope: Scope) -> Wire | None:
    """Return the wire of a request, None where the response will not be chunked, or none is at hand."""
    transport = scope.get("state", {}).get(WIRE)
    chunked = scope.get("http_version") == "1.1" and scope["method"] == "GET"
    return Wire(transport) if chunked and isinstance(transport, asyncio.Transport) else None


class WiredProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which tells a request its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the connection for the requests that come over it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, WIRE: transport}
