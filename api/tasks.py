"""`/api/v1/tasks`: a grid worker goes to a door, with the key-holder and what to know.

Neighbours: `api.visits` decides, `vigil.store.tasks` keeps, the escalator sends the notice that
asks.  Who gives a task still has the alert; that somebody is with the resident is said by the
worker's report, and moves the alert.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from api import visits
from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.escalation.worker import read_rota
from api.fields import PLAIN, AccountPath, Body, Cursor, Identifier, IfMatch, Limit, Prose
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied
from api.residents import HelpersView, helpers_view
from api.services import ServicesDep
from api.staff import refuse_beyond, visible
from api.visits import Beat, Report, Stage, Standing, TaskState
from vigil.alerts import UNTAKEN, Action, Outcome, State, Step
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, alerts, board, residents, staff, tasks
from vigil.store.tasks import TaskRow

if TYPE_CHECKING:
    from vigil.store.board import Card
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["tasks"], responses=RESPONSES)
WITH_THEM = frozenset({Report.SEEN_WELL, Report.PHONE_WELL, Report.NEEDS_HELP})
"""Reports of who is with the resident, or speaks with them."""
NEIGHBOURHOOD = "neighbourhood"
"""The kind of alert that a resident's report of the neighbourhood makes."""
SETTLES = frozenset({Report.PUT_RIGHT, Report.PASSED_ON})
"""Reports that close the alert, too (rule 6 of `api.visits`)."""


class GiveBody(Body):
    """To whom, if not to the grid worker of the building on duty, and what else to know."""

    account: Identifier | None = Field(None, examples=["chen.li"])
    note: Prose = Field("", examples=["She fell last week; look whether she can stand"])


class ReportBody(Body):
    """What was found; with `alert_outcome` the alert is closed in the same tap."""

    what: Literal[
        Report.SEEN_WELL,
        Report.PHONE_WELL,
        Report.REFUSED,
        Report.NO_ANSWER,
        Report.NEEDS_HELP,
        Report.EMERGENCY_CALLED,
        Report.PUT_RIGHT,
        Report.PASSED_ON,
    ]
    note: Prose = ""
    alert_outcome: Outcome | None = None


class ReportView(BaseModel):
    """What was said of a task."""

    version: int
    what: str
    actor: str
    note: str
    at: datetime


class TaskView(BaseModel):
    """A task as it stands; `stage` is what the worker does next."""

    id: UUID
    alert: UUID
    estate: str
    account: str
    state: TaskState
    stage: Stage
    outcome: Literal["seen_well", "phone_well", "refused", "emergency", "put_right", "passed_on"] | None
    note: str
    given_by: str
    given_at: datetime
    changed_at: datetime
    version: int


class TaskDetail(TaskView):
    """A task with the door, who has a key to it, and what was said so far.

    Attributes:
        home: As it stands on the door; None where the alert has a zone but no resident.
        helpers: Key-holders and family, and the note for who stands at the door.
    """

    home: str | None
    building: str | None
    floor: int | None
    resident_name: str | None
    helpers: HelpersView | None
    reports: list[ReportView]


class BeatBody(Body):
    """A building that somebody looks after; without one it is the whole estate."""

    estate: Identifier
    building: Annotated[str, StringConstraints(max_length=100, pattern=PLAIN)] = ""


class BeatsBody(Body):
    """Everything that somebody looks after."""

    buildings: list[BeatBody] = Field(max_length=200, examples=[[{"estate": "e1", "building": "3号楼"}]])


