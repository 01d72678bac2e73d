"""`/api/v1/shifts`, `/handovers`, `/leave`, `/rota`: who has duty, and how that changes.

Neighbours: `api.escalation.rota` decides what follows, `vigil.store.rota` keeps the rows.  A
shift stays as it was planned; what people agree upon lies over it.  A handover has two sides:
one offers, the other accepts, and until then the duty is where it was.  Planned shifts and leave are
on record like the register, and taken back by the same checks (`api.register.changes`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.escalation import rota
from api.escalation.policies import Target
from api.escalation.rota import Person, Rota, Shift
from api.escalation.worker import read_rota
from api.fields import (
    LARGEST_ID,
    Cursor,
    EstateQuery,
    Identifier,
    IdPath,
    IfMatch,
    Limit,
    Moment,
    Prose,
    Span,
)
from api.ical import Entry, calendar
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.register.edits import Edit
from api.services import Services, ServicesDep
from api.staff import visible
from vigil.errors import NotFound, Rejected
from vigil.store import register
from vigil.store import rota as rows
from vigil.store.accounts import EVERY_ESTATE
from vigil.store.register import Change, NewChange
from vigil.store.rota import CoverRow, LeaveRow, NewCover, ShiftRow, Window

if TYPE_CHECKING:
    from vigil.store.board import Scope
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["rota"], responses=RESPONSES)
LONGEST_SHIFT: Final = timedelta(hours=24)
LISTED: Final = timedelta(days=35)
"""How far a listing without `until` reaches."""
Duty = Literal["officer", "supervisor", "grid_worker"]
Since = Annotated[Moment | None, Query(description="What ends after it; now, where it is left out")]
Until = Annotated[Moment | None, Query(description="What begins before it; 35 days after `since`")]
WhoseQuery = Annotated[Identifier | None, Query(description="Of this account alone")]


class ShiftBody(Span):
    """A shift as it should be."""

    account: Identifier = Field(examples=["li.na"])
    duty: Duty


class ShiftView(BaseModel):
    """A shift as it was planned; `version` is the ETag's number."""

    id: int
    account: str
    duty: Duty
    starts_at: datetime
    ends_at: datetime
    version: int


class CoverBody(Span):
    """Who stands in for which part of a shift."""

    account: Identifier = Field(description="Who stands in", examples=["wu.jun"])
    note: Prose = ""


class CoverView(BaseModel):
    """Somebody stands in for a part of a shift.

    Attributes:
        holder: Whose shift it was planned as.
        account: Who stands in.
        state: An override is accepted at once; a handover is `offered` until it is answered.
    """

    id: int
    shift: int
    holder: str
    account: str
    starts_at: datetime
    ends_at: datetime
    kind: Literal["override", "handover"]
    state: Literal["offered", "accepted", "declined", "withdrawn"]
    note: str
    made_by: str
    made_at: datetime
    answered_at: datetime | None
    version: int


class LeaveBody(Span):
    """When somebody is away."""

    account: Identifier = Field(examples=["li.na"])
    reason: Prose = Field("", examples=["annual leave"])


class LeaveView(BaseModel):
    """When somebody is away."""

    id: int
    account: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    made_by: str
    made_at: datetime
    version: int


class Gap(BaseModel):
    """A time at which no officer has duty for an estate."""

    estate: str
    starts_at: datetime
    ends_at: datetime


class Lapse(BaseModel):
    """Somebody (`account`) will have duty at `at` without two contacts that are verified."""

    at: datetime
    account: str = Field(examples=["li.na"])
    why: str = Field(examples=["li.na has 1 of 2 contacts verified within 30 days"])


