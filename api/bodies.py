"""No request is taken in that is larger than anything we ask for.

Neighbour: `api.app` puts it before the routes, so that nothing of a body is kept, parsed or hashed beyond it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST: Final = 1024 * 1024
"""Bytes.  The largest that anybody sends is a sealed frame as evidence: 128 kB, in base64 twice over."""
_ANSWER: Final = (
    b'{"type":"urn:vigil:problem:too_large","title":"Too large","status":413,'
    b'"detail":"A request has 1 MiB at most; send less at a time."}'
)


class TooLarge(Exception):
    """More arrived than may."""


class LimitedBodies:
    """Answers 413 instead of taking in more than `MOST`, whatever the request says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while it stays within bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MOST:
            await _refuse(send)
            return
        taken, began = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST:
                raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except TooLarge:
            if not began:
                await _refuse(send)


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})
