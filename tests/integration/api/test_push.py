"""Web Push: to whom, what leaves the platform, and what becomes of it; at a push service of the tests' own."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from api.escalation.push import Pusher
from api.escalation.webpush import Sender, encoded
from api.escalation.worker import LEASE, Escalator
from tests.browser import Browser, PushService, push_service
from tests.integration.api.conftest import LINK_KEY, Outbox, World, problem, serving
from vigil.store import escalation, push

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import FakeClock

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@dataclass
class Duty:
    """An officer on duty with a browser, the escalation's worker, and the push service between."""

    world: World
    service: PushService
    worker: Escalator
    li: httpx.AsyncClient
    browser: Browser

    async def work(self) -> None:
        while await self.worker.plan_one() or await self.worker.send_one():
            pass

    async def subscribe(self, client: httpx.AsyncClient, browser: Browser) -> httpx.Response:
        keys = {"p256dh": encoded(browser.p256dh), "auth": encoded(browser.auth)}
        body = {"endpoint": browser.endpoint, "keys": keys, "expirationTime": None}
        return await client.post("/api/v1/push/subscriptions", json=body)

    def told(self) -> list[dict[str, Any]]:
        """What the officer's browser could read of what came for it, but for the welcome."""
        path = self.browser.endpoint.removeprefix(self.service.origin)
        read = [json.loads(self.browser.read(body)) for to, _, body in self.service.taken if to == path]
        return [one for one in read if "alert" in one]

    async def became(self, alert: UUID) -> list[tuple[str | None, bool, bool, str | None]]:
        async with self.world.pool.connection() as connection:
            found = await escalation.notices_of(connection, alert)
        return [
            (one.account, one.sent_at is not None, one.delivered_at is not None, one.ended)
            for one in found
            if one.channel == "push"
        ]


@asynccontextmanager
async def on_duty(database: str, clock: FakeClock) -> AsyncIterator[Duty]:
    async with push_service() as service:
        key = ec.generate_private_key(ec.SECP256R1())
        pusher = Pusher(Sender(key, "mailto:ops@example.org"), frozenset({service.origin}))
        async with serving(database, clock, pusher=pusher) as world:
            li = await world.person("li")
            async with world.pool.connection() as connection:
                await escalation.add_shift(connection, "li", "officer", clock(), clock() + timedelta(hours=9))
                await escalation.put_contact(connection, "li", 0, "message", "message://li", clock())
            worker = Escalator(world.pool, Outbox(), clock, LINK_KEY, world.url, pusher=pusher)
            yield Duty(world, service, worker, li, Browser(f"{service.origin}/push/li"))


@pytest_asyncio.fixture
async def duty(database: str, clock: FakeClock) -> AsyncIterator[Duty]:
    async with on_duty(database, clock) as duty:
        yield duty


async def test_an_alert_reaches_the_browser_sealed_and_without_names_and_is_delivered_when_it_says_so(
    duty: Duty,
) -> None:
    assert (await duty.subscribe(duty.li, duty.browser)).status_code == 204
    alert = await duty.world.raise_alert()
    await duty.work()
    (told,) = duty.told()
    assert (told["alert"], told["body"]) == (str(alert), "一区 · 3号楼")
    assert not [name for name in ("王秀英", "401", "1390000") if name in json.dumps(told, ensure_ascii=False)]
    _, headers, _ = duty.service.taken[-1]
    assert (headers["content-encoding"], headers["urgency"]) == ("aes128gcm", "high")
    assert headers["authorization"].startswith("vapid t=")
    assert await duty.became(alert) == [("li", True, False, None)]
    stranger = await duty.world.client()
    answer = await stranger.post(told["receipt"], json={"status": "delivered"})
    assert answer.status_code == 204, answer.text
    assert await duty.became(alert) == [("li", True, True, None)]
    assert (await duty.li.get(f"/api/v1/alerts/{alert}")).json()["state"] == "delivered"


async def test_a_browser_that_is_gone_is_forgotten_and_the_other_one_is_still_told(duty: Duty) -> None:
    gone = Browser(f"{duty.service.origin}/push/gone")
    await duty.subscribe(duty.li, gone)
    duty.service.status = 410
    alert = await duty.world.raise_alert()
    await duty.work()
    assert await duty.became(alert) == [("li", False, False, "unreachable")]
    async with duty.world.pool.connection() as connection:
        assert await push.of_account(connection, "li") == []
    duty.service.status = 201
    await duty.subscribe(duty.li, duty.browser)
    await duty.world.raise_alert()
    await duty.work()
    assert len(duty.told()) == 1