class DutyNow(BaseModel):
    """Whom each target of a policy is for now, and what is wrong within the next 7 days."""

    estate: str
    targets: dict[Target, list[str]]
    gaps: list[Gap]
    lapses: list[Lapse]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of a listing somebody asks for."""

    services: Services
    identity: Identity
    since: datetime | None
    until: datetime | None
    account: str | None
    limit: int
    cursor: str | None


async def _asked(
    services: ServicesDep,
    identity: SomebodyDep,
    since: Since = None,
    until: Until = None,
    account: WhoseQuery = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Asked:
    return Asked(services, identity, since, until, account, limit, cursor)


AskedDep = Annotated[Asked, Depends(_asked)]


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=_Numbered)
V = TypeVar("V", bound=BaseModel)


@router.get("/shifts")
async def list_shifts(ask: AskedDep) -> Page[ShiftView]:
    """List shifts as they were planned."""
    return await _listed(ask, rows.shifts, _shift)


async def _listed(
    ask: Asked, read: Callable[[Connection, Window, Scope], Awaitable[list[R]]], show: Callable[[R], V]
) -> Page[V]:
    """Return the page that was asked for of shifts, of covers or of leave."""
    require(ask.identity, May.SEE_STAFF)
    begin = ask.since or ask.services.clock()
    after = min(position(ask.cursor, int, 0), LARGEST_ID)
    window = Window(begin, ask.until or begin + LISTED, after, ask.limit + 1, ask.account)
    async with ask.services.scoped(ask.identity) as connection:
        found = await read(connection, window, ask.identity.scope)
    shown, following = page(found, ask.limit, [one.id for one in found])
    return Page(items=[show(one) for one in shown], next=following)


@router.post("/shifts", status_code=HTTPStatus.CREATED, response_model=ShiftView)
async def add_shift(write: WriteDep, identity: SomebodyDep, body: ShiftBody) -> Response:
    """Put somebody on duty; only who can be reached for certain may go."""
    require(identity, May.MANAGE_ROTA)
    _check_span(body)

    async def do(connection: Connection) -> Done:
        made = await _add_shift(Edit(connection, identity, write.services.clock()), body)
        return Done(_shift(made), HTTPStatus.CREATED, 1, f"/api/v1/shifts/{made.id}")

    return await write(do)


@router.get("/shifts/{shift}")
async def get_shift(
    services: ServicesDep, identity: SomebodyDep, shift: IdPath, response: Response
) -> ShiftView:
    """Return one shift."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        found = await found_shift(connection, identity, shift)
    response.headers["ETag"] = etag(found.version)
    return _shift(found)


@router.put("/shifts/{shift}", response_model=ShiftView)
async def change_shift(
    write: WriteDep, identity: SomebodyDep, shift: IdPath, body: ShiftBody, if_match: IfMatch = None
) -> Response:
    """Change a shift; what was agreed about it holds for the part that is left."""
    require(identity, May.MANAGE_ROTA)
    _check_span(body)

    async def do(connection: Connection) -> Done:
        before = await found_shift(connection, identity, shift)
        check_version(if_match, before.version)
        new = await _change_shift(Edit(connection, identity, write.services.clock()), before, body)
        return Done(_shift(new), version=new.version)

    return await write(do)


@router.delete("/shifts/{shift}", status_code=HTTPStatus.NO_CONTENT)
async def remove_shift(
    write: WriteDep, identity: SomebodyDep, shift: IdPath, if_match: IfMatch = None
) -> Response:
    """Take somebody off duty; a gap that this makes is said at once."""
    require(identity, May.MANAGE_ROTA)

    async def do(connection: Connection) -> Done:
        before = await found_shift(connection, identity, shift)
        check_version(if_match, before.version)
        await _remove_shift(Edit(connection, identity, write.services.clock()), before)
        return Done(None)

    return await write(do)


async def _add_shift(edit: Edit, body: ShiftBody) -> ShiftRow:
    await _check_duty(edit.connection, edit.identity, body, edit.now)
    id_ = await rows.add_shift(edit.connection, body.account, body.duty, body.starts_at, body.ends_at)
    await _put_on_record(edit, "shift", id_, 1, None, body)
    return ShiftRow(id_, body.account, body.duty, body.starts_at, body.ends_at, 1)


