"""Where webhooks may lead, and how much a request may bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.bodies import MOST, LimitedBodies
from api.outbound import allowed, read_networks

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.trust


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("8.8.8.8", "", True),
        ("2001:4860:4860::8888", "", True),
        ("10.1.2.3", "", False),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("127.0.0.1", "", False),
        ("::ffff:10.1.2.3", "", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16, fd00::/8", True),
        ("fe80::1%eth0", "", False),
        ("169.254.169.254", "", False),
        ("100.64.0.1", "", False),
        ("224.0.0.1", "", False),
    ],
)
def test_what_is_of_the_site_is_reached_only_where_it_is_named(
    address: str, networks: str, expected: bool
) -> None:
    assert allowed(address, read_networks(networks)) == expected


@pytest.mark.parametrize("text", ["10.0.0.1/8", "everywhere"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_networks(text)


async def answer(chunks: list[bytes], headers: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Send a request; return the status, and how many bytes reached the application."""
    statuses: list[int] = []
    reached = 0

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        more = True
        while more:
            message = await receive()
            reached += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    waiting = iter(chunks)
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(waiting), "more_body": left > 0}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await LimitedBodies(app)({"type": "http", "headers": headers}, receive, send)
    (status,) = statuses
    return status, reached


@pytest.mark.asyncio
async def test_as_much_as_may_come_in_does() -> None:
    assert await answer([b"x" * (MOST // 2)] * 2, []) == (200, MOST)


@pytest.mark.asyncio
async def test_what_says_to_be_larger_is_refused_unread() -> None:
    assert await answer([b""], [(b"content-length", str(MOST + 1).encode())]) == (413, 0)


@pytest.mark.asyncio
async def test_what_is_larger_than_it_says_is_refused_where_it_goes_beyond() -> None:
    status, reached = await answer([b"x" * MOST, b"x"], [(b"content-length", b"5")])
    assert (status, reached) == (413, MOST)
