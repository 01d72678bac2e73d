"""The demonstration has a roster, and its people are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from api.escalation.channels import Mailbox
from api.escalation.policies import Target
from api.escalation.rota import Rota, gaps, unfit
from api.escalation.worker import Escalator, read_rota
from deploy.embedded.community import ESTATES, community
from deploy.embedded.seed import Secrets, seed
from tests.integration.api.conftest import LINK_KEY, detection
from vigil.alerts import Priority
from vigil.store import alerts
from vigil.store.alerts import NewAlert
from vigil.store.detections import insert_detections
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
NOON = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
NIGHT = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)


async def roster(database: str, now: datetime) -> Rota:
    async with open_pool(SecretStr(database), "test", 1) as pool, pool.connection() as connection:
        return await read_rota(connection, now)


def seeded(database: str, now: datetime) -> Rota:
    seed(database, community(), [], Secrets("a password for the tests", "token", "roster token"), now)
    return asyncio.run(roster(database, now))


@pytest.mark.parametrize("now", [NOON, NIGHT])
def test_at_any_hour_two_officers_a_supervisor_and_grid_workers_are_on_duty(
    database: str, now: datetime
) -> None:
    rota = seeded(database, now)
    for estate in ESTATES:
        assert len(rota.resolve(Target.OFFICERS, estate, now)) == 2
        assert len(rota.resolve(Target.SUPERVISOR, estate, now)) == 1
        assert len(rota.resolve(Target.SHIFT, estate, now)) >= 4


def test_everybody_on_the_roster_may_go_on_duty_and_the_next_week_has_no_gap(database: str) -> None:
    rota = seeded(database, NOON)
    on_roster = {shift.account for shift in rota.shifts}
    assert [unfit(person, NOON) for person in rota.people if person.account in on_roster] == [None] * 12
    assert gaps(rota.shifts, NOON) == []


def test_the_phone_tree_reaches_everybody_on_it(database: str) -> None:
    told = seeded(database, NOON).resolve(Target.PHONE_TREE, "cuihu", NOON)
    assert {person.role for person in told} == {"supervisor", "community_manager"}
    assert all(person.contacts for person in told)


def test_a_second_start_adds_the_days_that_are_new_and_nothing_twice(database: str) -> None:
    before = seeded(database, NOON)
    assert len(seeded(database, NOON).shifts) == len(before.shifts)
    later = seeded(database, NOON + timedelta(days=3))
    assert gaps(later.shifts, NOON + timedelta(days=3)) == []


async def escalate(database: str, mailbox: Path) -> None:
    found = detection(1, "resident:r-cuihu00", "fall", "cuihu", "r-cuihu00", "demo", NOON)
    new = NewAlert(
        id=found.id,
        subject=found.subject,
        kind="fall",
        priority=Priority.CRITICAL,
        estate="cuihu",
        zone=None,
        resident="r-cuihu00",
        event_time=NOON,
        summary={"en": "Hard impact", "zh": "剧烈撞击"},
        synthetic="demo",
        detection=found.id,
    )
    async with open_pool(SecretStr(database), "test", 2) as pool:
        async with pool.transaction() as connection:
            await insert_detections(connection, [found])
            await alerts.raise_alert(connection, new, NOON)
        worker = Escalator(pool, Mailbox(mailbox), lambda: NOON, LINK_KEY, "http://console")
        while await worker.plan_one() or await worker.send_one():
            pass


def test_what_the_demonstrations_officers_are_sent_is_in_the_mailbox(database: str, tmp_path: Path) -> None:
    seeded(database, NOON)
    asyncio.run(escalate(database, tmp_path / "mailbox.txt"))
    text = (tmp_path / "mailbox.txt").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("To ")] == [
        "To officer/message",
        "To officer2/message",
    ]
    assert "http://console/take/" in text