async def _change_shift(edit: Edit, before: ShiftRow, body: ShiftBody) -> ShiftRow:
    await _check_duty(edit.connection, edit.identity, body, edit.now, but=before.id)
    version = before.version + 1
    new = ShiftRow(before.id, body.account, body.duty, body.starts_at, body.ends_at, version)
    await rows.change_shift(edit.connection, new)
    await _put_on_record(edit, "shift", new.id, new.version, _as_sent(ShiftBody, before), body)
    return new


async def _remove_shift(edit: Edit, before: ShiftRow) -> None:
    await rows.remove_shift(edit.connection, before.id)
    await _put_on_record(edit, "shift", before.id, before.version, _as_sent(ShiftBody, before), None)


async def undo_shift(edit: Edit, change: Change) -> None:
    """Take a change of a planned shift back.

    Raises:
        Rejected: It was changed again since, or what it was before is not possible any more.
    """
    before = None if change.before is None else ShiftBody.model_validate(change.before)
    if change.after is None and before is not None:
        await _add_shift(edit, before)
        return
    found = await found_shift(edit.connection, edit.identity, int(change.thing_id))
    _refuse_changed(_as_sent(ShiftBody, found), change)
    if before is None:
        await _remove_shift(edit, found)
    else:
        await _change_shift(edit, found, before)


B = TypeVar("B", bound=Span)


def _as_sent(body: type[B], row: ShiftRow | LeaveRow) -> B:
    """Return a row as somebody would send it."""
    return body.model_validate({name: getattr(row, name) for name in body.model_fields})


def _refuse_changed(now: Span, change: Change) -> None:
    if now.model_dump(mode="json") != change.after:
        raise Rejected("not_allowed", "it was changed again since; take the later change back first")


async def _put_on_record(
    edit: Edit, thing: str, id_: int, version: int, before: B | None, after: B | None
) -> None:
    """Write down who changed duty or leave, for whoever looks after the person's estates."""
    was, is_ = (None if one is None else one.model_dump(mode="json") for one in (before, after))
    account = (was or is_ or {})["account"]
    member = await visible(edit.connection, edit.identity, account)
    estate = None if EVERY_ESTATE in member.estates else next(iter(member.estates), None)
    new = NewChange(thing, str(id_), estate, version, was, is_, edit.identity.actor, edit.undoes)
    await register.note(edit.connection, new, edit.now)


@router.post("/shifts/{shift}/overrides", status_code=HTTPStatus.CREATED, response_model=CoverView)
async def override(write: WriteDep, identity: SomebodyDep, shift: IdPath, body: CoverBody) -> Response:
    """Order that somebody stands in for a part of a shift; it holds at once."""
    require(identity, May.MANAGE_ROTA)
    return await _stand_in(write, identity, shift, body, "override")


@router.post("/shifts/{shift}/handovers", status_code=HTTPStatus.CREATED, response_model=CoverView)
async def offer_handover(write: WriteDep, identity: SomebodyDep, shift: IdPath, body: CoverBody) -> Response:
    """Offer a part of one's duty to somebody; it stays one's own until they accept."""
    require(identity, May.HAND_OVER)
    return await _stand_in(write, identity, shift, body, "handover")


async def _stand_in(
    write: WriteDep,
    identity: Identity,
    shift: int,
    body: CoverBody,
    kind: Literal["override", "handover"],
) -> Response:
    _check_span(body)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        planned = await found_shift(connection, identity, shift)
        if not planned.starts_at <= body.starts_at < body.ends_at <= planned.ends_at:
            raise Rejected("invalid", "this is not a part of the shift")
        if kind == "handover":
            await _check_holds(connection, identity, body, now)
        asked = ShiftBody(
            account=body.account,
            duty=planned.duty,  # type: ignore[arg-type]  # the schema allows these duties alone
            starts_at=body.starts_at,
            ends_at=body.ends_at,
        )
        await _check_duty(connection, identity, asked, now)
        new = NewCover(shift, body.account, body.starts_at, body.ends_at, kind, body.note, identity.actor)
        id_ = await rows.add_cover(connection, new, now)
        made = await _found_cover(connection, identity, id_)
        return Done(_cover(made), HTTPStatus.CREATED, made.version, f"/api/v1/handovers/{id_}")

    return await write(do)