@router.get("/accounts/{account}/beat")
async def get_beat(services: ServicesDep, identity: SomebodyDep, account: AccountPath) -> BeatsBody:
    """Say which buildings a grid worker looks after."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        await visible(connection, identity, account)
        found = await tasks.beats(connection, account)
    return BeatsBody.model_construct(
        buildings=[BeatBody.model_construct(estate=e, building=b) for _, e, b in found]
    )


@router.put("/accounts/{account}/beat", response_model=BeatsBody)
async def put_beat(
    write: WriteDep, identity: SomebodyDep, account: AccountPath, body: BeatsBody, if_match: IfMatch = None
) -> Response:
    """Write which buildings a grid worker looks after; with `If-Match` only on the account as it was seen."""
    require(identity, May.MANAGE_ROTA)
    estates = [one.estate for one in body.buildings]
    refuse_beyond(identity, estates)

    async def do(connection: Connection) -> Done:
        member = await visible(connection, identity, account, lock=True)
        if if_match is not None:
            check_version(if_match, member.version)
        if unknown := set(estates) - await tasks.known_estates(connection, estates):
            raise Rejected("invalid", f"there is no estate {min(unknown)}")
        await tasks.put_beats(connection, account, [(one.estate, one.building) for one in body.buildings])
        return Done(body, version=await staff.touch(connection, account))

    return await write(do)


@router.post("/alerts/{alert}/tasks", status_code=HTTPStatus.CREATED, response_model=TaskView)
async def give_task(write: WriteDep, identity: SomebodyDep, alert: UUID, body: GiveBody) -> Response:
    """Send a grid worker to the door: the one of the building, unless somebody is named."""
    require(identity, May.TAKE)
    require(identity, May.SEE_PEOPLE)

    async def do(connection: Connection) -> Done:
        card = await _card(connection, identity, alert)
        if State(card.alert.state) in (State.RESOLVED, State.REVIEWED):
            raise Rejected("not_allowed", "this alert is closed")
        now = write.services.clock()
        account = body.account or await _worker(connection, card, now)
        await _check_worker(connection, identity, account, card.alert.estate)
        new = TaskRow(
            id=uuid4(),
            alert=alert,
            estate=card.alert.estate,
            account=account,
            state=TaskState.GIVEN,
            stage=Stage.KNOCK,
            outcome=None,
            note=body.note,
            given_by=identity.actor,
            given_at=now,
            changed_at=now,
            version=1,
        )
        if not await tasks.add_task(connection, new):
            raise Rejected("not_allowed", "somebody is on the way to this alert already")
        return Done(_view(new), HTTPStatus.CREATED, 1, f"/api/v1/tasks/{new.id}")

    return await write(do)


async def _worker(connection: Connection, card: Card, now: datetime) -> str:
    found = await worker_of(connection, card.alert.estate, card.names.building, now)
    if found is None:
        raise Rejected("nobody", "this estate has no grid worker; name somebody, or hand the alert up")
    return found


async def worker_of(connection: Connection, estate: str, building: str | None, now: datetime) -> str | None:
    """Return the account of whoever is to go to a building's doors; None where nobody is there."""
    known = await read_rota(connection, now)
    beats = tuple(Beat(*row) for row in await tasks.beats(connection))
    found = visits.choose(known, beats, estate, building, now)
    return found.account if found else None


async def _check_worker(connection: Connection, identity: Identity, account: str, estate: str) -> None:
    member = await visible(connection, identity, account)
    if member.disabled_at is not None or not {estate, "*"} & set(member.estates):
        raise Rejected("invalid", f"{account} does not look after this estate")