async def test_a_push_service_that_fails_is_tried_again_and_holds_up_no_other_channel(
    duty: Duty, clock: FakeClock
) -> None:
    await duty.subscribe(duty.li, duty.browser)
    duty.service.status = 503
    alert = await duty.world.raise_alert()
    await duty.work()
    assert [url for url, _ in duty.worker.sender.sent] == ["message://li"]  # type: ignore[attr-defined]  # the outbox
    assert await duty.became(alert) == [("li", False, False, None)]
    duty.service.status = 201
    clock.move(seconds=LEASE.total_seconds() + 1)
    await duty.work()
    assert (await duty.became(alert))[0] == ("li", True, False, None)
    assert "Repeat" in duty.told()[-1]["title"] or "重复" in duty.told()[-1]["title"]


async def test_a_browser_that_no_message_reaches_is_not_kept(duty: Duty) -> None:
    duty.service.status = 503
    problem(await duty.subscribe(duty.li, duty.browser), 422)
    async with duty.world.pool.connection() as connection:
        assert await push.accounts(connection) == frozenset()


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_push_service_leads_nowhere_else(duty: Duty, status: int) -> None:
    await duty.subscribe(duty.li, duty.browser)
    before, duty.service.status = len(duty.service.taken), status
    await duty.world.raise_alert()
    await duty.work()
    assert [to for to, _, _ in duty.service.taken[before:]] == ["/push/li"]


async def test_who_has_no_browser_is_sent_no_push_and_nobody_else_gets_theirs(duty: Duty) -> None:
    zhao = await duty.world.person("zhao", "grid_worker")
    await duty.subscribe(zhao, Browser(f"{duty.service.origin}/push/zhao"))
    before = len(duty.service.taken)
    alert = await duty.world.raise_alert()
    await duty.work()
    assert await duty.became(alert) == []
    assert len(duty.service.taken) == before


async def test_a_browser_is_of_who_signed_in_last_and_no_other_can_end_it(duty: Duty) -> None:
    zhao = await duty.world.person("zhao")
    await duty.subscribe(duty.li, duty.browser)
    await zhao.post("/api/v1/push/subscriptions/end", json={"endpoint": duty.browser.endpoint})
    async with duty.world.pool.connection() as connection:
        assert await push.accounts(connection) == {"li"}
    await duty.subscribe(zhao, duty.browser)
    async with duty.world.pool.connection() as connection:
        assert await push.accounts(connection) == {"zhao"}
    await zhao.post("/api/v1/push/subscriptions/end", json={"endpoint": duty.browser.endpoint})
    async with duty.world.pool.connection() as connection:
        assert await push.accounts(connection) == frozenset()


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254/latest", "https://internal.example/x", "http://127.0.0.1:5432/x"]
)
async def test_no_address_inside_is_ever_sent_to(duty: Duty, endpoint: str) -> None:
    problem(await duty.subscribe(duty.li, Browser(endpoint)), 422)
    assert duty.service.taken == []


async def test_keys_that_are_none_are_refused(duty: Duty) -> None:
    for keys in (
        {"p256dh": "AAAA", "auth": "AAAA"},
        {"p256dh": encoded(b"\x04" + bytes(64)), "auth": "A" * 22},
    ):
        body = {"endpoint": duty.browser.endpoint, "keys": keys}
        problem(await duty.li.post("/api/v1/push/subscriptions", json=body), 422)


async def test_where_it_is_not_set_up_there_is_no_key_and_no_subscription(world: World) -> None:
    li = await world.person("li")
    assert (await li.get("/api/v1/push")).json() == {"key": None}
    body = {"endpoint": "https://fcm.googleapis.com/x", "keys": {"p256dh": "AAAA", "auth": "AAAA"}}
    problem(await li.post("/api/v1/push/subscriptions", json=body), 503)


async def test_a_colleague_who_is_asked_to_take_over_is_told_in_their_browser_too(duty: Duty) -> None:
    zhao = await duty.world.person("zhao")
    await duty.subscribe(duty.li, duty.browser)
    alert = await duty.world.raise_alert()
    await zhao.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    await duty.work()
    await zhao.post(f"/api/v1/alerts/{alert}/offers", json={"account": "li"})
    await duty.work()
    assert "请接手" in duty.told()[-1]["title"]
