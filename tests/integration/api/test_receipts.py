"""Sent, delivered and acknowledged are three things, and a provider's word is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.integration.api.conftest import Outbox, problem
from tests.integration.api.test_escalation import Night, night

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
__all__ = ["night"]


@dataclass
class Provider:
    """A gateway that takes everything, and says afterwards what became of it."""

    night: Night
    client: httpx.AsyncClient

    @property
    def receipts(self) -> list[str]:
        """Where it says so, the latest last."""
        return [url.partition("receipt=")[2] for url, _ in self.night.routes.sent if "receipt=" in url]

    async def say(self, link: str, status: str, **more: Any) -> httpx.Response:
        from urllib.parse import unquote

        return await self.client.post(unquote(link), json={"status": status, **more})


@pytest_asyncio.fixture
async def provider(night: Night) -> Provider:
    async with night.world.pool.connection() as connection:
        await connection.execute("UPDATE contact SET url = 'jsons://gateway.example/' || account || channel")
    return Provider(night, await night.world.client())


async def notice_of(world: World, alert: UUID) -> dict[str, Any]:
    li = await world.person("li")
    listed = (await li.get(f"/api/v1/alerts/{alert}/notices")).json()
    found: dict[str, Any] = next(
        one for one in listed if one["account"] == "li" and one["channel"] == "message"
    )
    return found


async def test_sent_delivered_and_acknowledged_are_three_things(provider: Provider) -> None:
    alert = await provider.night.world.raise_alert()
    await provider.night.work()
    seen = await notice_of(provider.night.world, alert)
    assert seen["sent_at"]
    assert seen["delivered_at"] is None
    assert await provider.night.state(alert) == "notifying"
    for link in provider.receipts:
        assert (await provider.say(link, "delivered")).status_code == 204
    assert (await notice_of(provider.night.world, alert))["delivered_at"]
    assert await provider.night.state(alert) == "delivered"
    provider.night.routes.sent.clear()
    await provider.night.wait(13)
    assert provider.night.told  # delivered is nobody's word: the escalation goes on


async def test_what_a_gateway_took_and_could_not_deliver_goes_to_the_next_contact_at_once(
    provider: Provider,
) -> None:
    alert = await provider.night.world.raise_alert()
    await provider.night.work()
    first = provider.receipts[0]
    provider.night.routes.sent.clear()
    for _ in range(2):  # said twice, it is one failure
        assert (await provider.say(first, "failed", reason="number not in service")).status_code == 204
        await provider.night.work()
    (told,) = provider.night.told
    assert "voice" in told
    listed = await provider.night.notices(alert)
    assert [one.undelivered for one in listed if one.undelivered] == ["number not in service"]


async def test_when_the_last_contact_fails_too_the_person_is_unreachable(provider: Provider) -> None:
    alert = await provider.night.world.raise_alert()
    await provider.night.work()
    for _ in range(4):
        for link in provider.receipts:
            await provider.say(link, "failed")
        await provider.night.work()
    ended = {
        one.account: one.ended for one in await provider.night.notices(alert) if one.channel == "message"
    }
    assert ended == {"li": "unreachable", "zhao": "unreachable"}


async def test_a_receipt_is_taken_by_its_link_alone_and_a_link_that_takes_alerts_is_none(
    provider: Provider,
) -> None:
    await provider.night.world.raise_alert()
    await provider.night.work()
    take = provider.night.routes.sent[0][1].body.split()[-1].rpartition("/")[2]
    url = f"{provider.night.world.url}/api/v1/receipts/"
    problem(await provider.say(url + take, "delivered"), 403)
    problem(await provider.say(url + "AAAA", "delivered"), 403)
    problem(await provider.say(provider.receipts[0], "read"), 422)
    receipt = provider.receipts[0].rpartition("%2F")[2]
    page = await provider.client.post(f"{provider.night.world.url}/take/{receipt}")
    assert page.status_code == 410


async def test_only_gateways_of_our_own_are_asked_for_receipts(night: Night) -> None:
    await night.world.raise_alert()
    await night.work()
    assert night.told == ["message://li", "message://zhao"]
    assert isinstance(night.routes, Outbox)