@router.get("/tasks")
async def list_tasks(
    services: ServicesDep,
    identity: SomebodyDep,
    state: Annotated[Literal["open", "all"], Query()] = "open",
    mine: Annotated[bool, Query(description="Only those given to the caller")] = False,
    alert: Annotated[UUID | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[TaskView]:
    """List tasks, the latest first."""
    require(identity, May.SEE_PEOPLE)
    before = position(cursor, tuple[datetime, UUID], None)
    async with services.scoped(identity) as connection:
        found = await tasks.tasks(
            connection,
            identity.scope,
            limit + 1,
            before,
            account=_account(identity) if mine else None,
            alert=alert,
            only_open=state == "open",
        )
    shown, following = page(found, limit, [(one.given_at, one.id) for one in found])
    return Page(items=[_view(one) for one in shown], next=following)


@router.get("/tasks/{task}")
async def get_task(
    services: ServicesDep, identity: SomebodyDep, task: UUID, response: Response
) -> TaskDetail:
    """Return a task with the door and who has a key; the look at the resident is written down."""
    require(identity, May.SEE_PEOPLE)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, task)
        card = await _card(connection, identity, found.alert)
        helpers = await _helpers(connection, identity, card, services.clock(), f"task:{task}")
        said = await tasks.reports(connection, task)
    response.headers["ETag"] = etag(found.version)
    return TaskDetail(
        **dict(_view(found)),
        home=card.names.zone,
        building=card.names.building,
        floor=card.names.floor,
        resident_name=card.names.resident,
        helpers=helpers,
        reports=[ReportView.model_validate(one, from_attributes=True) for one in said],
    )


async def _helpers(
    connection: Connection, identity: Identity, card: Card, now: datetime, what: str
) -> HelpersView | None:
    if card.alert.resident is None:
        return None
    found = await residents.resident(connection, card.alert.resident, identity.scope)
    if found is None:
        return None
    await accounts.note_access(connection, found.id, identity.actor, "care", what, now)
    return helpers_view(found)


@router.post("/tasks/{task}/accept", response_model=TaskView)
async def accept_task(
    write: WriteDep, identity: SomebodyDep, task: UUID, if_match: IfMatch = None
) -> Response:
    """Say that one is on the way."""
    return await _report(write, identity, task, if_match, Report.ACCEPTED, "", None)


@router.post("/tasks/{task}/report", response_model=TaskView)
async def report_task(
    write: WriteDep, identity: SomebodyDep, task: UUID, body: ReportBody, if_match: IfMatch = None
) -> Response:
    """Say what was found.  No answer leads to the key-holder, then to the emergency services."""
    return await _report(write, identity, task, if_match, body.what, body.note, body.alert_outcome)


@router.post("/tasks/{task}/withdraw", response_model=TaskView)
async def withdraw_task(
    write: WriteDep, identity: SomebodyDep, task: UUID, if_match: IfMatch = None
) -> Response:
    """Take a task back: who gave it, or a leader."""
    return await _report(write, identity, task, if_match, Report.WITHDRAWN, "", None)


async def _report(
    write: WriteDep,
    identity: Identity,
    task: UUID,
    if_match: str | None,
    what: Report,
    note: str,
    outcome: Outcome | None,
) -> Response:
    require(identity, May.TAKE)

    async def do(connection: Connection) -> Done:
        alert = (await _found(connection, identity, task)).alert
        # The alert first, as everywhere: whoever changes both locks them in one order.
        await alerts.get(connection, alert, lock=True)
        before = await _found(connection, identity, task)
        check_version(if_match, before.version)
        _check_side(identity, before, what)
        now = write.services.clock()
        card = await _card(connection, identity, alert)
        if what in SETTLES and card.alert.kind != NEIGHBOURHOOD:
            raise Rejected("not_allowed", "this task is about a person; say how they are")
        after = visits.decide(await _standing(connection, identity, before, card), what)
        new = replace(
            before,
            state=after.state,
            stage=after.stage,
            outcome=after.outcome,
            changed_at=now,
            version=before.version + 1,
        )
        await tasks.change_task(connection, new, what, identity.actor, note)
        await _move_alert(connection, identity, alert, what, note, outcome, now)
        return Done(_view(new), version=new.version)

    return await write(do)


def _check_side(identity: Identity, task: TaskRow, what: Report) -> None:
    """Let the worker report, and who gave it or a leader withdraw (rule 4 of `api.visits`).

    Raises:
        Denied: 403.
    """
    mine = identity.actor == f"person:{task.account}"
    gives = identity.actor == task.given_by or identity.may(May.MANAGE_ROTA)
    if not (gives if what is Report.WITHDRAWN else mine):
        raise Denied(HTTPStatus.FORBIDDEN, "role", f"This task is {task.account}'s.")


async def _standing(connection: Connection, identity: Identity, task: TaskRow, card: Card) -> Standing:
    found = None
    if card.alert.resident is not None:
        found = await residents.resident(connection, card.alert.resident, identity.scope)
    has_key = found is not None and bool(helpers_view(found).key_holders)
    return Standing(TaskState(task.state), Stage(task.stage), has_key, task.outcome)


async def _move_alert(
    connection: Connection,
    identity: Identity,
    alert: UUID,
    what: Report,
    note: str,
    outcome: Outcome | None,
    now: datetime,
) -> None:
    """Move the alert on by what the worker found (rule 5 of `api.visits`)."""
    found = await alerts.get(connection, alert, lock=True)
    reason = f"{what}: {note}" if note else str(what)
    if outcome is None and what in SETTLES:
        outcome = Outcome.TRUE
    if outcome is not None:
        step = Step(Action.RESOLVE, identity.actor, reason, outcome=outcome)
        await alerts.apply(connection, alert, found.version, step, now)
    elif what in WITH_THEM and State(found.state) in UNTAKEN | {State.ACKNOWLEDGED}:
        await alerts.apply(connection, alert, found.version, Step(Action.ATTEND, identity.actor, reason), now)


async def _found(connection: Connection, identity: Identity, task: UUID) -> TaskRow:
    found = await tasks.task(connection, task, identity.scope)
    if found is None:
        raise NotFound("task", str(task))
    return found


async def _card(connection: Connection, identity: Identity, alert: UUID) -> Card:
    card = await board.find_card(connection, alert, identity.scope)
    if card is None:
        raise NotFound("alert", str(alert))
    return card


def _account(identity: Identity) -> str:
    return identity.actor.partition(":")[2]


def _view(found: TaskRow) -> TaskView:
    return TaskView.model_validate({name: getattr(found, name) for name in TaskRow.__dataclass_fields__})
