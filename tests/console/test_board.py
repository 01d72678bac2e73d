"""The board as an officer meets it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import PHONE
from vigil.alerts import Priority
from vigil.store import drills
from vigil.store.drills import DrillRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration


def card(page: Page, alert: object) -> Any:
    return page.locator(f'.card[data-id="{alert}"]')


def test_a_quiet_board_says_that_all_is_quiet(console: Console, picture: Callable[[Page, str], None]) -> None:
    page = console.sign_in("li")
    expect(page.get_by_text("All quiet", exact=True)).to_be_visible()
    expect(page).to_have_title(re.compile("All quiet"))
    picture(page, "board-quiet")


def test_a_new_critical_alert_cannot_be_missed(
    console: Console, picture: Callable[[Page, str], None]
) -> None:
    page = console.sign_in("li")
    page.click("#sound")
    alert = console.raise_alert()
    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#banner")).to_contain_text("Fall · 王秀英")
    expect(page).to_have_title(re.compile("‼ Fall"))
    expect(card(page, alert).locator(".label.new")).to_be_visible()
    expect(page.locator("#sound")).to_have_text("Sound is on")
    picture(page, "board-new")


def test_an_old_critical_alert_does_not_look_like_a_new_one(console: Console) -> None:
    old = console.raise_alert()
    with_age = "UPDATE alert SET raised_at = raised_at - interval '10 minutes'"
    console.do(execute(console, with_age))
    page = console.sign_in("li")
    expect(page.locator("#banner")).to_be_hidden()
    expect(card(page, old).locator(".label.new")).to_have_count(0)
    expect(card(page, old)).to_have_attribute("data-late", "true")
    expect(card(page, old).locator(".age")).to_contain_text("10 min")


async def execute(console: Console, statement: str) -> None:
    async with console.world.pool.connection() as connection:
        await connection.execute(statement.encode())


def test_what_is_less_than_critical_comes_without_a_banner(console: Console) -> None:
    page = console.sign_in("li")
    alert = console.raise_alert(priority=Priority.HIGH)
    expect(card(page, alert)).to_be_visible()
    expect(page.locator("#banner")).to_be_hidden()


def test_an_officer_takes_attends_and_closes_by_keyboard_alone(console: Console) -> None:
    page = console.sign_in("li")
    alert = console.raise_alert()
    expect(page.locator("#banner")).to_be_visible()
    page.keyboard.press("t")
    expect(page.locator(f'#held .card[data-id="{alert}"]')).to_contain_text("you")
    expect(page.locator("#banner")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(card(page, alert)).to_have_attribute("data-state", "attending")
    page.keyboard.press("r")
    page.keyboard.press("2")
    expect(card(page, alert)).to_have_count(0)
    expect(page.get_by_text("All quiet", exact=True)).to_be_visible()


def test_two_officers_race_and_the_second_is_told_who_has_it(console: Console) -> None:
    li, zhao = console.sign_in("li"), console.sign_in("zhao")
    alert = console.raise_alert()
    expect(card(zhao, alert)).to_be_visible()

    def after_li(route: Route) -> None:  # the second page has not yet heard of the first one's step
        take(li, alert)
        route.continue_()

    zhao.route("**/acknowledge", after_li)
    card(zhao, alert).focus()
    zhao.keyboard.press("t")
    expect(zhao.locator(".notice.bad")).to_have_text("Li has it already")
    expect(zhao.locator(f'#held .card[data-id="{alert}"]')).to_contain_text("Li")
    console.complaints[:] = [c for c in console.complaints if "409" not in c]


def take(page: Page, alert: object) -> None:
    card(page, alert).focus()
    page.keyboard.press("t")
    expect(page.locator(f'#held .card[data-id="{alert}"]')).to_be_visible()


def test_what_another_officer_does_is_seen_without_loading_anew(console: Console) -> None:
    li, zhao = console.sign_in("li"), console.sign_in("zhao")
    alert = console.raise_alert()
    expect(card(zhao, alert)).to_be_visible()
    take(li, alert)
    expect(zhao.locator(f'#held .card[data-id="{alert}"]')).to_contain_text("Li")
    expect(zhao.locator("#banner")).to_be_hidden()


def test_a_cut_connection_misses_no_alert(console: Console) -> None:
    page = console.sign_in("li")
    console.raise_alert()
    expect(page.locator(".card")).to_have_count(1)
    page.context.set_offline(True)
    missed = [console.raise_alert() for _ in range(3)]
    console.do(drop_sessions(console))
    page.context.set_offline(False)
    for alert in missed:
        expect(card(page, alert)).to_be_visible(timeout=15_000)
    console.complaints.clear()  # the cut itself


async def drop_sessions(console: Console) -> None:
    for session in list(console.world.hub._sessions):
        session.end()


def test_demo_alerts_page_like_the_real_thing_and_say_what_they_are(console: Console) -> None:
    page = console.sign_in("li")
    alert = console.raise_alert(synthetic="demo")
    expect(page.locator("#banner .label.synthetic")).to_have_text("Demo")
    expect(card(page, alert).locator(".label.synthetic")).to_have_text("Demo")


def test_a_drills_alert_pulls_nobody_unless_a_drill_is_on_in_its_estate(console: Console) -> None:
    page = console.sign_in("li")
    asked = "**/api/v1/drills"  # each time that a drill's alert comes; the answer is of that moment
    with page.expect_response(asked):
        outside = console.raise_alert(synthetic="drill")
    expect(card(page, outside).locator(".label.synthetic")).to_have_text("Drill")
    console.do(begin_drill(console, "e2"))
    with page.expect_response(asked):
        elsewhere = console.raise_alert(synthetic="drill")
    expect(card(page, elsewhere)).to_be_visible()
    console.do(begin_drill(console, "e1"))
    console.raise_alert(synthetic="drill")
    expect(page.locator("#banner .label.synthetic")).to_have_text("Drill")
    # Were the first two still asked about, or pulling, the banner would count them.
    expect(page.locator("#banner .more")).to_have_count(0)


async def begin_drill(console: Console, estate: str) -> None:
    now = console.world.clock()
    row = DrillRow(
        *(f"w-{estate}", estate, "component", "Kafka gone", now, now + timedelta(minutes=30)),
        ended_at=None,
        made_by="li",
        made_at=now,
    )
    async with console.world.pool.connection() as connection:
        await drills.put(connection, row)


def test_a_drills_alert_pulls_when_nobody_can_say_whether_a_drill_is_on(console: Console) -> None:
    page = console.sign_in("li")
    page.route("**/api/v1/drills", lambda route: route.abort())
    console.raise_alert(synthetic="drill")
    expect(page.locator("#banner .label.synthetic")).to_have_text("Drill")
    console.complaints.clear()  # the cut itself


def test_a_canary_is_never_shown_to_people(console: Console) -> None:
    page = console.sign_in("li")
    canary = console.raise_alert("canary:e1", synthetic="canary", resident=None)
    fall = console.raise_alert()
    expect(card(page, fall)).to_be_visible()
    expect(card(page, canary)).to_have_count(0)


def test_a_role_that_may_not_know_people_sees_no_names_and_no_buttons(console: Console) -> None:
    page = console.sign_in("ops", role="ops")
    alert = console.raise_alert()
    expect(card(page, alert)).to_be_visible()
    assert "王秀英" not in page.content()
    expect(card(page, alert).locator("button")).to_have_count(0)


def test_a_tap_under_a_card_that_has_just_moved_is_not_taken(console: Console) -> None:
    page = console.sign_in("li")
    below = console.raise_alert(priority=Priority.MEDIUM)
    button = card(page, below).locator('[data-action="acknowledge"]')
    expect(button).to_be_visible()
    page.evaluate("performance.now = () => 1e9")  # time stands still: the card has moved just now
    console.raise_alert(priority=Priority.HIGH)
    expect(page.locator("#waiting .card")).to_have_count(2)
    button.click()
    expect(card(page, below)).to_have_attribute("data-state", re.compile("raised|delivered"))
    page.evaluate("performance.now = () => 2e9")
    button.click()
    expect(card(page, below)).to_have_attribute("data-state", "acknowledged")


def test_three_hundred_alerts_are_still_a_board(
    console: Console, picture: Callable[[Page, str], None]
) -> None:
    for n in range(300):
        console.raise_alert(f"resident:{n}", priority=(Priority.MEDIUM, Priority.HIGH)[n % 10 == 0])
    page = console.sign_in("li")
    expect(page.locator("#waiting .card")).to_have_count(300)
    urgent = console.raise_alert()
    expect(page.locator("#waiting .card").first).to_have_attribute("data-id", str(urgent))
    picture(page, "board-300")


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_on_a_phone_everything_fits_and_can_be_tapped(
    console: Console, language: str, picture: Callable[[Page, str], None]
) -> None:
    page = console.sign_in("li", language=language, size=PHONE)
    alert = console.raise_alert()
    expect(page.locator("#banner")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for button in card(page, alert).locator("button, a").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    picture(page, f"phone-{language[:2]}")
    page.locator("#banner .primary").click()
    expect(page.locator(f'#held .card[data-id="{alert}"]')).to_be_visible()


def test_an_alerts_page_says_why_and_follows_what_becomes_of_it(
    console: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = console.raise_alert()
    page = console.sign_in("li")
    page.goto(f"{console.world.url}/alerts/{alert}")
    expect(page.locator(".why .sentence")).to_have_text("Hard impact")
    expect(page.locator(".resident")).to_contain_text("王秀英")
    expect(page.locator(".call")).to_have_attribute("href", "tel:13900000001")
    page.keyboard.press("t")
    expect(page.locator(".history .acknowledge")).to_contain_text("Li")
    picture(page, "alert")


def test_the_chosen_language_and_colours_stay(console: Console, picture: Callable[[Page, str], None]) -> None:
    console.raise_alert()
    page = console.sign_in("li")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_text("等待接手")).to_be_visible()
    page.get_by_role("button", name="日间配色").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "day")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    picture(page, "board-day")


def test_a_page_that_hears_nothing_says_so_and_then_sends_people_to_paper(console: Console) -> None:
    page = console.sign_in("li")
    page.context.set_offline(True)
    console.do(drop_sessions(console))
    page.evaluate("const real = Date.now; Date.now = () => real() + 20_000")
    expect(page.locator("#pulse")).to_have_attribute("data-state", "late")
    expect(page.locator("#lost")).to_be_hidden()
    page.evaluate("const now = Date.now; Date.now = () => now() + 30_000")
    expect(page.locator("#lost")).to_contain_text("paper procedure")
    console.complaints.clear()  # the cut itself


def test_a_wrong_password_is_answered_in_words(
    console: Console, picture: Callable[[Page, str], None]
) -> None:
    page = console.context().new_page()
    page.goto(f"{console.world.url}/")
    page.fill("[name=account]", "li")
    page.fill("[name=password]", "wrong")
    page.press("[name=password]", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    picture(page, "login")


def test_nothing_is_loaded_from_anywhere_else_and_the_first_load_is_small(console: Console) -> None:
    console.raise_alert()
    page = console.sign_in("li")
    loaded: list[tuple[str, int]] = []
    page.on("response", lambda r: loaded.append((r.url, int(r.headers.get("content-length", "0")))))
    page.reload()
    page.wait_for_selector("#pulse[data-state=live]")
    assert all(url.startswith(console.world.url) for url, _ in loaded)
    assert sum(size for _, size in loaded) <= 200_000
