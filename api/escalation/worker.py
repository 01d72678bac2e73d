"""The escalation's loops: plan what is due, send what was planned, and audit both.

Place in the flow: PostgreSQL wakes them (and a clock tick does); `planner` decides;
`vigil.store.escalation` keeps the rows.  Several workers may run: a row is locked or leased by
one, and what a dead one had comes free by itself.

Each step is a method that does one thing and returns whether there was something to do.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from api.burden import PERIOD
from api.escalation import links, outages, planner, policies, rota, watch
from api.escalation.channels import with_receipt
from api.escalation.links import GOOD_FOR, Invitation
from api.escalation.messages import About, compose, question
from api.escalation.planner import Course, Decision, Facts
from api.escalation.policies import Channel, Policy, Stored, Target
from api.escalation.rota import Contact, Cover, Leave, Load, Person, Rota, Shift
from vigil.alerts import UNTAKEN, Priority, State
from vigil.errors import Conflict, Unavailable
from vigil.events import derived_id
from vigil.store import alerts, escalation, heartbeats
from vigil.store import push as browsers
from vigil.store import rota as rota_rows
from vigil.store.escalation import AlertRow, CourseRow, NewNotice, NoticeRow
from vigil.store.listen import wakes
from vigil.store.pool import ProcessRole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from api.escalation.channels import Sender
    from api.escalation.push import Pusher
    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool
    from vigil.store.push import Subscription

TICK_S: Final = 1.0
LEASE: Final = timedelta(seconds=25)
"""How long a notice is a worker's: longer than a route may take, shorter than 30 s."""
AUDIT_S: Final = 15.0
ROTA_S: Final = 60.0
SETTLE_S: Final = 60.0
"""After a start boxes come back and people put the roster in; nothing is said of either before."""
LATE: Final = timedelta(seconds=15)
A_SHIFT: Final = timedelta(hours=12)
"""Among officers who are equally busy it is the turn of whoever's last alarm is longest ago in it."""
SCREEN_FIRST_S: Final = 0.1
"""The notice of an alert wakes the live stream too, in this process: planning, some 10 ms of work, is not
to come between an alarm and the screen.  What else is raised meanwhile is planned in the same go."""
PUSH_TRIES: Final = 3
"""Of a push service that does not answer, a lease apart; the other channels do not wait for it."""
SENDERS: Final = 4
"""Notices under way at once: one route that hangs holds up nobody else's."""
_SENT: Final = Counter("vigil_notices_sent_total", "Notices that a route has taken.", ["channel"])
_FAILED: Final = Counter("vigil_notices_failed_total", "Contacts that failed.", ["channel"])
_NOBODY: Final = Counter("vigil_notices_nobody_total", "Notices for which there was nobody, or no contact.")
_OVERDUE: Final = Gauge("vigil_escalation_overdue", "Courses and notices that wait for longer than 15 s.")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Escalator:
    """One worker.

    Attributes:
        pool: Connections of its own.
        sender: The way out.
        clock: Present time.
        key: Signs the links in notices.
        address: Where people reach the console.
        name: Of this worker, for heartbeats.
        resident_url: Apprise address of the gateway that calls residents, with `{phone}` in it.
        pusher: The way out to browsers; None where Web Push is not set up.
    """

    pool: Pool
    sender: Sender
    clock: Clock
    key: bytes
    address: str
    name: str = "escalator-1"
    resident_url: str | None = None
    pusher: Pusher | None = None

    async def run(self, dsn: SecretStr) -> None:
        """Plan, send and audit until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._plan_when_woken(dsn), name="plan")
            group.create_task(self._repeat(self.audit, AUDIT_S), name="audit")
            group.create_task(self._repeat(self.watch_nodes, AUDIT_S, first_s=SETTLE_S), name="nodes")
            group.create_task(self._repeat(self.watch_rota, ROTA_S, first_s=SETTLE_S), name="rota")
            for number in range(SENDERS):
                group.create_task(self._repeat(self.send_one, TICK_S), name=f"send-{number}")

    async def _plan_when_woken(self, dsn: SecretStr) -> None:
        async with aclosing(wakes(dsn, alerts.CHANNEL, TICK_S, ProcessRole.API)) as knocks:
            async for connected in knocks:
                if connected:
                    await asyncio.sleep(SCREEN_FIRST_S)
                    await _while_work(self.plan_one)

    @staticmethod
    async def _repeat(step: Callable[[], Awaitable[bool]], pause_s: float, first_s: float = 0) -> None:
        await asyncio.sleep(first_s)
        while True:
            await _while_work(step)
            await asyncio.sleep(pause_s)

    async def plan_one(self) -> bool:
        """Decide on the course that is due for longest, and write what follows in one transaction."""
        now = self.clock()
        async with self.pool.connection() as connection:
            await escalation.adopt(connection, now)
        try:
            async with self.pool.transaction() as connection:
                row = await escalation.claim_course(connection, now)
                if row is None:
                    return False
                await _decide(connection, row, now)
        except Conflict as error:
            _log.info("a person was first; decided anew", error=str(error))
        return True

    async def send_one(self) -> bool:
        """Claim a notice, send it, and only then record it: a crash between sends it again, labelled."""
        async with self.pool.connection() as connection:
            notice = await escalation.claim_notice(connection, self.clock(), LEASE)
            if notice is None:
                return False
            about = await escalation.read_alert(connection, notice.alert, self.clock())
            person = await _person(connection, notice.account)
        if not about.pages:
            await self._end(notice, "no_drill")
        elif not _is_wanted(notice, about):
            await self._end(notice, "taken")
        elif notice.channel == Channel.CONSOLE:
            await self._record_sent(notice)
        elif notice.channel == Channel.RESIDENT:
            await self._ask_resident(notice, about)
        elif notice.channel == Channel.PUSH:
            await self._push(notice, about)
        else:
            await self._send(notice, about, person)
        return True

    async def _send(self, notice: NoticeRow, about: AlertRow, person: Person | None) -> None:
        route = rota.route(person, Channel(notice.channel)) if person else ()
        if notice.contact >= len(route) or person is None:
            _NOBODY.inc()
            _log.error("nobody could be told", alert=str(notice.alert), account=notice.account)
            await self._end(notice, "unreachable")
            return
        link = self._link(notice, person.account)
        purpose = _purpose(notice)
        message = compose(_about(about), link, repeat=notice.repeat or notice.tries > 1, purpose=purpose)
        try:
            await self.sender.send(with_receipt(route[notice.contact].url, self._receipt(notice)), message)
        except Unavailable as error:
            _FAILED.labels(route[notice.contact].channel).inc()
            async with self.pool.connection() as connection:
                await escalation.note_failed(connection, notice.id, str(error), self.clock())
        else:
            await self._record_sent(notice)

    async def _push(self, notice: NoticeRow, about: AlertRow) -> None:
        """Send to each of a person's browsers; one that has taken it will do."""
        async with self.pool.connection() as connection:
            theirs = await browsers.of_account(connection, notice.account or "")
        taken = [await self._push_to(one, notice, about) for one in theirs]
        if any(taken):
            await self._record_sent(notice)
        elif None not in taken or notice.tries >= PUSH_TRIES:
            await self._end(notice, "unreachable")

    async def _push_to(self, to: Subscription, notice: NoticeRow, about: AlertRow) -> bool | None:
        """Send to a browser; False: it is gone, and forgotten; None: try again when the lease has ended."""
        if self.pusher is None:
            return False
        now = self.clock()
        try:
            taken = await self.pusher.send(to, self._told(to, notice, about), notice.alert.hex, now)
        except Unavailable as error:
            _FAILED.labels(notice.channel).inc()
            _log.warning("a push service has not taken a notice", alert=str(notice.alert), error=str(error))
            return None
        async with self.pool.connection() as connection:
            await (
                browsers.note_taken(connection, to.endpoint, now)
                if taken
                else browsers.remove(connection, to.endpoint)
            )
        return taken

    def _told(self, to: Subscription, notice: NoticeRow, about: AlertRow) -> dict[str, Any]:
        """Return what a browser shows: no name and no door, as in every notice."""
        repeat = notice.repeat or notice.tries > 1
        said = compose(_about(about), "", repeat=repeat, purpose=_purpose(notice), language=to.language)
        receipt = f"/api/v1/receipts/{self._receipt_link(notice)}"
        where = " · ".join(filter(None, (about.estate_name or about.estate, about.building)))
        return {"title": said.title, "body": where, "alert": str(notice.alert), "receipt": receipt}

    async def _ask_resident(self, notice: NoticeRow, about: AlertRow) -> None:
        """Call the resident through the gateway, once: who does not answer is seen to by the others."""
        if about.resident is None or not about.phone or not self.resident_url:
            await self._end(notice, "unreachable")
            return
        invitation = Invitation(notice.alert, f"resident:{about.resident}", self.clock() + GOOD_FOR)
        link = f"{self.address}/answer/{links.sign(invitation, self.key)}"
        try:
            await self.sender.send(self.resident_url.replace("{phone}", quote(about.phone)), question(link))
        except Unavailable as error:
            _FAILED.labels(notice.channel).inc()
            _log.warning("a resident could not be asked", alert=str(notice.alert), error=str(error))
            await self._end(notice, "unreachable")
        else:
            await self._record_sent(notice)

    def _link(self, notice: NoticeRow, account: str) -> str:
        """Return the link that takes the alert; to a task or a hand-up one signs in."""
        if _purpose(notice) != "alert":
            return f"{self.address}/alerts/{notice.alert}"
        invitation = Invitation(notice.alert, account, self.clock() + GOOD_FOR)
        return f"{self.address}/take/{links.sign(invitation, self.key)}"

    def _receipt(self, notice: NoticeRow) -> str:
        """Return the link by which a gateway says what became of a notice."""
        return f"{self.address}/api/v1/receipts/{self._receipt_link(notice)}"

    def _receipt_link(self, notice: NoticeRow) -> str:
        return links.sign_receipt(notice.id, notice.contact, self.clock() + GOOD_FOR, self.key)

    async def _record_sent(self, notice: NoticeRow) -> None:
        _SENT.labels(notice.channel).inc()
        async with self.pool.connection() as connection:
            await escalation.note_sent(connection, notice.id, self.clock())

    async def _end(self, notice: NoticeRow, ended: str) -> None:
        async with self.pool.connection() as connection:
            await escalation.end_notice(connection, notice.id, ended, self.clock())

    async def audit(self) -> bool:
        """Look for what was forgotten: alerts without a course, rows far ahead, rows that wait too long."""
        now = self.clock()
        async with self.pool.connection() as connection:
            adopted = await escalation.adopt(connection, now)
            pulled = await escalation.pull_forward(connection, now)
            courses, notices = await escalation.overdue(connection, now - LATE)
            found = {"adopted": adopted, "pulled": pulled, "courses": courses, "notices": notices}
            await heartbeats.beat(connection, f"{self.name}-auditor", now, found)
        _OVERDUE.set(courses + notices)
        if any(found.values()):
            _log.warning("the auditor found something", **found)
        return False

    async def watch_nodes(self) -> bool:
        """Raise one trouble alert for each estate where boxes are gone and residents unwatched."""
        async with self.pool.transaction() as connection:
            await outages.look(connection, self.clock())
        return False

    async def watch_rota(self) -> bool:
        """Raise a trouble alert for each estate whose next 7 days have a gap, or people who are unfit."""
        now = self.clock()
        async with self.pool.connection() as connection:
            known = await read_rota(connection, now)
            estates = await rota_rows.watched_estates(connection)
        for trouble in filter(None, (watch.look(known, estate, now) for estate in estates)):
            async with self.pool.transaction() as connection:
                await watch.raise_trouble(connection, trouble, now)
        return False


