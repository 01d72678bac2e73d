"""The escalation on real rows: claimed, sent, recorded; killed in between; audited."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from api.escalation.worker import LEASE, Escalator
from tests.integration.api.conftest import FAST, LINK_KEY, PASSWORD, Outbox
from vigil.alerts import Priority
from vigil.store import accounts, escalation
from vigil.store.accounts import NewAccount
from vigil.store.escalation import NewNotice

if TYPE_CHECKING:
    from uuid import UUID

    from api.escalation.messages import Message
    from tests.integration.api.conftest import World
    from vigil.store.escalation import NoticeRecord

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@dataclass
class Routes(Outbox):
    """Routes that also die in the middle, if told to."""

    dies: bool = False

    async def send(self, url: str, message: Message) -> None:
        if self.dies:
            raise Killed
        await super().send(url, message)


class Killed(BaseException):
    """The worker ends here, as by `kill -9`."""


@dataclass
class Night:
    """Two officers on shift, a supervisor, and a worker of the escalation."""

    world: World
    routes: Routes
    worker: Escalator

    async def work(self) -> None:
        """Let the worker do whatever is due."""
        while await self.worker.plan_one() or await self.worker.send_one():
            pass

    async def wait(self, seconds: float) -> None:
        """Let time pass in steps, the worker awake."""
        for _ in range(int(seconds)):
            self.world.clock.move(seconds=1)
            await self.work()

    async def notices(self, alert: UUID) -> list[NoticeRecord]:
        async with self.world.pool.connection() as connection:
            return await escalation.notices_of(connection, alert)

    async def state(self, alert: UUID) -> str:
        async with self.world.pool.connection() as connection:
            return (await escalation.read_alert(connection, alert, self.world.clock())).state

    @property
    def told(self) -> list[str]:
        return [url for url, _ in self.routes.sent]


@pytest_asyncio.fixture
async def night(world: World) -> Night:
    now = world.clock()
    people = (
        ("li", "duty_officer", "officer"),
        ("zhao", "duty_officer", "officer"),
        ("sun", "supervisor", "supervisor"),
    )
    async with world.pool.transaction() as connection:
        for account, role, duty in people:
            new = NewAccount(account, account.title(), role, ("*",))
            await accounts.put_account(connection, new, FAST.hash(PASSWORD))
            for position, channel in enumerate(("message", "voice")):
                await escalation.put_contact(
                    connection, account, position, channel, f"{channel}://{account}", now
                )
            await escalation.add_shift(connection, account, duty, now, now + timedelta(hours=12))
    routes = Routes()
    return Night(world, routes, Escalator(world.pool, routes, world.clock, LINK_KEY, world.url))


async def test_both_officers_are_told_at_once_and_the_alert_is_notifying(night: Night) -> None:
    alert = await night.world.raise_alert()
    await night.work()
    assert sorted(night.told) == ["message://li", "message://zhao"]
    assert await night.state(alert) == "notifying"


async def test_a_high_alert_goes_to_the_officer_with_least_to_do(night: Night) -> None:
    first = await night.world.raise_alert(priority=Priority.HIGH)
    await night.work()
    night.world.clock.move(seconds=1)
    await night.world.raise_alert(priority=Priority.HIGH)
    await night.work()
    assert night.told == ["message://li", "message://zhao"]
    li = await night.world.person("li")
    assert (await li.post(f"/api/v1/alerts/{first}/acknowledge", json={"version": 2})).status_code == 200
    night.world.clock.move(seconds=1)
    await night.world.raise_alert(priority=Priority.HIGH)
    await night.work()
    assert night.told[2:] == ["message://zhao"]


async def test_when_nobody_answers_the_next_person_is_told_and_it_is_never_given_up(night: Night) -> None:
    alert = await night.world.raise_alert()
    await night.work()
    await night.wait(15)
    assert "voice://sun" in night.told
    await night.wait(500)
    assert await night.state(alert) == "unanswered"
    before = len(night.told)
    await night.wait(121)
    assert len(night.told) > before


async def test_a_person_who_takes_it_while_notices_are_being_written_does_not_wait(night: Night) -> None:
    alert = await night.world.raise_alert()
    li = await night.world.person("li")
    notice = NewNotice(alert, alert, 0, 0, "zhao", "message", repeat=False, made_at=night.world.clock())
    async with night.world.pool.transaction() as connection:
        await escalation.put_notices(connection, [notice])
        taken = await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert taken.status_code == 200


async def test_whoever_takes_it_ends_the_calls(night: Night) -> None:
    alert = await night.world.raise_alert()
    li = await night.world.person("li")
    await night.work()
    assert (await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})).status_code == 200
    before = len(night.told)
    await night.wait(60)
    assert len(night.told) == before


async def test_taken_but_nobody_there_in_time_opens_it_again_and_tells_with_a_label(night: Night) -> None:
    alert = await night.world.raise_alert()
    li = await night.world.person("li")
    await night.work()
    await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    night.routes.sent.clear()
    await night.wait(601)
    assert await night.state(alert) == "notifying"
    assert sorted(night.told) == ["message://li", "message://zhao"]
    assert all("重复" in message.title for _, message in night.routes.sent)


async def test_everybody_who_is_told_again_is_told_that_it_is_a_repeat(night: Night) -> None:
    await night.world.raise_alert()
    await night.work()
    await night.wait(200)
    heard: set[str] = set()
    for url, message in night.routes.sent:
        person = url.partition("://")[2]
        assert ("重复" in message.title) == (person in heard)
        heard.add(person)


async def test_a_contact_that_fails_is_followed_by_the_next_at_once(night: Night) -> None:
    night.routes.broken = {"message://li"}
    await night.world.raise_alert()
    await night.work()
    assert sorted(night.told) == ["message://zhao", "voice://li"]


async def test_a_person_none_of_whose_contacts_works_is_recorded_as_unreachable(night: Night) -> None:
    night.routes.broken = {"message://li", "voice://li"}
    alert = await night.world.raise_alert()
    await night.work()
    (mine,) = [n for n in await night.notices(alert) if n.account == "li" and n.channel == "message"]
    assert (mine.ended, mine.sent_at) == ("unreachable", None)
    assert "message://zhao" in night.told


async def test_a_worker_killed_between_claim_and_send_loses_no_notice(night: Night) -> None:
    alert = await night.world.raise_alert()
    while await night.worker.plan_one():
        pass
    night.routes.dies = True
    killed = 0
    for _ in range(4):
        try:
            await night.worker.send_one()
        except Killed:
            killed += 1
    assert killed == 2
    night.routes.dies = False
    await night.work()
    assert night.told == []  # the dead worker's lease still runs
    night.world.clock.now += LEASE
    await night.work()
    again = [n for n in await night.notices(alert) if n.tries == 2]
    assert len(again) == 2
    first = night.routes.sent[0][1]
    assert first.title.startswith("【重复通知】")  # it may have been sent: the label says so


async def test_several_workers_at_once_send_each_notice_once(night: Night) -> None:
    raised = [await night.world.raise_alert() for _ in range(10)]
    await asyncio.gather(*(night.work() for _ in range(4)))
    assert sorted(night.told) == sorted(["message://li", "message://zhao"] * len(raised))


async def test_a_canary_pages_nobody_and_a_demo_pages_like_the_real_thing(night: Night) -> None:
    await night.world.raise_alert("canary:e1", synthetic="canary", resident=None)
    await night.work()
    assert night.told == []
    await night.world.raise_alert(synthetic="demo")
    await night.work()
    assert len(night.told) == 2
    assert night.routes.sent[0][1].title.startswith("【演示】")


@pytest.mark.trust
async def test_no_notice_holds_a_name_a_number_or_a_flat(night: Night) -> None:
    await night.world.raise_alert()
    await night.work()
    await night.wait(130)
    text = "".join(message.title + message.body for _, message in night.routes.sent)
    for secret in ("王秀英", "13900000001", "401", "r1"):
        assert secret not in re.sub(r"http\S+", "", text)


async def test_the_link_in_a_notice_takes_the_alert_for_whom_it_was_sent_to(night: Night) -> None:
    alert = await night.world.raise_alert()
    await night.work()
    by_person = {
        url.partition("://")[2]: message.body.split()[-1].removeprefix("点此接手：")
        for url, message in night.routes.sent
    }
    async with httpx.AsyncClient() as phone:
        assert "由我接手" in (await phone.get(by_person["li"])).text
        assert await night.state(alert) == "notifying"  # opening the link has changed nothing
        assert (await phone.post(by_person["li"])).status_code == 200
        assert (await phone.post(by_person["li"])).status_code == 200  # a second tap is no conflict
        late = await phone.post(by_person["zhao"])
        assert late.status_code == 409
        assert "Li" in late.text
        assert (await phone.get(by_person["li"][:-4] + "AAAA")).status_code == 410
    assert await night.state(alert) == "acknowledged"


async def test_a_link_whose_person_was_disabled_is_no_longer_good(night: Night) -> None:
    await night.world.raise_alert()
    await night.work()
    link = night.routes.sent[0][1].body.split()[-1].removeprefix("点此接手：")
    async with night.world.pool.transaction() as connection:
        for account in ("li", "zhao"):
            await accounts.disable_account(connection, account, night.world.clock())
    async with httpx.AsyncClient() as phone:
        assert (await phone.post(link)).status_code == 410


async def test_the_auditor_finds_what_waits_and_gives_a_sign_of_life_of_its_own(night: Night) -> None:
    await night.world.raise_alert()
    await night.worker.audit()
    night.world.clock.move(seconds=20)
    await night.worker.audit()
    async with night.world.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT progress FROM heartbeat WHERE process = 'escalator-1-auditor'"
        )
        ((progress,),) = await cursor.fetchall()
    assert progress["courses"] == 1


async def test_a_clock_that_was_put_back_holds_up_no_alert(night: Night) -> None:
    night.world.clock.move(hours=3)
    await night.world.raise_alert()
    await night.work()
    night.world.clock.move(hours=-2)
    await night.worker.audit()
    night.routes.sent.clear()
    await night.wait(13)
    assert "voice://li" in night.told


async def test_a_clock_that_ran_ahead_for_a_while_silences_no_alert(night: Night) -> None:
    await night.world.raise_alert()
    await night.work()
    night.world.clock.move(hours=5)
    await night.work()
    night.world.clock.move(hours=-5)
    night.routes.sent.clear()
    await night.worker.audit()
    await night.wait(181)
    assert night.told


async def test_who_was_told_and_what_became_of_it_stands_on_the_alerts_page(night: Night) -> None:
    alert = await night.world.raise_alert()
    await night.work()
    li = await night.world.person("li")
    page = await li.get(f"/alerts/{alert}", headers={"Accept": "text/html", "Accept-Language": "en"})
    assert "Who was told" in page.text
    assert "message · <b>sent</b>" in page.text
