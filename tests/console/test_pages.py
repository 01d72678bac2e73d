"""The pages beside the board: they open, fit a phone, speak both languages, and are accessible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.conftest import PHONE
from vigil.alerts import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration

PAGES = (
    *("/", "/round", "/sheet", "/sheet/notes", "/community", "/community/residents", "/community/devices"),
    *("/community/search?q=王", "/duty", "/street", "/manager", "/manager/devices", "/cases"),
)
LONG = "欧阳" + "明" * 40
COMMUNITY = """
    UPDATE estate SET name = '阳光家园一区（含地铁站北侧新建三期）' WHERE id = 'e1';
    INSERT INTO zone (id, estate, name, building, floor, x_m, y_m)
        SELECT 'p' || n, 'e1', n % 4 + 1 || '单元 ' || n, n / 4 + 1 || '号楼', n % 6 + 1, n * 13 % 200, n * 29 % 140
        FROM generate_series(1, 40) n;
    INSERT INTO resident (id, estate, home, name, phone, flagged, risk, profile)
        SELECT 'p' || n, 'e1', 'p' || n, '居民' || n, '1380000' || (1000 + n), true, n % 3 + 1,
               '{"key_holders": [{"name": "张伟", "phone": "13900000002", "relation": "子"}]}'
        FROM generate_series(1, 40) n;
    UPDATE resident SET name = '欧阳' || repeat('明', 40) WHERE id = 'p3';
    INSERT INTO node (id, estate, online, seen_at) VALUES ('n1', 'e1', true, now()), ('n2', 'e1', false, now());
    INSERT INTO device (id, node, zone, kind) SELECT 'w' || n, 'n' || n % 2 + 1, 'p' || n, 'wearable'
        FROM generate_series(1, 30) n;
    INSERT INTO beat (account, estate, building) VALUES ('li', 'e1', '2号楼');
    INSERT INTO device (id, node, zone, kind) VALUES ('cam-1', 'n1', 'z1', 'camera'), ('cam-2', 'n1', 'z1', 'camera');
    INSERT INTO device_condition (device, node, at, received_at, clock, data) VALUES
        ('n1', 'n1', now(), now(), 'holdover', '{"disk_free_mb": 120, "temperature_c": 84, "spool_depth": 4310, "clock_offset_s": 1.4}'),
        ('cam-1', 'n1', now(), now(), 'holdover', '{"trouble": ["frozen"], "last_frame_s": 0.2}'),
        ('cam-2', 'n1', now(), now(), 'holdover', '{"last_frame_s": 0.3, "picture_change": 0.02}'),
        ('w2', 'n1', now(), now(), 'synced', '{"battery_pct": 7}'),
        ('w4', 'n1', now(), now(), 'synced', '{"battery_pct": 88, "worn": false}');
    INSERT INTO access_case (id, kind, estate, about, resident, facts, opened_at, due_at, owner) VALUES
        (md5('1')::uuid, 'break_glass', 'e1', 'person:zhao', 'p3', '{"reason": "Her neighbour rings: she lies behind the door"}',
         now() - interval '25 hours', now() - interval '1 hour', 'li'),
        (md5('2')::uuid, 'bulk', 'e1', 'person:zhao', NULL, '{"count": 214}', now(), now() + interval '24 hours', NULL),
        (md5('3')::uuid, 'off_shift', 'e1', 'person:li', NULL, '{"count": 3}', now(), now() + interval '20 hours', NULL);
    INSERT INTO shift (account, duty, starts_at, ends_at) VALUES
        ('li', 'officer', now() - interval '7 hours', now() + interval '1 hour'),
        ('zhao', 'officer', now() + interval '1 hour', now() + interval '9 hours');
"""


@pytest.fixture
def peopled(console: Console) -> Console:
    """A community with homes, devices, somebody with a very long name, and alerts."""
    console.do(console.world.person("li", "supervisor"))
    console.do(console.world.person("zhao"))

    async def people() -> None:
        async with console.world.pool.connection() as connection:
            await connection.execute(COMMUNITY.encode())

    console.do(people())
    console.raise_alert("resident:p3", resident="p3")
    console.raise_alert(priority=Priority.HIGH)
    return console


def wrong(page: Page) -> Iterator[str]:
    """What axe finds, in words."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    for one in found.response["violations"]:
        where = [(node["target"], node["failureSummary"][:200]) for node in one["nodes"][:2]]
        yield f"{page.url}: {one['id']}: {where}"