async def _check_holds(connection: Connection, identity: Identity, body: CoverBody, now: datetime) -> None:
    """Refuse to hand over what one does not have.

    Raises:
        Rejected: `not_allowed`.
    """
    me = identity.actor.partition(":")[2]
    duties = [s for s in (await read_rota(connection, now)).shifts if s.account == me]
    if _uncovered(body.starts_at, body.ends_at, duties):
        raise Rejected("not_allowed", "this duty is not yours for all of that time")


def _uncovered(starts_at: datetime, ends_at: datetime, duties: list[Shift]) -> bool:
    """Whether there is a moment in a span that no duty covers."""
    at = starts_at
    for duty in sorted(duties, key=lambda duty: duty.starts_at):
        if duty.starts_at <= at < duty.ends_at:
            at = duty.ends_at
    return at < ends_at


@router.get("/handovers")
async def list_handovers(ask: AskedDep) -> Page[CoverView]:
    """List overrides and handovers; `account` is who stands in."""
    return await _listed(ask, rows.covers, _cover)


@router.post("/handovers/{handover}/accept", response_model=CoverView)
async def accept_handover(write: WriteDep, identity: SomebodyDep, handover: IdPath) -> Response:
    """Accept a duty that was offered to one: from here on it is one's own."""
    return await _answer(write, identity, handover, "accepted")


@router.post("/handovers/{handover}/decline", response_model=CoverView)
async def decline_handover(write: WriteDep, identity: SomebodyDep, handover: IdPath) -> Response:
    """Decline a duty that was offered to one."""
    return await _answer(write, identity, handover, "declined")


@router.post("/handovers/{handover}/withdraw", response_model=CoverView)
async def withdraw_handover(write: WriteDep, identity: SomebodyDep, handover: IdPath) -> Response:
    """Take an offer back that was not yet accepted."""
    return await _answer(write, identity, handover, "withdrawn")


async def _answer(write: WriteDep, identity: Identity, handover: int, state: str) -> Response:
    require(identity, May.HAND_OVER)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        found = await _found_cover(connection, identity, handover)
        _check_side(identity, found, state)
        if state == "accepted":
            await _check_still_good(connection, identity, found, now)
        if not await rows.answer_cover(connection, handover, state, now):
            raise Rejected("not_allowed", f"this offer was {found.state} already")
        after = await _found_cover(connection, identity, handover)
        return Done(_cover(after), version=after.version)

    return await write(do)


def _check_side(identity: Identity, found: CoverRow, state: str) -> None:
    """Let each side answer for itself alone.

    Raises:
        Rejected: `not_allowed`.
    """
    mine = found.made_by if state == "withdrawn" else f"person:{found.account}"
    if identity.actor != mine:
        raise Rejected("not_allowed", f"this offer is not yours to have {state}")


async def _check_still_good(
    connection: Connection, identity: Identity, found: CoverRow, now: datetime
) -> None:
    """See that the offered duty is still the offerer's, and that the taker may have it.

    Raises:
        Rejected: `not_allowed` or `unfit`.
    """
    offerer = replace(identity, actor=found.made_by)
    part = CoverBody(account=found.account, starts_at=max(found.starts_at, now), ends_at=found.ends_at)
    if part.starts_at >= part.ends_at:
        raise Rejected("not_allowed", "this duty is over")
    await _check_holds(connection, offerer, part, now)
    asked = ShiftBody(account=found.account, duty="officer", starts_at=part.starts_at, ends_at=part.ends_at)
    await _check_duty(connection, identity, asked, now)


@router.get("/leave")
async def list_leave(ask: AskedDep) -> Page[LeaveView]:
    """List leave."""
    return await _listed(ask, rows.leaves, _leave)


