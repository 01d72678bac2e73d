"""One alert's page: what was felt and seen, who is at hand, and what officers tell each other about it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.console.conftest import PHONE
from tests.console.test_board import card
from tests.console.test_pages import wrong
from tests.integration.api.test_evidence import ISSUER
from tests.making import fall
from tests.unit.api.test_pose import STANDING
from vigil import evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from playwright.sync_api import Page

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration
HOME = """
    UPDATE zone SET x_m = 10, y_m = 10 WHERE id = 'z1';
    INSERT INTO zone (id, estate, name, building, floor, public, legal_basis, x_m, y_m) VALUES
        ('z2', 'e1', '1单元 101', '5号楼', 1, false, NULL, 40, 10),
        ('court', 'e1', '中心花园', NULL, NULL, true, 'sign', 20, 30);
    INSERT INTO node (id, estate, online) VALUES ('n1', 'e1', true);
    INSERT INTO device (id, node, zone, kind) VALUES
        ('d1', 'n1', 'z1', 'camera'), ('m1', 'n1', 'z1', 'motion'), ('door1', 'n1', 'z1', 'door');
    INSERT INTO assignment (device, resident) VALUES ('d1', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by) VALUES
        ('r1', 'home_camera', true, '1', 'self'), ('r1', 'evidence_frame', true, '1', 'self');
    INSERT INTO resident (id, estate, home, name, phone, flagged, risk)
        VALUES ('r2', 'e1', 'z2', '李建国', '13900000007', true, 2);
    UPDATE resident SET lives_alone = true, profile = '{"key_holders": [{"name": "张伟", "phone": "13900000002",
        "relation": "子"}], "family": [{"name": "王芳", "phone": "13900000003", "relation": "女"}],
        "note": "听力不好，请多按门铃"}' WHERE id = 'r1';
"""
EVENT = """
    INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
    SELECT d.time, d.event, 'n1', 'd1', %s, '1-0000abcd', 'alarm', 1, d.time, 'synced', %s
    FROM detection d JOIN alert_evidence x ON x.detection = d.id WHERE x.alert = %s
