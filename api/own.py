"""`/api/v1/me`: what residents and their families see of themselves, and what they can say.

Neighbours: `vigil.store.own` opens each transaction for one account, so that the database shows those
residents and nobody else; `api.console.resident` is the page; `api.consents` holds the texts.  Calling for
help raises an alert as a pendant does.  A problem of the neighbourhood becomes a task of the grid worker.

Rules
-----
1. A resident sees oneself; a family who agrees to it by `family_access`, while they do.
2. Oneself decides: a family changes no consent and says for nobody that all is well.  Either may call
   for help.
3. What a family looks at is written down, as anybody's look is.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints

from api import consents, visits
from api.access import OWN_ONLY, Identity, May, Role
from api.auth import SomebodyDep, require
from api.consents import ConsentBody, ConsentsView, ConsentView, Proven, PurposePath
from api.fields import PROSE, AccountPath, Body, Cursor, Identifier, IfMatch, Limit
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied
from api.residents import Helper, helpers_view
from api.services import ServicesDep
from api.staff import refuse_beyond, visible
from api.tasks import NEIGHBOURHOOD, worker_of
from vigil.alerts import Priority
from vigil.errors import NotFound, Rejected
from vigil.events import derived_id
from vigil.store import accounts, alerts, escalation, own, residents, staff, tasks
from vigil.store.board import EVERYWHERE
from vigil.store.detections import Detection
from vigil.store.own import Report, Tie
from vigil.store.tasks import TaskRow

if TYPE_CHECKING:
    from vigil.store.pool import Connection
    from vigil.store.residents import ResidentRow

router = APIRouter(prefix="/api/v1", tags=["residents' own"], responses=RESPONSES)
PAGE: Final = "page"
"""The device of what was said on the page, as detections name it."""
CALLED: Final = {"en": "Asked for help", "zh": "主动求助"}
PROBLEMS: Final = {
    "lift": {"en": "Neighbourhood: lift", "zh": "邻里问题：电梯"},
    "light": {"en": "Neighbourhood: light", "zh": "邻里问题：照明"},
    "way": {"en": "Neighbourhood: way or stairs", "zh": "邻里问题：道路或楼梯"},
    "noise": {"en": "Neighbourhood: noise", "zh": "邻里问题：噪音"},
    "rubbish": {"en": "Neighbourhood: rubbish", "zh": "邻里问题：垃圾"},
    "other": {"en": "Neighbourhood: other", "zh": "邻里问题：其他"},
}
"""What can be reported -> the sentence of its alert."""
HELPERS: Final = frozenset({"key_holders", "family", "note"})
"""Of the profile: shown as who helps."""


class TieView(BaseModel):
    """Whom an account may see."""

    resident: str
    name: str
    relation: Literal["self", "family"]


class OwnDeviceView(BaseModel):
    """A device that is somebody's."""

    id: str
    kind: str
    since: datetime | None


class OwnAlertView(BaseModel):
    """An alert about oneself that is open."""

    id: UUID
    kind: str
    state: str
    raised_at: datetime


class OwnView(BaseModel):
    """Everything that is known of a resident.

    Attributes:
        watched: The platform watches over them.
        risk: 1 to 3: how soon somebody knocks when the platform fails.
        known: Whatever else stands in the profile.
    """

    resident: str
    name: str
    relation: Literal["self", "family"]
    phone: str | None
    estate: str
    building: str | None
    home: str | None
    floor: int | None
    lives_alone: bool
    watched: bool
    risk: int
    key_holders: list[Helper]
    family: list[Helper]
    note: str
    known: dict[str, Any]
    devices: list[OwnDeviceView]
    alerts: list[OwnAlertView]


class LookView(BaseModel):
    """Somebody looked: who, when, at what, and why."""

    id: int
    at: datetime
    actor: str
    name: str | None
    role: str | None
    purpose: str
    what: str


class AnswerBody(Body):
    """`fine` or `help`."""

    answer: Literal["fine", "help"]


class AnswerView(BaseModel):
    """What followed: the call's alert, or which open alerts were told."""

    answer: Literal["fine", "help"]
    alert: UUID | None
    told: list[UUID]


class ReportBody(Body):
    """A problem of the neighbourhood, in one's own words."""

    kind: Literal["lift", "light", "way", "noise", "rubbish", "other"]
    words: Annotated[
        str, StringConstraints(min_length=1, max_length=500, pattern=PROSE, strip_whitespace=True)
    ] = Field(examples=["The lamp on the second floor of stair 3 is out"])