def shown(page: Page, url: str) -> None:
    page.goto(url, wait_until="domcontentloaded")
    expect(page.locator("h1").first).to_be_attached()


@pytest.mark.parametrize(("theme", "language"), [("night", "en-GB"), ("day", "zh-CN")])
def test_axe_finds_nothing_on_any_page_by_night_or_by_day(
    peopled: Console, theme: str, language: str, picture: Callable[[Page, str], None]
) -> None:
    page = peopled.sign_in("li", role="supervisor", language=language)
    page.context.add_cookies([{"name": "theme", "value": theme, "url": peopled.world.url}])
    found: list[str] = []
    for path in PAGES:
        shown(page, peopled.world.url + path)
        found += wrong(page)
        name = path.partition("?")[0].strip("/").replace("/", "-") or "board"
        picture(page, f"desk-{language[:2]}-{name}")
    assert found == []


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_every_page_fits_a_phone(
    peopled: Console, language: str, picture: Callable[[Page, str], None]
) -> None:
    page = peopled.sign_in("li", role="supervisor", language=language, size=PHONE)
    too_wide = []
    for path in PAGES:
        shown(page, peopled.world.url + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        too_wide += [(path, width)] if width > PHONE["width"] else []
        name = path.partition("?")[0].strip("/").replace("/", "-") or "board"
        picture(page, f"phone-{language[:2]}-{name}")
    assert too_wide == []


def test_who_is_not_protected_is_named_first_and_found_by_name(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    page.goto(f"{peopled.world.url}/community/residents")
    expect(page.locator("tbody tr").first).not_to_contain_text("Covered")
    page.fill("[name=q]", LONG)
    page.press("[name=q]", "Enter")
    expect(page.locator(".my-doors li")).to_have_count(1)


def test_no_building_of_the_plan_covers_another_and_the_unprotected_are_counted(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    page.goto(f"{peopled.world.url}/community")
    boxes = [box for r in page.locator(".spot rect").all() if (box := r.bounding_box())]
    assert len(boxes) > 10
    for n, one in enumerate(boxes):
        for other in boxes[n + 1 :]:
            apart = abs(one["x"] - other["x"]) >= one["width"], abs(one["y"] - other["y"]) >= one["height"]
            assert any(apart)
    expect(page.locator('.spot[data-gap="yes"]').first).to_be_visible()
    expect(page.locator(".plan")).to_contain_text("unprotected")


def test_pages_say_so_where_there_is_nothing(console: Console) -> None:
    page = console.sign_in("li", role="supervisor")
    page.goto(f"{console.world.url}/round")
    expect(page.get_by_text("Nothing is asked of you now.")).to_be_visible()
    page.goto(f"{console.world.url}/sheet/notes")
    expect(page.get_by_text("Nothing was noted on a fallback sheet.")).to_be_visible()


def test_the_figures_are_to_be_had_as_a_table(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    text = page.context.request.get(f"{peopled.world.url}/manager.csv?days=30").text()
    assert "\nalerts,,2" in text.replace("\r", "")


def test_a_grid_workers_outcome_waits_without_signal_and_arrives_afterwards(
    peopled: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = peopled.raise_alert("resident:p1", resident="p1")
    page = peopled.sign_in("chen", role="grid_worker", size=PHONE)

    async def give() -> None:
        officer = await peopled.world.person("zhao")
        answer = await officer.post(f"/api/v1/alerts/{alert}/tasks", json={"account": "chen"})
        assert answer.status_code == 201, answer.text

    peopled.do(give())
    page.goto(f"{peopled.world.url}/round")
    page.context.set_offline(True)
    page.get_by_role("button", name="What did you find?").click()
    page.get_by_role("button", name="Seen, is well").click()
    expect(page.locator("#signal")).to_contain_text("1 to be sent")
    expect(page.locator('.noted li[data-state="waits"]')).to_have_count(1)
    picture(page, "phone-round-offline")
    page.context.set_offline(False)
    expect(page.locator('.noted li[data-state="sent"]')).to_have_count(1)
    expect(page.locator("#signal")).to_be_hidden()
    peopled.complaints.clear()  # the cut itself


def test_a_handover_is_offered_and_a_refusal_stands_where_one_types(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    page.goto(f"{peopled.world.url}/duty")
    page.fill("[name=account]", "no such!")
    page.get_by_role("button", name="Offer the duty").click()
    expect(page.locator(".field-error")).to_be_visible()
    peopled.complaints[:] = [c for c in peopled.complaints if "422" not in c]


def test_who_goes_and_who_comes_tick_one_list_and_see_it_live(
    peopled: Console, picture: Callable[[Page, str], None]
) -> None:
    goes, comes = peopled.sign_in("li", role="supervisor"), peopled.sign_in("zhao", size=PHONE)
    for page in (goes, comes):
        shown(page, f"{peopled.world.url}/duty")
    goes.locator("[data-check]").first.check()
    expect(comes.locator(".checks .who-ticked")).to_contain_text("Li,")
    expect(comes.locator(".checks input").first).to_be_checked()
    comes.locator("[name=text]").fill("3-2-401 is in hospital until Friday")
    comes.get_by_role("button", name="Leave the note").click()
    expect(goes.locator(".handed")).to_contain_text("in hospital")
    picture(goes, "desk-en-duty-handover")
    goes.reload()
    expect(goes.locator(".checks input").first).to_be_checked()


def test_a_device_says_in_words_what_is_wrong_with_it_the_worst_first(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    shown(page, f"{peopled.world.url}/community/devices?need=true")
    weights = page.locator("tbody tr").evaluate_all("rows => rows.map(row => Number(row.dataset.weight))")
    assert weights == sorted(weights, reverse=True)
    assert min(weights) == 2
    for device, words in (
        ("cam-1", "frozen"),
        ("w2", "battery at 7 %"),
        ("w1", "offline since"),
        ("w4", "not worn"),
    ):
        expect(page.locator("tbody tr").filter(has=page.get_by_text(device, exact=True))).to_contain_text(
            words
        )
    english = {"Accept-Language": "en"}
    asked = page.context.request.get(f"{peopled.world.url}/manager/devices.csv?days=1", headers=english)
    text = asked.text()
    assert "the picture is frozen" in text


def test_a_look_is_judged_by_somebody_else_before_its_day_is_over(peopled: Console) -> None:
    page = peopled.sign_in("li", role="supervisor")
    shown(page, f"{peopled.world.url}/cases")
    first = page.locator(".case").first
    expect(first).to_contain_text("overdue by 1 h")
    expect(page.locator(".case").filter(has_text="about you").locator("form")).to_have_count(0)
    first.get_by_label("justified").check()
    first.locator("[name=note]").fill("Asked both: the fall was real")
    first.get_by_role("button", name="Close the case").click()
    expect(page.locator(".case")).to_have_count(2)
    page.get_by_role("link", name="Closed ones as well").click()
    expect(page.locator(".case[data-state=closed]")).to_contain_text("the fall was real")


def test_the_procedures_buttons_send_a_worker_and_hand_up_and_the_centre_answers(
    peopled: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = peopled.raise_alert("resident:p4", resident="p4")
    peopled.do(peopled.world.person("street", "street_centre"))
    peopled.do(peopled.world.person("chen", "grid_worker", ("e1",)))

    async def walk() -> None:
        async with peopled.world.pool.connection() as connection:
            await connection.execute("INSERT INTO beat VALUES ('chen', 'e1', '3号楼')")

    peopled.do(walk())
    officer = peopled.sign_in("li", role="supervisor")
    shown(officer, f"{peopled.world.url}/alerts/{alert}")
    officer.get_by_role("button", name="Send the grid worker").click()
    expect(officer.locator("[data-part=tasks]")).to_contain_text("chen")
    officer.get_by_role("button", name="Ask the street centre").first.click()
    officer.locator("#hand-up [name=reason]").fill("No key, no answer")
    officer.locator("#hand-up").get_by_role("button", name="Ask the street centre").click()
    expect(officer.locator(".notice.good")).to_be_visible()
    centre = peopled.sign_in("street", role="street_centre")
    shown(centre, f"{peopled.world.url}/street")
    up = centre.locator(".ups > li")
    expect(up).to_contain_text("阳光社区 · 阳光家园一区")
    expect(up).to_contain_text("Li hands up: No key, no answer")
    expect(up).to_contain_text("nobody yet")
    up.get_by_role("button").click()
    expect(centre.locator(".ups > li[data-taken=yes]")).to_contain_text("Street")
    picture(centre, "desk-en-street-taken")