"""
HEARD = """
    INSERT INTO event (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
    SELECT now() - n * interval '20 minutes', gen_random_uuid(), 'n1', CASE n %% 7 WHEN 0 THEN 'door1' ELSE 'm1' END,
           'vigil.event.sensor_changed.v1', '1-0000abcd', 'event', 100 + n, now(), 'synced', '{}'
    FROM generate_series(12, 70) n
"""


async def ask(console: Console, statement: str, *values: Any) -> list[Any]:
    async with console.world.pool.connection() as connection:
        cursor = await connection.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []


@pytest.fixture
def home(console: Console) -> Console:
    """A home with a camera and sensors, a neighbour, and a place in public."""

    async def fill() -> None:
        async with console.world.pool.connection() as connection:
            await connection.execute(HOME.encode())
            await connection.execute(HEARD.replace("%%", "%").encode())

    console.do(fill())
    return console


def falling() -> list[list[int]]:
    """A body that turns by a right angle within three seconds."""
    frames = []
    for n in range(31):
        angle = np.pi / 2 * min(1.0, max(0.0, (n - 8) / 10))
        points = np.array(STANDING, dtype=float).reshape(17, 3)
        around = points[:, :2] - [500, 900]
        turned = around @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, :2] = turned + np.array([500, 900])
        frames.append(points.round().astype(int).ravel().tolist())
    return frames


def happened(console: Console, alert: UUID, type_: str, data: dict[str, Any]) -> None:
    console.do(ask(console, EVENT, type_, json.dumps(data), alert))


def open_page(console: Console, page: Page, alert: UUID) -> None:
    page.goto(f"{console.world.url}/alerts/{alert}")
    expect(page.locator("#actions .card")).to_be_visible()


def hand_over(page: Page, alert: UUID) -> None:
    """Open the dialog by key, once the alert is one's own."""
    expect(page.locator(f'#held .card[data-id="{alert}"]')).to_be_visible()
    card(page, alert).focus()
    page.keyboard.press("h")


def test_a_fall_that_a_camera_saw_is_shown_as_a_strip_of_figures_with_all_who_can_help(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = home.raise_alert("resident:r1")
    happened(
        home,
        alert,
        "vigil.alarm.pose_suspected.v1",
        {"keypoints": falling(), "rate_hz": 10, "aspect": 1.5, "track": 1},
    )
    page = home.sign_in("li")
    open_page(home, page, alert)
    expect(page.locator(".pose .bones")).to_have_count(7)
    expect(page.locator("#day .lane")).to_have_count(3)
    expect(page.locator("#day")).to_contain_text("Quiet for 4 h")
    expect(page.locator('.spot[data-here="yes"]')).to_have_count(1)
    calls = [a.get_attribute("href") for a in page.locator(".resident a").all()]
    assert calls == [f"tel:{n}" for n in ("13900000001", "13900000002", "13900000003", "120", "119", "110")]
    assert list(wrong(page)) == []
    picture(page, "alert-pose")


def test_an_impact_is_shown_as_a_curve_on_a_phone_in_chinese(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = home.raise_alert("resident:r1")
    happened(home, alert, "vigil.alarm.fall_suspected.v1", {"accel_mg": fall().accel_mg, "rate_hz": 50})
    page = home.sign_in("li", language="zh-CN", size=PHONE)
    open_page(home, page, alert)
    expect(page.locator(".trace .curve")).to_have_count(1)
    expect(page.locator("#day .lane")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert list(wrong(page)) == []
    picture(page, "phone-zh-alert")


def test_a_fall_in_public_names_nobody_and_shows_who_lives_nearest(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = home.raise_alert("zone:court", resident=None)
    home.do(ask(home, "UPDATE alert SET zone = 'court' WHERE id = %s", alert))
    page = home.sign_in("li")
    open_page(home, page, alert)
    expect(page.locator(".near li")).to_have_count(2)
    expect(page.locator(".near li").first).to_contain_text("22 m away")
    picture(page, "alert-public")
    looks = home.do(ask(home, "SELECT resident FROM access_log WHERE what = 'nearest' ORDER BY resident"))
    assert looks == [("r1",), ("r2",)]


def test_a_frame_is_fetched_on_a_click_alone_and_the_look_is_written_down(home: Console) -> None:
    alert = home.raise_alert("resident:r1")
    now = home.world.clock()
    jpeg = cv2.imencode(".jpg", np.full((60, 80, 3), 90, np.uint8))[1].tobytes()
    assert ISSUER.frames is not None
    sealed = evidence.seal(evidence.public_of(ISSUER.frames), jpeg, evidence.facts("n1", "d1", "ep", now))
    insert = "INSERT INTO evidence_frame VALUES (%s, 'n1', 'd1', 'ep', %s, %s, '{r1}', %s)"
    home.do(ask(home, insert, uuid4(), now, now, sealed))
    page = home.sign_in("li")
    open_page(home, page, alert)
    looks = "SELECT purpose FROM access_log WHERE what LIKE 'frame:%%'"
    assert home.do(ask(home, looks)) == []
    page.locator("[data-frame]").click()
    expect(page.locator("img.evidence")).to_be_visible()
    page.wait_for_function("document.querySelector('img.evidence').naturalWidth === 80")
    assert home.do(ask(home, looks)) == [("alert",)]


def test_a_note_by_keyboard_is_read_by_the_colleague_who_has_the_page_open(home: Console) -> None:
    alert = home.raise_alert("resident:r1")
    li, zhao = home.sign_in("li"), home.sign_in("zhao")
    open_page(home, zhao, alert)
    li.locator(f'.card[data-id="{alert}"]').focus()
    li.keyboard.press("n")
    li.keyboard.type("Her daughter is on the way")
    li.keyboard.press("Enter")
    expect(zhao.locator(".history .note")).to_contain_text("Her daughter is on the way")


def test_a_note_without_the_platform_waits_and_arrives(home: Console) -> None:
    alert = home.raise_alert("resident:r1")
    page = home.sign_in("li")
    open_page(home, page, alert)
    page.route("**/notes", lambda route: route.abort())
    page.keyboard.press("n")
    page.keyboard.type("rang twice")
    page.keyboard.press("Enter")
    expect(page.locator("#paper")).to_have_attribute("data-state", "waits")
    page.unroute("**/notes")
    expect(page.locator(".history .note")).to_contain_text("rang twice", timeout=30_000)
    home.complaints.clear()  # the cut itself


def test_an_alert_goes_to_the_colleague_who_is_asked_aloud_and_accepts(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    li, zhao = home.sign_in("li"), home.sign_in("zhao")
    alert = home.raise_alert("resident:r1")
    li.locator("#banner .primary").click()
    hand_over(li, alert)
    expect(li.locator("#hand-over option")).to_have_text(["Zhao"])
    li.fill("#hand-over [name=reason]", "I am at another door")
    picture(li, "hand-over")
    li.get_by_role("button", name="Offer it").click()
    expect(card(li, alert).locator(".holder")).to_have_text("you → Zhao?")
    expect(zhao.locator("#banner")).to_contain_text("Li asks you to take over")
    picture(zhao, "board-offered")
    zhao.keyboard.press("t")
    expect(card(li, alert).locator(".holder")).to_have_text("Zhao")
    expect(card(zhao, alert).locator(".holder")).to_have_text("you")
    expect(zhao.locator("#banner")).to_be_hidden()


def test_what_a_colleague_gives_back_is_said_to_whoever_has_it(home: Console) -> None:
    li, zhao = home.sign_in("li"), home.sign_in("zhao")
    alert = home.raise_alert("resident:r1")
    li.locator("#banner .primary").click()
    expect(li.locator(f'#held .card[data-id="{alert}"]')).to_be_visible()
    open_page(home, li, alert)
    li.keyboard.press("h")
    li.get_by_role("button", name="Offer it").click()
    zhao.evaluate("performance.now = () => 1e9")  # a card that has moved just now takes no tap
    card(zhao, alert).locator('[data-action="give_back"]').click()
    expect(li.locator(".notice.bad")).to_contain_text("still yours")
    expect(li.locator(".history .give_back")).to_contain_text("Zhao")
    expect(zhao.locator("#banner")).to_be_hidden()


def test_an_offer_that_nobody_answers_goes_by_itself(home: Console) -> None:
    li, zhao = home.sign_in("li"), home.sign_in("zhao")
    alert = home.raise_alert("resident:r1")
    li.locator("#banner .primary").click()
    hand_over(li, alert)
    li.get_by_role("button", name="Offer it").click()
    expect(card(zhao, alert).locator('[data-action="take_over"]')).to_be_visible()
    ahead = timedelta(minutes=4) // timedelta(milliseconds=1)
    for page in (li, zhao):
        page.evaluate(f"const before = Date.now; Date.now = () => before() + {ahead}")
    expect(card(zhao, alert).locator('[data-action="take_over"]')).to_have_count(0)
    expect(card(li, alert).locator(".holder")).to_have_text("you")


def test_who_was_told_by_what_and_what_became_of_it_is_on_the_page(
    home: Console, picture: Callable[[Page, str], None]
) -> None:
    alert = home.raise_alert("resident:r1")
    page = home.sign_in("li")
    rows = (
        ("li", "push", "now()", "now()", None, None),
        ("li", "message", "now()", None, None, None),
        ("li", "voice", None, None, "number not in service", None),
        ("li", "voice", None, None, None, "unreachable"),
    )
    for n, (account, channel, sent, delivered, undelivered, ended) in enumerate(rows):
        home.do(
            ask(
                home,
                "INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at, sent_at,"
                " delivered_at, undelivered, ended) VALUES (%s, %s, 0, %s, %s, %s, false, now(), now(),"
                " %s::timestamptz, %s::timestamptz, %s, %s)",
                *(uuid4(), alert, n, account, channel, sent, delivered, undelivered, ended),
            )
        )
    open_page(home, page, alert)
    expect(page.locator(".notice-line")).to_have_count(4)
    came = [line.get_attribute("data-came") for line in page.locator(".notice-line").all()]
    assert came == ["delivered", "sent", "undelivered", "unreachable"]
    page.keyboard.press("t")
    expect(page.locator(".notice-line").first).to_contain_text("has it")
    expect(page.locator("[data-part=notices]")).to_contain_text(re.compile("number not in service"))
    picture(page, "alert-notices")


def test_a_role_that_may_not_know_people_sees_neither_home_nor_neighbours(home: Console) -> None:
    alert = home.raise_alert("resident:r1")
    page = home.sign_in("ops", role="ops")
    open_page(home, page, alert)
    html = page.content()
    assert not [
        secret for secret in ("王秀英", "13900000001", "张伟", "2单元 401", "听力不好") if secret in html
    ]
    expect(page.locator("#day")).to_have_count(0)
    expect(page.locator("#actions button")).to_have_count(0)
