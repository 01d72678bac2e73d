"""`python -m tests.bench.board`: the board's memory in a real browser through 10,000 alerts.

Two nights: one in which alerts come and are closed again, a hundred open at any time, and one in which
10,000 are open at once.  Measured is what the page itself takes: JavaScript's heap (DevTools'
`JSHeapUsedSize`, after a collection), what the browser attributes to the page with its DOM
(`measureUserAgentSpecificMemory`, where it can be had), and DOM nodes.  At the end a critical alert
still has to be on the board within a second.  The last line is JSON; QUICK=1 takes 1,000 alerts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from playwright.async_api import async_playwright

from api.auth import COOKIE
from deploy.embedded.servers import EmbeddedStack
from tests.console.conftest import ARGUMENTS, CHROMIUM, DESK
from tests.integration.api.conftest import detection, serving
from vigil.alerts import Action, Outcome, Priority, Step
from vigil.clock import utc_now
from vigil.events import derived_id
from vigil.store import alerts
from vigil.store.alerts import NewAlert
from vigil.store.detections import insert_detections
from vigil.store.migrations import migrate

if TYPE_CHECKING:
    from uuid import UUID

    from playwright.async_api import CDPSession, Page

    from tests.integration.api.conftest import World

GOAL_MB: Final = 50
BATCH: Final = 100
"""Alerts raised, and closed, in one transaction."""
OPEN: Final = 100
OTHERS: Final = 1_000_000
"""Numbers from here on: none of them is one that `World.raise_alert` gives."""
_URGENCY: Final = (Priority.HIGH, Priority.MEDIUM, Priority.MEDIUM, Priority.TROUBLE)


async def raise_batch(world: World, first: int) -> list[UUID]:
    """Raise alerts of different residents; every fourth is more urgent."""
    now = world.clock()
    found = [
        detection(n, f"resident:{n}", "fall", "e1", "r1", None, now)
        for n in range(OTHERS + first, OTHERS + first + BATCH)
    ]
    new = [
        NewAlert(
            id=derived_id("alert", one.id),
            subject=one.subject,
            kind="fall",
            priority=_URGENCY[n % len(_URGENCY)],
            estate="e1",
            zone="z1",
            resident="r1",
            event_time=now,
            summary=one.explanation,
            synthetic=None,
            detection=one.id,
        )
        for n, one in enumerate(found)
    ]
    async with world.pool.transaction() as connection:
        await insert_detections(connection, found)
        raised = await alerts.raise_alerts(connection, new, now)
    return list(raised.values())


async def close_all(world: World, which: list[UUID]) -> None:
    """Close alerts as an officer does."""
    step = Step(Action.RESOLVE, "person:li", outcome=Outcome.FALSE)
    async with world.pool.transaction() as connection:
        for alert in which:
            now = await alerts.get(connection, alert, lock=True)
            await alerts.apply(connection, alert, now.version, step, world.clock())


async def seen(page: Page, count: int) -> None:
    """Wait until the board knows so many waiting alerts."""
    words = str(count) if count else ""
    wait = "words => document.querySelector('[data-count=waiting]').textContent === words"
    await page.wait_for_function(wait, arg=words, timeout=120_000)


async def memory(page: Page, devtools: CDPSession) -> dict[str, float | None]:
    """Return what the page takes now, in MB, and how many nodes it has."""
    for _ in range(3):
        await devtools.send("HeapProfiler.collectGarbage")
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    named = {one["name"]: one["value"] for one in metrics}
    whole = await page.evaluate(
        "self.crossOriginIsolated ? performance.measureUserAgentSpecificMemory().then(m => m.bytes) : null"
    )
    return {
        "heap_mb": round(named["JSHeapUsedSize"] / 1e6, 1),
        "page_mb": round(whole / 1e6, 1) if whole else None,
        "nodes": named["Nodes"],
    }


async def nights(world: World, page: Page, count: int) -> dict[str, Any]:
    """Let both nights pass, and measure after each."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    found: dict[str, Any] = {"begin": await memory(page, devtools)}
    standing: list[UUID] = []
    for first in range(0, count, BATCH):
        standing += await raise_batch(world, first)
        while len(standing) > OPEN:
            await close_all(world, standing[:BATCH])
            del standing[:BATCH]
        await seen(page, len(standing))
    found["passed"] = await memory(page, devtools)
    for first in range(count, 2 * count - len(standing), BATCH):
        standing += await raise_batch(world, first)
    await seen(page, len(standing))
    found["open"] = await memory(page, devtools)
    found["still_live_s"] = await still_live(world, page)
    return found


async def still_live(world: World, page: Page) -> float:
    """Return how long a critical alert takes to the banner of a board that is full."""
    begun = asyncio.get_running_loop().time()
    await world.raise_alert()
    await page.wait_for_selector("#banner:not([hidden])", timeout=60_000)
    return round(asyncio.get_running_loop().time() - begun, 2)


async def measure(dsn: str, count: int) -> dict[str, Any]:
    """Serve the application, open the board in Chromium, and let the nights pass."""
    async with serving(dsn, utc_now) as world, async_playwright() as playwright:
        li = await world.person("li")
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            context = await browser.new_context(viewport=DESK, locale="zh-CN")  # type: ignore[arg-type]  # a plain dict is one
            cookie: Any = {"name": COOKIE, "value": li.cookies[COOKIE], "url": world.url}
            await context.add_cookies([cookie])
            page = await context.new_page()
            await page.goto(f"{world.url}/")
            await page.wait_for_selector("#pulse[data-state=live]")
            return await nights(world, page, count)
        finally:
            await browser.close()


def main() -> int:
    """Measure; returns 1 where the goal was missed."""
    count = 1000 if os.environ.get("QUICK") else 10_000
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder, EmbeddedStack(Path(folder)) as stack:
        asyncio.run(_prepare(stack.postgres.dsn))
        found = asyncio.run(measure(stack.postgres.dsn, count))
    most = max(one["page_mb"] or one["heap_mb"] for name, one in found.items() if isinstance(one, dict))
    print(json.dumps({"alerts": count, **found, "board_mb": most, "goal_mb": GOAL_MB}))
    return int(most > GOAL_MB)


async def _prepare(dsn: str) -> None:

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await migrate(connection)


if __name__ == "__main__":
    sys.exit(main())
