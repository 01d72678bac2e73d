from __future__ import annotations

import httpx
import pytest

from fallback import probes
from tests.unit.fallback.conftest import T0


def answers(request: httpx.Request) -> httpx.Response:
    match request.url.host:
        case "well":
            return httpx.Response(200, json={"ready": True, "checks": {"mqtt": "ok"}})
        case "unwell":
            return httpx.Response(503, json={"ready": False, "checks": {"mqtt": "ok", "kafka": "no broker"}})
        case "strange":
            return httpx.Response(500, text="oops")
    raise httpx.ConnectError("refused")


@pytest.mark.asyncio
async def test_each_look_says_what_was_wrong() -> None:
    urls = [f"http://{host}/readyz" for host in ("well", "unwell", "strange", "away")]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
        found = await probes.look(client, urls, T0)
    assert [each.wrong for each in found] == [None, "kafka: no broker", "HTTP 500", "ConnectError"]
    assert [each.url for each in found] == urls
