"""Editing in a real browser: forms that say what is wrong, two editors at once, taking back, by phone and keys."""

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
THINGS = """
    INSERT INTO node (id, estate, online, seen_at) VALUES ('n1', 'e1', true, now());
    INSERT INTO device (id, node, zone, kind) VALUES ('door-1', 'n1', 'z1', 'door'), ('pen-1', 'n1', NULL, 'pendant');
    INSERT INTO assignment (device, resident) VALUES ('pen-1', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
        VALUES ('r1', 'fall_detection', true, '1', 'self');
    INSERT INTO contact (account, position, channel, url, verified_at)
        VALUES ('chen', 0, 'message', 'ntfy://a/b', now()), ('chen', 1, 'voice', 'ntfy://a/c', now());
    INSERT INTO account_resident (account, resident, relation, made_by, made_at)
        VALUES ('daughter', 'r1', 'family', 'test', now());
"""
PAGES = (
    *(
        "/edit",
        "/edit/residents",
        "/edit/residents/r1",
        "/edit/residents/r1/care",
        "/edit/residents/r1/consents",
    ),
    *("/edit/residents/new", "/edit/zones/z1", "/edit/nodes/n1", "/edit/devices/pen-1", "/edit/assignments"),
    *("/edit/accounts", "/edit/accounts/chen", "/edit/accounts/daughter", "/edit/duty", "/edit/policies"),
    *("/edit/policies/new", "/edit/silences"),
)


@pytest.fixture
def register(console: Console) -> Console:
    """A small register with a grid worker and a daughter."""

    async def fill() -> None:
        await console.world.person("chen", "grid_worker", ("e1",))
        await console.world.person("daughter", "family", ("e1",))
        async with console.world.pool.connection() as connection:
            await connection.execute(THINGS.encode())

    console.do(fill())
    return console


def manager(console: Console, account: str = "boss", language: str = "en-GB", **more: object) -> Page:
    return console.sign_in(account, role="community_manager", language=language, **more)  # type: ignore[arg-type]


def go(page: Page, console: Console, path: str) -> None:
    page.goto(console.world.url + path, wait_until="domcontentloaded")
    expect(page.locator("h1").first).to_be_attached()


@pytest.mark.parametrize(("language", "size"), [("en-GB", None), ("zh-CN", PHONE)])
def test_every_page_for_editing_is_accessible_and_fits(
    register: Console,
    language: str,
    size: dict[str, int] | None,
    picture: Callable[[Page, str], None],
) -> None:
    page = manager(register, language=language, size=size)
    found: list[str] = []
    for path in PAGES:
        go(page, register, path)
        found += wrong(page)
        width, most = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        found += [f"{path} is {width} wide"] if width > most else []
        picture(page, f"{'phone' if size else 'desk'}-{language[:2]}{path.replace('/', '-')}")
    assert found == []


def test_what_is_wrong_stands_beside_its_field_before_and_after_sending(register: Console) -> None:
    page = manager(register, language="zh-CN")
    go(page, register, "/edit/residents/r1")
    page.fill("[name=name]", "")
    page.fill("[name=phone]", "不是号码")
    page.get_by_role("button", name="保存").click()
    expect(page.locator("#why-name")).to_have_text("必须填写")
    expect(page.locator("#why-phone")).to_contain_text("数字")
    assert page.evaluate("document.activeElement.name") == "name"
    page.fill("[name=name]", "王秀兰")
    page.fill("[name=phone]", "13900000001")
    page.fill("[name=home]", "nowhere")
    page.get_by_role("button", name="保存").click()
    expect(page.locator("#why-home")).to_contain_text("先新增")
    expect(page.locator("[name=home]")).to_have_attribute("aria-invalid", "true")
    register.complaints[:] = [c for c in register.complaints if "422" not in c]


