"""A resident's own page in a real browser: large type, by phone, by keyboard, in both languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.console.conftest import PHONE
from tests.console.test_pages import wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration
MINE = """
    INSERT INTO node (id, estate) VALUES ('n1', 'e1');
    INSERT INTO device (id, node, zone, kind) VALUES ('cam', 'n1', 'z1', 'camera'), ('pen', 'n1', NULL, 'pendant');
    INSERT INTO assignment (device, resident) VALUES ('cam', 'r1'), ('pen', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by) VALUES
        ('r1', 'fall_detection', true, '1', 'self'), ('r1', 'home_camera', true, '1', 'self'),
        ('r1', 'family_access', true, '1', 'self');
    INSERT INTO access_log (resident, actor, purpose, what, at) VALUES
        ('r1', 'person:li', 'care', 'helpers', now() - interval '3 hours'),
        ('r1', 'robot:x', 'no such reason', 'thing:7', now() - interval '1 hour');
    INSERT INTO account_resident (account, resident, relation, made_by, made_at)
        VALUES ('wang', 'r1', 'self', 'test', now()), ('daughter', 'r1', 'family', 'test', now());
    UPDATE resident SET profile = '{"key_holders": [{"name": "张伟", "phone": "13900000002", "relation": "子"}],
        "note": "听力不好，请多按门铃", "mobility": "wheelchair"}' WHERE id = 'r1';
"""


def come(console: Console, account: str, language: str, theme: str = "day") -> Page:
    """Sign in by the form, on a phone; returns one's own page."""
    context = console.context(language, PHONE)
    context.add_cookies([{"name": "theme", "value": theme, "url": console.world.url}])
    page = console.come(context, account)
    page.wait_for_url("**/me")
    return page


@pytest.fixture
def home(console: Console) -> Console:
    """A resident and a daughter with accounts, an officer who has looked."""

    async def people() -> None:
        await console.world.person("li", "duty_officer")
        await console.world.person("wang", "resident", ("e1",))
        await console.world.person("daughter", "family", ("e1",))
        async with console.world.pool.connection() as connection:
            await connection.execute(MINE.encode())

    console.do(people())
    return console


def test_ones_own_page_is_accessible_fits_a_phone_and_says_everything_in_both_languages(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    seen: list[str] = []
    strangers: list[str] = []
    for account, language, theme in (("wang", "zh-CN", "day"), ("daughter", "en-GB", "night")):
        page = come(home, account, language, theme)
        page.on("request", lambda r: strangers.append(r.url) if home.world.url not in r.url else None)
        page.reload()
        seen += wrong(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('main')).fontSize)") >= 20
        picture(page, f"phone-{language[:2]}-me")
    assert (seen, strangers) == ([], [])


def test_a_withdrawal_by_keyboard_is_confirmed_and_offers_what_helps_instead(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    page = come(home, "wang", "en-GB")
    camera = page.locator("#home_camera")
    camera.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[role=status]")).to_contain_text("no longer agree")
    expect(page.locator("#home_camera .me-instead")).to_contain_text("pendant")
    expect(camera.get_by_role("button", name="I agree")).to_be_visible()
    picture(page, "phone-en-me-withdrawn")


def test_help_is_called_with_one_tap_and_shown_as_open(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    page = come(home, "wang", "zh-CN")
    page.get_by_role("button", name="我需要帮助").click()
    expect(page.locator("[role=status]")).to_contain_text("已呼叫值班人员")
    expect(page.locator("[aria-labelledby=open-title] li")).to_have_count(1)
    picture(page, "phone-zh-me-help")
    page.reload()
    expect(page.locator("[aria-labelledby=open-title] li")).to_have_count(1)

    async def evidence() -> list[tuple[int]]:
        async with home.world.pool.connection() as connection:
            return await (await connection.execute("SELECT evidence FROM alert")).fetchall()

    assert home.do(evidence()) == [(1,)]


def test_a_reported_problem_is_listed_and_a_family_has_nothing_to_change(home: Console) -> None:
    page = come(home, "daughter", "en-GB")
    expect(page.locator("#home_camera button")).to_have_count(0)
    expect(page.get_by_role("button", name="I am fine")).to_have_count(0)
    page.select_option("[name=kind]", "light")
    page.fill("[name=words]", "The lamp on the second floor is out")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[aria-labelledby=report-title] li")).to_contain_text("second floor")
