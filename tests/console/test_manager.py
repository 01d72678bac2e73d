"""The manager's pages over time: charts that are read without colour, printed, and taken along as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.console.conftest import PHONE
from tests.console.test_pages import wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.console.conftest import Console

pytestmark = pytest.mark.integration
MONTH = """
    INSERT INTO node (id, estate) VALUES ('n1', 'e1');
    INSERT INTO device (id, node, zone, kind) VALUES ('pen', 'n1', 'z1', 'pendant'), ('cam', 'n1', 'z1', 'camera');
    INSERT INTO account (id, name, role, estates) VALUES ('zhao', '赵', 'duty_officer', '{*}');
    INSERT INTO shift (account, duty, starts_at, ends_at)
        SELECT 'zhao', 'officer', now() - n * interval '1 day', now() - (n - 1) * interval '1 day' FROM generate_series(1, 29) n;
    INSERT INTO detection (id, event, time, kind, subject, resident, zone, estate, device, score, model, model_version,
                           explanation, synthetic, made_at)
        SELECT md5('d' || n)::uuid, gen_random_uuid(), now() - n * interval '13 hours', 'fall', 'resident:' || n, 'r1', 'z1', 'e1',
               CASE n % 2 WHEN 0 THEN 'pen' ELSE 'cam' END, 0.9, CASE n % 2 WHEN 0 THEN 'wearable' ELSE 'camera' END, '3',
               '{}', CASE WHEN n % 9 = 0 THEN 'drill' END, now() FROM generate_series(1, 52) n;
    INSERT INTO alert (id, subject, kind, priority, state, version, estate, zone, resident, outcome, event_time, raised_at,
                       changed_at, summary, synthetic)
        SELECT md5('a' || n)::uuid, 'resident:' || n, 'fall', 'critical', 'resolved', 3, 'e1', 'z1', 'r1',
               CASE WHEN n % 3 = 0 THEN 'true' ELSE 'false' END, now(), now() - n * interval '13 hours', now(), '{"en": "x"}',
               CASE WHEN n % 9 = 0 THEN 'drill' END FROM generate_series(1, 52) n;
    INSERT INTO alert_evidence SELECT md5('a' || n)::uuid, md5('d' || n)::uuid FROM generate_series(1, 52) n;
    INSERT INTO alert_transition (alert, version, change, from_state, to_state, action, actor, at)
        SELECT md5('a' || n)::uuid, 2, n + 1000000, 'notifying', 'acknowledged', 'acknowledge', 'person:zhao',
               now() - n * interval '13 hours' + (10 + n % 17) * interval '1 second' FROM generate_series(1, 52) n;
    INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at, sent_at)
        SELECT gen_random_uuid(), md5('a' || n)::uuid, 1, 1, 'zhao', 'message', false, now(), now(),
               now() - n * interval '13 hours' FROM generate_series(1, 52) n;
    INSERT INTO health (time, id, node, device, type, boot, lane, seq, received_at, clock, data)
        SELECT now() - n * interval '1 hour', gen_random_uuid(), 'n1', CASE WHEN n % 5 = 0 THEN 'cam' ELSE 'pen' END,
               'vigil.health.v1', '1', 'health', n, now(), 'synced', '{}' FROM generate_series(1, 600) n;
    INSERT INTO consent (resident, purpose, granted, text_version, given_by, since)
        VALUES ('r1', 'fall_detection', true, '1', 'self', now() - interval '20 days'),
               ('r1', 'home_camera', true, '1', 'self', now() - interval '9 days');
"""


@pytest.fixture
def month(console: Console) -> Console:
    """A month of alerts, judged, with signs of life, consents and drills."""

    async def fill() -> None:
        async with console.world.pool.connection() as connection:
            await connection.execute(MONTH.encode())

    console.do(fill())
    return console


@pytest.mark.parametrize(("language", "size"), [("en-GB", None), ("zh-CN", PHONE)])
def test_a_month_is_drawn_and_read_as_a_table_without_a_finding_of_axe(
    month: Console, language: str, size: dict[str, int] | None, picture: Callable[..., None]
) -> None:
    page = month.sign_in("boss", role="community_manager", language=language, size=size)
    page.goto(f"{month.world.url}/manager?days=30")
    expect(page.locator(".chart svg[role=img]")).to_have_count(7)
    expect(page.locator(".chart .s2 path")).not_to_have_count(0)
    page.locator(".chart summary").first.click()
    expect(page.locator(".chart").first.locator("tbody tr")).to_have_count(31)
    assert list(wrong(page)) == []
    width, most = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= most
    picture(page, f"{'phone' if size else 'desk'}-{language[:2]}-manager-month")


def test_what_is_drawn_is_in_the_csv_day_by_day(month: Console) -> None:
    page = month.sign_in("boss", role="community_manager")
    lines = page.context.request.get(f"{month.world.url}/manager.csv?days=30").text().splitlines()
    figures = {line.split(",")[0] for line in lines}
    assert {"over_time_burden", "over_time_precision", "over_time_heard", "over_time_agreed"} <= figures
    alerts = [float(line.split(",")[2]) for line in lines if line.startswith("over_time_alerts,")]
    assert sum(alerts) == 52 - 52 // 9


def test_the_charts_of_another_estate_are_empty_for_who_has_no_right_to_it(month: Console) -> None:
    async def move() -> None:
        await month.world.person("other", "supervisor", ("e2",))

    month.do(move())
    page = month.come(month.context(), "other")
    page.wait_for_selector("#pulse")
    page.goto(f"{month.world.url}/manager?days=30")
    expect(page.locator(".chart").nth(4).locator("svg[role=img]")).to_have_count(0)
