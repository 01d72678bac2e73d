"""The console in a real browser (Debian's Chromium), against the application on a real database.

The application runs in a thread of its own, since Playwright's simple interface wants the test
to be synchronous.  It is started once a module; each test begins with the same small registry.  Screenshots go to `var/screenshots`, which is not committed.
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

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg.sql import SQL, Identifier

from api.auth import COOKIE
from api.escalation.push import Pusher
from api.escalation.webpush import Sender
from tests.browser import PushService, push_service
from tests.conftest import REPOSITORY, lacking
from tests.integration.api.conftest import PASSWORD, REGISTRY, World, serving
from tests.integration.api.test_evidence import ISSUER
from vigil.clock import utc_now
from vigil.runtime import retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from uuid import UUID

    from playwright.sync_api import Browser, BrowserContext, Page

    from vigil.store.pool import Connection

T = TypeVar("T")
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
]
PUSH_KEY = ec.generate_private_key(ec.SECP256R1())
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
        """Return the board of somebody who has come in."""
        client = self.do(self.world.person(account, role))
        context = self.context(language, size)
        context.add_cookies([{"name": COOKIE, "value": client.cookies[COOKIE], "url": self.world.url}])
        page = self.watched(context)
        page.goto(f"{self.world.url}/")
        page.wait_for_selector("#pulse[data-state=live]")
        return page

    def watched(self, context: BrowserContext) -> Page:
        """Return a new page; what its browser complains of fails the test."""
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        return page

    def come(self, context: BrowserContext, account: str) -> Page:
        """Return the first page of somebody who comes in by the form."""
        page = self.watched(context)
        page.goto(f"{self.world.url}/")
        page.fill("[name=account]", account)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
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


@dataclass
class Application:
    """The application of a module: one database and one server, emptied between its tests."""

    world: World
    loop: asyncio.AbstractEventLoop
    over: asyncio.Event
    kept: frozenset[str]
    service: PushService
    pusher: Pusher

    async def empty(self) -> None:
        """Put the data back to where every test begins: nothing but the small registry.

        The application goes on meanwhile; where the two hold each other up, the database ends one of them.
        """
        await retrying(self._empty)
        self.world.sent.clear()
        self.world.broken.clear()

    async def _empty(self) -> None:
        async with self.world.pool.transaction() as connection:
            gone = {name for name in await filled(connection) - self.kept if not name.startswith("audit_")}
            if gone:  # what is in the audit log stays as it is
                names = SQL(", ").join(map(Identifier, sorted(gone)))
                await connection.execute(SQL("TRUNCATE {} CASCADE").format(names))
            await connection.execute(REGISTRY)


async def filled(connection: Connection) -> frozenset[str]:
    """Name the tables that hold anything."""
    cursor = await connection.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace"
    )
    tables = [name for (name,) in await cursor.fetchall()]
    parts = [SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(t, Identifier(t)) for t in tables]
    return frozenset(
        name for (name,) in await (await connection.execute(SQL(" UNION ALL ").join(parts))).fetchall()
    )


@pytest.fixture(scope="module")
def application(shared_database: str) -> Iterator[Application]:
    """The application, in a thread of its own, for all tests of a module."""
    started: Future[Application] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(shared_database, started)), name="application"
    )
    thread.start()
    found = started.result(30)
    yield found
    found.loop.call_soon_threadsafe(found.over.set)
    thread.join(30)


@pytest.fixture
def console(application: Application, browser: Browser) -> Iterator[Console]:
    """The console; a complaint of the browser (script error, blocked by policy) fails the test."""
    world = application.world
    console = Console(world, application.loop, browser)
    console.do(application.empty())
    url = world.url
    try:
        yield console
        assert console.complaints == []
    finally:
        world.url = url
        console.pages.close()
        console.do(world.clients.aclose())


async def _serve(database: str, started: Future[Application]) -> None:
    over = asyncio.Event()
    try:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            kept = await filled(connection)
        async with push_service() as service:
            pusher = Pusher(Sender(PUSH_KEY, "mailto:ops@example.org"), frozenset({service.origin}))
            async with serving(database, utc_now, issuer=ISSUER, pusher=pusher) as world:
                loop = asyncio.get_running_loop()
                started.set_result(Application(world, loop, over, kept, service, pusher))
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
