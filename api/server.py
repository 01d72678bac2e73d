"""uvicorn, run as one task among others, which ends gracefully with its live streams.

uvicorn's own signal handling would end the process before the other tasks are done, and its
graceful end waits for every response, of which a live stream never finishes by itself.  So
signals stay with `vigil.runtime`, and the hub lets its sessions go first.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from api.wire import WiredProtocol
from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

BACKLOG: Final = 1024
GRACE_S: Final = 5
"""How long requests under way may take at the end."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the address before anything else is begun.

    Raises:
        Stop: The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, for asyncio sends at once (TCP_NODELAY) only on what is named so: without it what
    # is written while the last piece is not yet confirmed waits for up to 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise Stop(f"VIGIL_API_PORT {port} on {host} cannot be used: {error.strerror}") from None
        bound.listen(BACKLOG)  # whoever connects from here on waits for us instead of being refused
        yield bound


async def serve_until_cancelled(app: FastAPI, bound: socket.socket, let_go: Callable[[], None]) -> None:
    """Serve an application; when cancelled, finish what is under way first.

    Args:
        app: What is served.
        bound: The listening socket.
        let_go: Ends the live streams.
    """
    config = uvicorn.Config(
        app,
        http=WiredProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="uvicorn")
    try:
        await asyncio.shield(serving)
    finally:
        let_go()
        server.should_exit = True
        await serving