class ReportView(BaseModel):
    """What was reported, and what became of it: `state` is the grid worker's task, if there is one."""

    id: UUID
    kind: str
    words: str
    made_at: datetime
    state: Literal["given", "accepted", "done", "withdrawn"] | None
    outcome: str | None


class TieBody(Body):
    """A resident whose account it is, or of whose family."""

    resident: Identifier
    relation: Literal["self", "family"]


class TiesBody(Body):
    """Everybody whom an account stands for."""

    residents: list[TieBody] = Field(max_length=20, examples=[[{"resident": "r-17", "relation": "family"}]])


@router.get("/me")
async def list_own(services: ServicesDep, identity: SomebodyDep) -> list[TieView]:
    """Say whom the caller may see here: oneself, or who agrees to it."""
    require(identity, May.SEE_OWN)
    async with services.scoped(identity) as connection:
        return await ties(connection, identity, services.clock())


@router.get("/me/{resident}")
async def get_own(services: ServicesDep, identity: SomebodyDep, resident: AccountPath) -> OwnView:
    """Say everything that is known of a resident."""
    require(identity, May.SEE_OWN)
    now = services.clock()
    async with services.scoped(identity) as connection:
        found = await enter(connection, identity, resident, now)
        await note_family(connection, identity, resident, "record", now)
        return await read(connection, identity, found, now)


