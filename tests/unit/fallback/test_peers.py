from __future__ import annotations

import httpx
import pytest

from fallback import peers
from fallback.state import Mode

SAID = {"mode": "degraded", "estates": {"e1": {"mode": "fallback"}, "e2": {"mode": "normal"}}}


async def looks(answers: list[httpx.Response], mine: Mode) -> list[str | None]:
    given = iter(answers)
    transport = httpx.MockTransport(lambda _request: next(given))
    peer = peers.Peer("http://other/")
    async with httpx.AsyncClient(transport=transport) as client:
        return [await peer.look(client, {"e1": mine, "e2": Mode.NORMAL}) for _ in answers]


@pytest.mark.asyncio
async def test_the_other_instance_is_lost_after_three_looks() -> None:
    found = await looks([httpx.Response(500)] * 3, Mode.NORMAL)
    assert found == [None, None, "no answer (HTTPStatusError)"]


@pytest.mark.asyncio
async def test_a_fallback_that_only_the_other_sees_is_told() -> None:
    assert await looks([httpx.Response(200, json=SAID)], Mode.NORMAL) == ["sees a fallback in e1"]


@pytest.mark.asyncio
async def test_agreement_is_nothing_to_tell() -> None:
    assert await looks([httpx.Response(200, json=SAID)], Mode.FALLBACK) == [None]


@pytest.mark.asyncio
async def test_the_heartbeats_failure_does_not_print_its_secret_url() -> None:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200 if "good" in str(request.url) else 500)
    )
    async with httpx.AsyncClient(transport=transport) as client:
        assert await peers.beat(client, "http://dead-man/good") is None
        assert await peers.beat(client, "http://dead-man/secret") == "HTTPStatusError"