def test_of_two_editors_the_second_sees_what_changed_and_loses_nothing(
    register: Console, picture: Callable[[Page, str], None]
) -> None:
    first, second = manager(register, "boss"), manager(register, "deputy")
    for page in (first, second):
        go(page, register, "/edit/residents/r1")
    first.fill("[name=name]", "王秀兰")
    first.fill("[name=phone]", "111")
    first.get_by_role("button", name="Save").click()
    expect(first.locator(".notice")).to_contain_text("Saved")
    second.fill("[name=phone]", "222")
    second.get_by_role("button", name="Save").click()
    expect(second.locator(".merge")).to_contain_text("Boss has changed it")
    expect(second.locator(".merge")).to_contain_text("111")
    expect(second.locator("[name=name]")).to_have_value("王秀兰")
    expect(second.locator("[name=phone]")).to_have_value("222")
    picture(second, "desk-en-edit-merge")
    second.get_by_role("button", name="Save").click()
    expect(second.locator(".notice")).to_contain_text("Saved")
    expect(second.locator(".changes li").first).to_contain_text("Deputy")
    register.complaints[:] = [c for c in register.complaints if "412" not in c]


def test_a_change_is_taken_back_from_where_it_was_saved(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/zones/z1")
    page.fill("[name=name]", "2单元 402")
    page.get_by_role("button", name="Save").click()
    page.locator(".notice").get_by_role("button", name="Take back").click()
    expect(page.locator(".notice")).to_contain_text("Taken back")
    expect(page.locator("[name=name]")).to_have_value("2单元 401")


def test_a_place_is_found_while_typing_and_a_new_resident_needs_no_id(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/residents/new")
    page.select_option("[name=estate]", "e1")
    page.fill("[name=name]", "赵大爷")
    page.locator("[name=home]").press_sequentially("401")
    expect(page.locator("datalist option[value=z1]")).to_be_attached()
    page.fill("[name=home]", "z1")
    expect(page.locator("[data-said]")).to_contain_text("2单元 401")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("赵大爷")


def test_absence_and_key_holders_are_written_in_rows(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/residents/r1/care")
    page.fill("[name='key_holders.0.name']", "张伟")
    page.fill("[name='key_holders.0.phone']", "13900000002")
    page.locator("form").filter(has=page.locator("[name='key_holders.0.name']")).get_by_role(
        "button", name="Save"
    ).click()
    expect(page.locator(".notice")).to_contain_text("Saved")
    expect(page.locator("[name='key_holders.0.name']")).to_have_value("张伟")
    page.fill("[name='absences.0.from']", "2026-12-01T08:00")
    page.check("[name=exit_doors]")
    page.select_option("[name=mobility]", "wheelchair")
    page.locator("form").filter(has=page.locator("[name=mobility]")).get_by_role(
        "button", name="Save"
    ).click()
    expect(page.locator(".changes > li")).to_have_count(2)
    expect(page.locator("[name='absences.0.from']")).to_have_value("2026-12-01T08:00")
    expect(page.locator("[name=exit_doors]")).to_be_checked()

    async def kept() -> list[tuple[dict[str, object]]]:
        async with register.world.pool.connection() as connection:
            cursor = await connection.execute("SELECT profile->'absences'->0 FROM resident WHERE id = 'r1'")
            return await cursor.fetchall()

    assert register.do(kept()) == [({"from": "2026-12-01T00:00:00Z", "until": None},)]


def test_a_consent_is_written_down_with_its_proof_and_a_family_is_tied(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/residents/r1/consents")
    family = page.locator("#family_access")
    family.get_by_text("Write down: agrees").first.click()
    family.locator("[name=proof]").fill("paper 7, cabinet 3")
    family.get_by_role("button", name="Write down: agrees").click()
    expect(page.locator("#family_access")).to_contain_text("paper 7, cabinet 3")
    go(page, register, "/edit/accounts/daughter")
    expect(page.locator("[name='residents.0.resident']")).to_have_value("r1")
    page.fill("[name='residents.0.resident']", "r9")
    page.locator("form").filter(has=page.locator("[name='residents.0.resident']")).get_by_role(
        "button", name="Save"
    ).click()
    expect(page.locator(".notice.bad")).to_be_visible()
    register.complaints[:] = [c for c in register.complaints if "404" not in c]


def test_a_shift_is_planned_by_keyboard_and_taken_back(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/duty")
    form = page.locator("form[data-api='/api/v1/shifts']")
    form.locator("[name=account]").select_option("chen")
    form.locator("[name=duty]").select_option("grid_worker")
    now = page.evaluate("new Date(Date.now() + 3600e3).toISOString().slice(0, 16)")
    later = page.evaluate("new Date(Date.now() + 9 * 3600e3).toISOString().slice(0, 16)")
    form.locator("[name=starts_at]").fill(later)
    form.locator("[name=ends_at]").fill(now)
    form.locator("[name=ends_at]").press("Enter")
    expect(form.locator(".field-error")).to_be_visible()
    go(page, register, "/edit/duty")
    form.locator("[name=account]").select_option("chen")
    form.locator("[name=duty]").select_option("grid_worker")
    form.locator("[name=starts_at]").fill(later)
    form.locator("[name=ends_at]").fill(
        page.evaluate("new Date(Date.now() + 15 * 3600e3).toISOString().slice(0, 16)")
    )
    form.locator("[name=ends_at]").press("Enter")
    expect(page.locator("#shifts-title ~ .scroll tbody tr")).to_have_count(1)
    page.locator("button[data-undo]").first.click()
    expect(page.locator("#shifts-title ~ .scroll tbody tr")).to_have_count(0)
    register.complaints[:] = [c for c in register.complaints if "422" not in c]


def test_a_policy_is_changed_and_its_earlier_version_put_back(register: Console) -> None:
    page = manager(register)
    go(page, register, "/edit/policies/new?from=high")
    page.fill("[name=name]", "night")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="night", exact=True).click()
    page.fill("[name=attend_within_s]", "900")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".changes > li")).to_have_count(2)
    page.get_by_role("button", name="Put back").first.click()
    expect(page.locator(".changes > li")).to_have_count(3)
    expect(page.locator("[name=attend_within_s]")).to_have_value("1200")


def test_who_may_only_read_is_offered_no_change(register: Console) -> None:
    page = register.sign_in("li", role="duty_officer")
    for path in ("/edit/residents/r1", "/edit/residents/r1/care", "/edit/devices/pen-1"):
        go(page, register, path)
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        expect(page.locator("main [name]:not([type=search])").first).to_be_disabled()


def test_a_plan_is_uploaded_refused_where_it_could_act_and_shows_the_devices(
    register: Console, picture: Callable[[Page, str], None]
) -> None:
    async def place() -> None:
        async with register.world.pool.connection() as connection:
            await connection.execute("UPDATE zone SET x_m = 40, y_m = 20 WHERE id = 'z1'")

    register.do(place())
    page = manager(register)
    go(page, register, "/edit/estates/e1/plan")
    drawn = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><rect x="20" y="20" width="60" height="50" fill="#9cf"/></svg>'
    for text, name in (
        (drawn.replace("<rect", "<script>alert(1)</script><rect"), "bad.svg"),
        (drawn, "good.svg"),
    ):
        page.set_input_files(
            "[type=file]", {"name": name, "mimeType": "image/svg+xml", "buffer": text.encode()}
        )
        expect(page.locator("[name=svg]")).to_have_value(text)
        page.get_by_role("button", name="Save").click()
        if name == "bad.svg":
            expect(page.locator("#why-svg")).to_contain_text("<script>")
    expect(page.locator(".uploaded .pin")).to_have_count(1)
    expect(page.locator(".notice")).to_contain_text("Saved")
    assert list(wrong(page)) == []
    picture(page, "desk-en-edit-plan")
    page.goto(f"{register.world.url}/community")
    expect(page.locator(".uploaded image")).to_have_count(1)
    picture(page, "desk-en-community-uploaded")
    register.complaints[:] = [c for c in register.complaints if "422" not in c]