@router.post("/leave", status_code=HTTPStatus.CREATED, response_model=LeaveView)
async def add_leave(write: WriteDep, identity: SomebodyDep, body: LeaveBody) -> Response:
    """Note that somebody will be away; they have no duty then, and a gap that this makes is said at once."""
    require(identity, May.MANAGE_ROTA)
    if body.ends_at <= body.starts_at:
        raise Rejected("invalid", "/body/ends_at: has to come after starts_at")

    async def do(connection: Connection) -> Done:
        made = await _add_leave(Edit(connection, identity, write.services.clock()), body)
        return Done(_leave(made), HTTPStatus.CREATED, 1, f"/api/v1/leave/{made.id}")

    return await write(do)


async def _add_leave(edit: Edit, body: LeaveBody) -> LeaveRow:
    await visible(edit.connection, edit.identity, body.account, lock=True)
    facts = (body.account, body.starts_at, body.ends_at, body.reason, edit.identity.actor, edit.now)
    id_ = await rows.add_leave(edit.connection, *facts)
    await _put_on_record(edit, "leave", id_, 1, None, body)
    return LeaveRow(id_, *facts, version=1)


async def _remove_leave(edit: Edit, before: LeaveRow) -> None:
    await rows.remove_leave(edit.connection, before.id)
    await _put_on_record(edit, "leave", before.id, before.version, _as_sent(LeaveBody, before), None)


async def undo_leave(edit: Edit, change: Change) -> None:
    """Take leave back that was noted, or note it again that was taken back.

    Raises:
        Rejected: It was changed again since.
    """
    if change.after is None:
        await _add_leave(edit, LeaveBody.model_validate(change.before))
        return
    found = await rows.leave(edit.connection, int(change.thing_id))
    if found is None:
        raise Rejected("not_allowed", "it was taken back already")
    await visible(edit.connection, edit.identity, found.account)
    _refuse_changed(_as_sent(LeaveBody, found), change)
    await _remove_leave(edit, found)


@router.delete("/leave/{leave}", status_code=HTTPStatus.NO_CONTENT)
async def remove_leave(
    write: WriteDep, identity: SomebodyDep, leave: IdPath, if_match: IfMatch = None
) -> Response:
    """Take leave back."""
    require(identity, May.MANAGE_ROTA)

    async def do(connection: Connection) -> Done:
        found = await rows.leave(connection, leave)
        if found is None:
            raise NotFound("leave", str(leave))
        await visible(connection, identity, found.account)
        check_version(if_match, found.version)
        await _remove_leave(Edit(connection, identity, write.services.clock()), found)
        return Done(None)

    return await write(do)


@router.get("/rota")
async def duty_now(services: ServicesDep, identity: SomebodyDep, estate: EstateQuery = None) -> list[DutyNow]:
    """Say for each estate who would be told now, and which gaps and lapses the next 7 days have."""
    require(identity, May.SEE_STAFF)
    now = services.clock()
    async with services.scoped(identity) as connection:
        estates = await rows.watched_estates(connection)
        known = await read_rota(connection, now)
    mine = [e for e in estates if identity.scope.covers(e, None) and estate in (None, e)]
    return [_duty(known, one, now) for one in mine]


def _duty(known: Rota, estate: str, now: datetime) -> DutyNow:
    near = rota.for_estate(known, estate)
    return DutyNow(
        estate=estate,
        targets={target: _accounts(known.resolve(target, estate, now)) for target in Target},
        gaps=[Gap(estate=estate, starts_at=a, ends_at=b) for a, b in rota.gaps(near.shifts, now)],
        lapses=[Lapse(at=at, account=who, why=why) for at, who, why in rota.lapses(near, now)],
    )


def _accounts(people: tuple[Person, ...]) -> list[str]:
    return [person.account for person in people]