@router.get("/me/{resident}/looks")
async def list_looks(
    services: ServicesDep,
    identity: SomebodyDep,
    resident: AccountPath,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[LookView]:
    """Say who looked at what concerns a resident, and why, the latest first."""
    require(identity, May.SEE_OWN)
    now = services.clock()
    before = position(cursor, int, None)
    async with services.scoped(identity) as connection:
        await enter(connection, identity, resident, now)
        await note_family(connection, identity, resident, "looks", now)
        found = await own.looks(connection, resident, limit + 1, before)
    shown, following = page(found, limit, [one.id for one in found])
    return Page(items=[LookView.model_validate(one, from_attributes=True) for one in shown], next=following)


@router.get("/me/{resident}/consents")
async def list_own_consents(
    services: ServicesDep, identity: SomebodyDep, resident: AccountPath
) -> ConsentsView:
    """Say what a resident agrees to."""
    require(identity, May.SEE_OWN)
    now = services.clock()
    async with services.scoped(identity) as connection:
        await enter(connection, identity, resident, now)
        await note_family(connection, identity, resident, "consents", now)
        return await consents.read(connection, resident, now)


@router.put("/me/{resident}/consents/{purpose}", response_model=ConsentView)
async def change_own_consent(
    write: WriteDep, identity: SomebodyDep, resident: AccountPath, purpose: PurposePath, body: ConsentBody
) -> Response:
    """Agree to a purpose, or withdraw; the answer says what helps without it."""
    require(identity, May.CONSENT_OWN)

    async def do(connection: Connection) -> Done:
        return Done(await decide(connection, identity, resident, purpose, body, write.services.clock()))

    return await write(do)


@router.post("/me/{resident}/answer", response_model=AnswerView)
async def say(write: WriteDep, identity: SomebodyDep, resident: AccountPath, body: AnswerBody) -> Response:
    """Call for help, or say that all is well."""
    require(identity, May.SAY_OWN)

    async def do(connection: Connection) -> Done:
        return Done(await answer(connection, identity, resident, body.answer, write.services.clock()))

    return await write(do)


@router.get("/me/{resident}/reports")
async def list_reports(
    services: ServicesDep, identity: SomebodyDep, resident: AccountPath
) -> list[ReportView]:
    """List what was reported of the neighbourhood, and what became of it."""
    require(identity, May.SEE_OWN)
    now = services.clock()
    async with services.scoped(identity) as connection:
        await enter(connection, identity, resident, now)
        await note_family(connection, identity, resident, "reports", now)
        return await reports(connection, resident)


@router.post("/me/{resident}/reports", status_code=HTTPStatus.CREATED, response_model=ReportView)
async def add_report(
    write: WriteDep, identity: SomebodyDep, resident: AccountPath, body: ReportBody
) -> Response:
    """Report a problem of the neighbourhood; the grid worker of the building is given it as a task."""
    require(identity, May.SAY_OWN)

    async def do(connection: Connection) -> Done:
        made = await report(connection, identity, resident, body, write.services.clock())
        return Done(made, HTTPStatus.CREATED)

    return await write(do)


@router.get("/accounts/{account}/residents")
async def get_ties(
    services: ServicesDep, identity: SomebodyDep, account: AccountPath, response: Response
) -> TiesBody:
    """Say whose account it is."""
    require(identity, May.MANAGE_STAFF)
    async with services.scoped(identity) as connection:
        member = await visible(connection, identity, account)
        response.headers["ETag"] = etag(member.version)
        found = await own.ties(connection, account)
    return TiesBody.model_construct(
        residents=[TieBody.model_construct(resident=t.resident, relation=t.relation) for t in found]
    )


@router.put("/accounts/{account}/residents", response_model=TiesBody)
async def put_ties(
    write: WriteDep, identity: SomebodyDep, account: AccountPath, body: TiesBody, if_match: IfMatch = None
) -> Response:
    """Write whose account it is.  A family sees nothing before the resident agrees to `family_access`.

    With `If-Match` (the account's version) it is written only on what was seen.
    """
    require(identity, May.MANAGE_STAFF)

    async def do(connection: Connection) -> Done:
        member = await visible(connection, identity, account, lock=True)
        refuse_beyond(identity, member.estates)
        if if_match is not None:
            check_version(if_match, member.version)
        await _check_ties(connection, identity, Role(member.role), body)
        asked = [Tie(one.resident, one.relation) for one in body.residents]
        await own.put_ties(connection, account, asked, identity.actor, write.services.clock())
        return Done(body, version=await staff.touch(connection, account))

    return await write(do)


async def _check_ties(connection: Connection, identity: Identity, role: Role, body: TiesBody) -> None:
    """Refuse ties that the account's role does not have, and residents out of scope.

    Raises:
        Rejected: `invalid`.
        NotFound: There is no such resident.
    """
    relation = "self" if role is Role.RESIDENT else "family"
    if role not in OWN_ONLY or any(one.relation != relation for one in body.residents):
        raise Rejected("invalid", "a resident's account is their own; a family's is of those it belongs to")
    if role is Role.RESIDENT and len(body.residents) > 1:
        raise Rejected("invalid", "a resident's account is of one resident")
    for one in body.residents:
        if await residents.resident(connection, one.resident, identity.scope) is None:
            raise NotFound("resident", one.resident)


async def ties(connection: Connection, identity: Identity, now: datetime) -> list[TieView]:
    """Open a transaction for an account, and return whom it may see."""
    relation = _relation(identity)
    seen = await own.enter(connection, _account(identity), now)
    found = [await residents.resident(connection, one, EVERYWHERE) for one in seen]
    return [TieView(resident=one.id, name=one.name, relation=relation) for one in found if one is not None]


async def enter(connection: Connection, identity: Identity, resident: str, now: datetime) -> ResidentRow:
    """Open a transaction for an account, and return a resident whom it may see.

    Raises:
        NotFound: It may not, or there is none.
    """
    seen = await own.enter(connection, _account(identity), now)
    # The database shows those alone; that it is one of them is asked here, too.
    found = await residents.resident(connection, resident, EVERYWHERE) if resident in seen else None
    if found is None:
        raise NotFound("resident", resident)
    return found


async def note_family(
    connection: Connection, identity: Identity, resident: str, what: str, now: datetime
) -> None:
    """Write down that family has looked; one's own look is nobody's business."""
    if identity.role is Role.FAMILY:
        await accounts.note_access(connection, resident, identity.actor, "family", what, now)


async def read(connection: Connection, identity: Identity, found: ResidentRow, now: datetime) -> OwnView:
    """Collect everything that is known of a resident."""
    helpers = helpers_view(found)
    return OwnView(
        resident=found.id,
        name=found.name,
        relation=_relation(identity),
        phone=found.phone,
        estate=found.estate,
        building=found.building,
        home=found.home,
        floor=found.floor,
        lives_alone=found.lives_alone,
        watched=found.flagged,
        risk=found.risk,
        key_holders=helpers.key_holders,
        family=helpers.family,
        note=helpers.note,
        known={k: v for k, v in (await own.profile(connection, found.id)).items() if k not in HELPERS},
        devices=[
            OwnDeviceView.model_validate(one, from_attributes=True)
            for one in await own.devices(connection, found.id, now)
        ],
        alerts=[
            OwnAlertView.model_validate(one, from_attributes=True)
            for one in await own.open_alerts(connection, found.id)
        ],
    )


async def decide(
    connection: Connection,
    identity: Identity,
    resident: str,
    purpose: PurposePath,
    body: ConsentBody,
    now: datetime,
) -> ConsentView:
    """Write one's own word down; that one was signed in is the proof."""
    await enter(connection, identity, resident, now)
    proven = Proven(given_by="self", proof="signed in")
    return await consents.change(connection, resident, purpose, body, proven, identity.actor, now)


async def answer(
    connection: Connection, identity: Identity, resident: str, said: Literal["fine", "help"], now: datetime
) -> AnswerView:
    """Tell open alerts what was said; a call for help raises one, or joins the one that is open.

    Raises:
        Denied: Somebody else says that all is well.
    """
    found = await enter(connection, identity, resident, now)
    if said == "fine" and identity.role is not Role.RESIDENT:
        raise Denied(HTTPStatus.FORBIDDEN, "role", "That all is well is theirs to say, not their family's.")
    concerned = [one.id for one in await own.open_alerts(connection, resident)]
    for alert in concerned:
        await escalation.put_answer(connection, alert, said, "account", now)
    if said == "fine":
        return AnswerView(answer=said, alert=None, told=concerned)
    await own.act_for_platform(connection)
    called = await _raise(
        connection, found, f"resident:{resident}", "sos", Priority.CRITICAL, resident, CALLED, now
    )
    return AnswerView(answer=said, alert=called, told=concerned)


async def reports(connection: Connection, resident: str) -> list[ReportView]:
    """Return what a resident has reported, and what became of it."""
    found = await own.reports(connection, resident, 50)
    return [ReportView.model_validate(one, from_attributes=True) for one in found]


async def report(
    connection: Connection, identity: Identity, resident: str, body: ReportBody, now: datetime
) -> ReportView:
    """Put a problem of the neighbourhood on the board, and give it to the grid worker of the building."""
    found = await enter(connection, identity, resident, now)
    id_ = uuid4()
    await own.act_for_platform(connection)
    sentence, subject = PROBLEMS[body.kind], f"report:{id_}"
    alert = await _raise(connection, found, subject, NEIGHBOURHOOD, Priority.MEDIUM, None, sentence, now)
    worker = await worker_of(connection, found.estate, found.building, now)
    task = None if worker is None else _task(alert, found.estate, worker, body.words, identity.actor, now)
    if task is not None:
        await tasks.add_task(connection, task)
    given = task.id if task else None
    state = task.state if task else None
    made = Report(id_, body.kind, body.words, now, alert, given, state, None)
    await own.add_report(connection, made, resident, found.estate, identity.actor)
    return ReportView.model_validate(made, from_attributes=True)


def _task(alert: UUID, estate: str, worker: str, words: str, actor: str, now: datetime) -> TaskRow:
    return TaskRow(
        id=uuid4(),
        alert=alert,
        estate=estate,
        account=worker,
        state=visits.TaskState.GIVEN,
        stage=visits.Stage.KNOCK,
        outcome=None,
        note=words,
        given_by=actor,
        given_at=now,
        changed_at=now,
        version=1,
    )


async def _raise(
    connection: Connection,
    found: ResidentRow,
    subject: str,
    kind: str,
    priority: Priority,
    resident: str | None,
    sentence: dict[str, str],
    now: datetime,
) -> UUID:
    """Raise an alert as processors do, on what was said here."""
    zone = await own.home_of(connection, found.id)
    said = Detection(
        id=derived_id("detection", kind, subject, now.isoformat()),
        event=derived_id("said", kind, subject, now.isoformat()),
        time=now,
        kind=kind,
        subject=subject,
        resident=resident,
        zone=zone,
        estate=found.estate,
        device=PAGE,
        score=1.0,
        model="rule",
        model_version="1",
        explanation=sentence,
        synthetic=None,
        made_at=now,
    )
    return await alerts.raise_found(connection, said, priority, now)


def _relation(identity: Identity) -> Literal["self", "family"]:
    return "self" if identity.role is Role.RESIDENT else "family"


def _account(identity: Identity) -> str:
    return identity.actor.partition(":")[2]