async def _while_work(step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps while there is work; when the database is away, leave it for the next time."""
    try:
        while await step():
            pass
    except Unavailable as error:
        _log.warning("escalation waits", error=str(error))


def _purpose(notice: NoticeRow) -> str:
    if notice.task is not None:
        return "task"
    if notice.offer is not None:
        return "offer"
    return "hand_up" if notice.hand_up is not None else "alert"


def _is_wanted(notice: NoticeRow, about: AlertRow) -> bool:
    """Whether a notice still has to be sent: nobody has what it is about."""
    if _purpose(notice) == "alert":
        return State(about.state) in UNTAKEN
    return notice.wanted


async def _decide(connection: Connection, row: CourseRow, now: datetime) -> None:
    about = await escalation.read_alert(connection, row.alert, now)
    if not about.pages:
        await escalation.end_course(connection, row.alert)
        return
    stored = [_stored(policy) for policy in await escalation.policies(connection)]
    course = _course(row, about, stored, now)
    decision = planner.advance(course, _facts(about), now)
    if decision.course is None:
        await escalation.end_course(connection, row.alert)
        return
    await _put_notices(connection, about, decision.course.round, decision, now)
    await escalation.keep_course(connection, _row(row, decision.course))
    if decision.step:  # last: from here to the commit no other alert can change, nor be raised
        await alerts.apply(connection, row.alert, about.version, decision.step, now)


def _facts(about: AlertRow) -> Facts:
    critical = about.priority == Priority.CRITICAL
    state = State(about.state)
    return Facts(state, about.since, about.silenced_until, about.answer, about.resident, critical)


def _course(row: CourseRow, about: AlertRow, stored: list[Stored], now: datetime) -> Course:
    """Return an alert's course; at the beginning of a round the policy of the hour is chosen."""
    if row.policy is None:
        return planner.begin(_choose(about, stored, now), now, row.round)
    return Course(row.round, policies.read(row.policy), row.started_at, row.next, row.due_at)


def _choose(about: AlertRow, stored: list[Stored], now: datetime) -> Policy:
    hour = now.astimezone(ZoneInfo(about.time_zone or "UTC")).hour
    return policies.choose(stored, Priority(about.priority), about.estate, about.kind, hour)


def _row(row: CourseRow, course: Course) -> CourseRow:
    policy = msgspec.to_builtins(course.policy)
    return CourseRow(row.alert, course.round, policy, course.started_at, course.next, course.due_at)


async def _put_notices(
    connection: Connection, about: AlertRow, round_: int, decision: Decision, now: datetime
) -> None:
    if not decision.calls:
        return
    told = await escalation.told(connection, about.id)
    known = await read_rota(connection, now)
    loads = await _loads(connection, now) if any(c.target is Target.OFFICER for c in decision.calls) else {}
    planned = planner.to_people(decision.calls, known, about.estate, told, now, loads)
    await escalation.put_notices(
        connection,
        (
            NewNotice(
                derived_id("notice", about.id, round_, one.entry, one.account, one.channel),
                about.id,
                round_,
                one.entry,
                one.account,
                one.channel,
                one.repeat,
                now,
            )
            for one in planned
        ),
    )


async def _loads(connection: Connection, now: datetime) -> dict[str, Load]:
    found = await escalation.loads(connection, now - PERIOD, now - A_SHIFT)
    return {account: Load(held, alarms, last_at) for account, held, alarms, last_at in found}


async def read_rota(connection: Connection, now: datetime, *, but: int | None = None) -> Rota:
    """Read everybody with their contacts, and the duties that are not over, as they were agreed.

    Args:
        connection: To read with.
        now: Present time.
        but: A shift to be left out, as if it were not there.
    """
    planned = [row for row in await rota_rows.all_shifts(connection, now) if row.id != but]
    index = {row.id: number for number, row in enumerate(planned)}
    shifts = tuple(Shift(row.account, row.duty, row.starts_at, row.ends_at) for row in planned)
    agreed = [
        Cover(index[shift], account, starts_at, ends_at)
        for shift, account, starts_at, ends_at in await rota_rows.agreed(connection, now)
        if shift in index
    ]
    away = tuple(Leave(*row) for row in await rota_rows.all_leaves(connection, now))
    return Rota(await _people(connection), rota.effective(shifts, agreed, away))


async def _people(connection: Connection) -> tuple[Person, ...]:
    reach: dict[str, list[Contact]] = {}
    for account, channel, url, verified_at in await escalation.contacts(connection):
        reach.setdefault(account, []).append(Contact(Channel(channel), url, verified_at))
    pushed = await browsers.accounts(connection)
    return tuple(
        Person(account, role, frozenset(estates), tuple(reach.get(account, ())), account in pushed)
        for account, role, estates in await escalation.people(connection)
    )


async def _person(connection: Connection, account: str | None) -> Person | None:
    return next((p for p in await _people(connection) if p.account == account), None)


def _stored(row: tuple[object, ...]) -> Stored:
    body, *where = row
    return Stored(policies.read(body), *where)  # type: ignore[arg-type]  # columns in the order of the fields


def _about(row: AlertRow) -> About:
    return About(row.kind, row.priority, row.estate_name or row.estate, row.building, row.synthetic)