@router.get("/rota.ics", response_class=Response, responses={200: {"content": {"text/calendar": {}}}})
async def export(services: ServicesDep, identity: SomebodyDep, account: WhoseQuery = None) -> Response:
    """Export duty as it was agreed as iCalendar: everybody's of one's estates, or one person's."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        text = await duty_calendar(connection, identity.scope, account, services.clock())
    return Response(text, media_type="text/calendar; charset=utf-8")


async def duty_calendar(connection: Connection, scope: Scope, account: str | None, now: datetime) -> str:
    """Write duty as it was agreed: everybody's of a scope, or one person's."""
    known = await read_rota(connection, now)
    near = {p.account for p in known.people if _concerns(scope, p)}
    entries = [_entry(s) for s in known.shifts if s.account in near and account in (None, s.account)]
    return calendar("Vigil", entries, now)


def _concerns(scope: Scope, person: Person) -> bool:
    return scope.estates is None or bool(person.estates & (scope.estates | {"*"}))


def _entry(shift: Shift) -> Entry:
    uid = f"{shift.account}-{shift.duty}-{shift.starts_at:%Y%m%dT%H%M%S}@vigil"
    return Entry(uid, f"{shift.account}: {shift.duty}", shift.starts_at, shift.ends_at)


def _check_span(body: Span) -> None:
    """Refuse a span that is none, or longer than a person can be on duty.

    Raises:
        Rejected: `invalid`.
    """
    if not timedelta() < body.ends_at - body.starts_at <= LONGEST_SHIFT:
        raise Rejected("invalid", "/body/ends_at: has to come within 24 hours after starts_at")


async def _check_duty(
    connection: Connection, identity: Identity, body: ShiftBody, now: datetime, but: int | None = None
) -> None:
    """Refuse duty for who is not in scope, cannot be reached for certain, is away or busy.

    Args:
        connection: In the transaction of the change.
        identity: Who changes it.
        body: The duty.
        now: Present time.
        but: A shift that is being replaced.

    Raises:
        NotFound: No such account in the caller's scope.
        Rejected: `unfit` or `not_allowed`.
    """
    member = await visible(connection, identity, body.account, lock=True)
    if member.disabled_at is not None:
        raise Rejected("unfit", f"the account {body.account} was shut out")
    known = await read_rota(connection, now, but=but)
    person = next((p for p in known.people if p.account == body.account), None)
    if person is None:
        raise Rejected("unfit", f"a {member.role} has no duty")
    if why := rota.unfit(person, now):
        raise Rejected("unfit", why)
    await _check_free(connection, body, known, now)


async def _check_free(connection: Connection, body: ShiftBody, known: Rota, now: datetime) -> None:
    mine = [s for s in known.shifts if s.account == body.account]
    busy = [s for s in mine if s.starts_at < body.ends_at and body.starts_at < s.ends_at]
    if busy:
        raise Rejected("not_allowed", f"{body.account} has duty from {busy[0].starts_at.isoformat()} already")
    for account, starts_at, ends_at in await rows.all_leaves(connection, now):
        if account == body.account and starts_at < body.ends_at and body.starts_at < ends_at:
            raise Rejected("not_allowed", f"{account} is on leave from {starts_at.isoformat()}")


async def found_shift(connection: Connection, identity: Identity, shift: int) -> ShiftRow:
    """Return a shift of somebody whom the caller may see, locked until the transaction ends.

    Raises:
        NotFound: There is none.
    """
    found = await rows.shift(connection, shift)
    if found is None:
        raise NotFound("shift", str(shift))
    await visible(connection, identity, found.account)
    return found


async def _found_cover(connection: Connection, identity: Identity, cover: int) -> CoverRow:
    found = await rows.cover(connection, cover)
    if found is None:
        raise NotFound("handover", str(cover))
    await visible(connection, identity, found.account)
    return found


def _shift(found: ShiftRow) -> ShiftView:
    return ShiftView.model_validate({name: getattr(found, name) for name in ShiftRow.__dataclass_fields__})


def _cover(found: CoverRow) -> CoverView:
    return CoverView.model_validate({name: getattr(found, name) for name in CoverRow.__dataclass_fields__})


def _leave(found: LeaveRow) -> LeaveView:
    return LeaveView.model_validate({name: getattr(found, name) for name in LeaveRow.__dataclass_fields__})
