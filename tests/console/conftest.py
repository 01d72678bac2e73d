"""The console in a real browser (Debian's Chromium), against the application on a real database.

The application runs in a thread of its own, since Playwright's simple interface wants the test
to be synchronous.  Screenshots go to `var/screenshots`, which is not committed.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.conftest import REPOSITORY, lacking
from tests.integration.api.conftest import PASSWORD, World, serving
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from uuid import UUID

    from playwright.sync_api import Browser, BrowserContext, Page

T = TypeVar("T")
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
]
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Console:
    """The application, seen from a synchronous test."""

    world: World
    loop: asyncio.AbstractEventLoop
    browser: Browser
    pages: ExitStack = field(default_factory=ExitStack)
    complaints: list[str] = field(default_factory=list)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the application's loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(30)

    def raise_alert(self, subject: str | None = None, **facts: Any) -> UUID:
        """Raise an alert as the processors do."""
        return self.do(self.world.raise_alert(subject, **facts))

    def context(self, language: str = "en-GB", size: dict[str, int] | None = None) -> BrowserContext:
        """Return a browser of its own, with its own cookies."""
        context = self.browser.new_context(locale=language, viewport=size or DESK)  # type: ignore[arg-type]  # a plain dict is one
        self.pages.callback(context.close)
        return context

    def sign_in(
        self,
        account: str,
        *,
        role: str = "duty_officer",
        language: str = "en-GB",
        size: dict[str, int] | None = None,
    ) -> Page:
        """Return the board of somebody who has come in by the form."""
        self.do(self.world.person(account, role))
        page = self.context(language, size).new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.goto(f"{self.world.url}/")
        page.fill("[name=account]", account)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_selector("#pulse[data-state=live]")
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: while it is there, no other event loop can run in this thread."""
    if not Path(CHROMIUM).exists():
        lacking(f"{CHROMIUM} is not installed (apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def console(database: str, browser: Browser) -> Iterator[Console]:
    """The console; a complaint of the browser (script error, blocked by policy) fails the test."""
    started: Future[tuple[World, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(database, started)), name="application")
    thread.start()
    world, loop, over = started.result(30)
    console = Console(world, loop, browser)
    try:
        yield console
        assert console.complaints == []
    finally:
        console.pages.close()
        loop.call_soon_threadsafe(over.set)
        thread.join(30)


async def _serve(
    database: str, started: Future[tuple[World, asyncio.AbstractEventLoop, asyncio.Event]]
) -> None:
    over = asyncio.Event()
    try:
        async with serving(database, utc_now) as world:
            started.set_result((world, asyncio.get_running_loop(), over))
            await over.wait()
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


@pytest.fixture(scope="session")
def picture() -> Callable[[Page, str], None]:
    """Keep a screenshot under a name."""
    folder = REPOSITORY / "var" / "screenshots"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return keep
