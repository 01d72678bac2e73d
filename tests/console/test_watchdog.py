"""The platform is killed: the page says so, becomes the fallback sheet, and what was noted arrives."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.integration.api.test_process import environment, free_port
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration


class Platform:
    """`python -m api`, to be killed and started again at the same address."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            env=environment(self._database, self._port),
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/login")
                return
            time.sleep(0.05)
        raise AssertionError("python -m api does not answer")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def platform(shared_database: str, console: Console) -> Iterator[Platform]:
    platform = Platform(shared_database)
    console.world.url = platform.url
    yield platform
    platform.kill()


AHEAD = "const before = Date.now; Date.now = () => before() + {ms}"


def later(page: Page, seconds: int) -> None:
    """Let the page's clock run ahead."""
    page.evaluate(AHEAD.format(ms=seconds * 1000))


def kept(page: Page) -> None:
    expect(page.locator("#paper")).to_have_attribute("data-state", "kept")


def test_the_killed_platform_turns_the_page_into_the_sheet_and_what_is_noted_arrives(
    console: Console, platform: Platform, picture: Callable[[Page, str], None]
) -> None:
    page = console.sign_in("li")
    kept(page)
    platform.kill()
    later(page, 20)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "late")
    expect(page.locator("#sheet")).to_have_count(0)
    later(page, 30)
    expect(page.locator("#sheet h1")).to_be_visible()
    expect(page.locator("#lost")).to_contain_text("paper procedure")
    expect(page.locator("#sheet")).to_contain_text("王秀英")
    assert page.pdf()[:5] == b"%PDF-"
    row = page.locator('[data-resident="r1"]')
    row.locator("input").fill("opened the door herself")
    row.get_by_role("button", name="Well", exact=True).click()
    expect(row.locator(".said")).to_contain_text("to be sent")
    picture(page, "fallback-sheet")
    platform.start()
    expect(row.locator(".said")).to_have_text(re.compile("· sent"))
    expect(page.locator("#lost")).to_contain_text("The platform is back")
    assert noted(console) == [("r1", "well", "opened the door herself", "person:li")]
    page.get_by_role("button", name="Back to the live page").click()
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    page.goto(f"{console.world.url}/sheet/notes")
    expect(page.get_by_role("cell", name="王秀英")).to_be_visible()
    picture(page, "sheet-notes")
    console.complaints.clear()  # the cut itself


def noted(console: Console) -> list[Any]:
    async def read() -> list[Any]:
        async with console.world.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT resident, what, note, actor FROM sheet_note ORDER BY id"
            )
            return await cursor.fetchall()

    return console.do(read())


def test_a_page_loaded_anew_while_the_platform_is_dead_is_the_sheet_and_keeps_its_notes(
    console: Console, platform: Platform, picture: Callable[[Page, str], None]
) -> None:
    page = console.sign_in("li", language="zh-CN")
    kept(page)
    platform.kill()
    page.reload()
    expect(page.get_by_role("heading", name="应急单")).to_be_visible()
    expect(page.locator("#platform")).to_have_attribute("data-there", "false")
    page.locator('[data-resident="r1"]').get_by_role("button", name="无应答").click()
    page.fill("#free-note input", "电梯停了")
    page.press("#free-note input", "Enter")
    page.reload()
    expect(page.locator("#noted li")).to_have_count(2)
    picture(page, "fallback-sheet-zh")
    platform.start()
    expect(page.locator('#noted li[data-state="sent"]')).to_have_count(2)
    assert [row[1] for row in noted(console)] == ["no_answer", "note"]
    console.complaints.clear()  # the cut itself


def test_a_server_that_does_not_hear_its_database_counts_as_gone(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = console.sign_in("li")
    kept(page)
    monkeypatch.setattr(console.world.hub, "_advance", away)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "trouble")
    later(page, 50)
    expect(page.locator("#sheet h1")).to_be_visible()


async def away(_connection: object) -> bool:
    raise Unavailable("the database", "gone")


def test_signing_out_leaves_no_copy_behind(console: Console) -> None:
    page = console.sign_in("li")
    kept(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("[name=password]")).to_be_visible()
    assert page.evaluate("caches.has('vigil-kept')") is False
