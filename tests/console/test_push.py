"""Web Push in a real browser: turned on with a tap, shown by the service worker, and "delivered" when it is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from api.escalation.webpush import encoded
from api.escalation.worker import Escalator
from tests.browser import Browser
from tests.integration.api.conftest import LINK_KEY, Outbox
from vigil.store import escalation, push

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

    from tests.console.conftest import Application, Console

pytestmark = pytest.mark.integration
SUBSCRIBES = """
    const made = {endpoint: "%s", toJSON: () => ({endpoint: "%s", keys: {p256dh: "%s", auth: "%s"}}),
                  unsubscribe: async () => true};
    PushManager.prototype.subscribe = async () => made;
"""
"""The browser's own push service is not to be reached from here; all else is the browser's."""


async def prepare(console: Console) -> None:
    world = console.world
    async with world.pool.connection() as connection:
        await escalation.add_shift(
            connection, "li", "officer", world.clock(), world.clock() + timedelta(hours=9)
        )
        await escalation.put_contact(connection, "li", 0, "message", "message://li", world.clock())


async def subscribed(console: Console) -> frozenset[str]:
    async with console.world.pool.connection() as connection:
        return await push.accounts(connection)


async def work(worker: Escalator) -> None:
    while await worker.plan_one() or await worker.send_one():
        pass


def registration(page: Page, devtools: CDPSession) -> str:
    """Return the browser's id of the page's service worker, which its devtools tell in their own time."""
    found: list[dict[str, Any]] = []
    devtools.on("ServiceWorker.workerRegistrationUpdated", lambda told: found.extend(told["registrations"]))
    devtools.send("ServiceWorker.enable")
    while not found:
        page.wait_for_timeout(20)
    return str(found[-1]["registrationId"])


def test_a_notice_is_turned_on_shown_delivered_and_turned_off_again(
    console: Console, application: Application
) -> None:
    browser = Browser(f"{application.service.origin}/push/li")
    keys = (browser.endpoint, browser.endpoint, encoded(browser.p256dh), encoded(browser.auth))
    page = console.sign_in("li")
    page.context.grant_permissions(["notifications"])
    page.add_init_script(SUBSCRIBES % keys)
    page.reload()
    console.do(prepare(console))
    button = page.locator("#push")
    expect(button).to_have_text("Notices on this device — turn on")
    button.click()
    expect(button).to_have_attribute("data-on", "true")
    assert console.do(subscribed(console)) == {"li"}

    alert = console.raise_alert()
    world = console.world
    worker = Escalator(world.pool, Outbox(), world.clock, LINK_KEY, world.url, pusher=application.pusher)
    console.do(work(worker))
    _, _, body = application.service.taken[-1]
    told = browser.read(body).decode()
    devtools = page.context.new_cdp_session(page)
    facts = {"origin": world.url, "registrationId": registration(page, devtools), "data": told}
    devtools.send("ServiceWorker.deliverPushMessage", facts)
    shown = "async () => (await (await navigator.serviceWorker.ready).getNotifications()).map((n) => [n.title, n.data])"
    page.wait_for_function(f"({shown})().then((all) => all.length > 0)")
    assert page.evaluate(shown) == [[json.loads(told)["title"], str(alert)]]

    async def delivered() -> bool:
        async with world.pool.connection() as connection:
            found = await escalation.notices_of(connection, alert)
        return any(one.channel == "push" and one.delivered_at for one in found)

    page.goto(f"{world.url}/alerts/{alert}")
    expect(page.locator('.notice-line[data-came="delivered"]')).to_contain_text("browser notice")
    assert console.do(delivered())
