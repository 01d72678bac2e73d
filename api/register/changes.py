"""`/api/v1/changes`: who changed what in the register, and how to take it back.

Neighbours: `api.register.edits` puts changes on record; an undo is a change of its own, made by
the same checks.  What was changed again since is not undone: the later change would go with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, ValidationError

from api import rota
from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import LARGEST_ID, Cursor, EstateQuery, Identifier, IdPath, Limit
from api.once import Done, WriteDep
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied
from api.profiles import PROFILE
from api.register import aspects, edits
from api.register.aspects import Aspect
from api.register.edits import Edit
from api.register.kinds import KINDS, Kind
from api.residents import HELPERS
from api.services import ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import register
from vigil.store.register import Change

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/changes", tags=["register"], responses=RESPONSES)
BY_NAME: Final = {kind.thing.name: kind for kind in KINDS}
ThingName = Literal[
    "community",
    "estate",
    "building",
    "zone",
    "node",
    "device",
    "resident",
    "assignment",
    "helpers",
    "profile",
    "shift",
    "leave",
]


async def _of_resident(aspect: Aspect, edit: Edit, found: Change) -> None:
    resident = await aspects.undo(edit, aspect, found)
    await edits.note_look(edit.connection, edit.identity, resident, f"{aspect.name} changed", edit.now)


@dataclass(frozen=True, slots=True)
class Beside:
    """Something whose changes are on record and which is no kind of the register's.

    Attributes:
        see: Who may read its history.
        manage: Who may take a change back.
        undo: Does it, by the same checks as a change; raises `Rejected` where it is not as it was left.
    """

    see: May
    manage: May
    undo: Callable[[Edit, Change], Awaitable[object]]


BESIDE: Final = {
    "helpers": Beside(May.SEE_HELPERS, May.MANAGE_HELPERS, partial(_of_resident, HELPERS)),
    "profile": Beside(May.SEE_HELPERS, May.MANAGE_HELPERS, partial(_of_resident, PROFILE)),
    "shift": Beside(May.SEE_STAFF, May.MANAGE_ROTA, rota.undo_shift),
    "leave": Beside(May.SEE_STAFF, May.MANAGE_ROTA, rota.undo_leave),
}


class ChangeView(BaseModel):
    """A change: `before` None is something added, `after` None something taken out.

    Attributes:
        version: Of the thing after the change.
        undoes: The change that this one took back.
        undone_by: The change that took this one back.
        name: Of whoever made it, for people to read.
    """

    id: int = Field(examples=[41])
    thing: str = Field(examples=["device"])
    thing_id: str = Field(examples=["pendant-17"])
    estate: str | None = Field(examples=["tiantong-1"])
    action: Literal["added", "changed", "removed"]
    version: int = Field(examples=[2])
    before: dict[str, Any] | None = Field(examples=[{"node": "riverside-3", "retired": False}])
    after: dict[str, Any] | None = Field(examples=[{"node": "riverside-3", "retired": True}])
    undoes: int | None
    undone_by: int | None
    actor: str = Field(examples=["person:li.na"])
    name: str | None = Field(examples=["李娜"])
    at: datetime


def visible_things(identity: Identity, thing: str | None = None) -> list[str]:
    """Name the things whose history somebody may read.

    Raises:
        Denied: 403; not of this one.
    """
    seen = [name for name, kind in BY_NAME.items() if identity.may(kind.see)]
    seen += [name for name, one in BESIDE.items() if identity.may(one.see)]
    if thing is None:
        return seen
    if thing not in seen:
        raise Denied(HTTPStatus.FORBIDDEN, "role", f"The role {identity.role} may not see this history.")
    return [thing]


@router.get("")
async def list_changes(
    services: ServicesDep,
    identity: SomebodyDep,
    thing: Annotated[ThingName | None, Query(description="Of this kind alone")] = None,
    id: Annotated[Identifier | None, Query(description="Of this one alone")] = None,  # noqa: A002 - the parameter's name for callers
    estate: EstateQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ChangeView]:
    """List who changed what, the latest first."""
    require(identity, May.SEE_REGISTER)
    before = position(cursor, int, LARGEST_ID)
    async with services.scoped(identity) as connection:
        found = await register.changes(
            connection, identity.scope, visible_things(identity, thing), limit + 1, before, id, estate
        )
    shown, following = page(found, limit, [one.id for one in found])
    return Page(items=[_view(one) for one in shown], next=following)


@router.post("/{change}/undo", status_code=HTTPStatus.CREATED, response_model=ChangeView)
async def undo(write: WriteDep, identity: SomebodyDep, change: IdPath) -> Response:
    """Take a change back, where the thing was not changed again since."""
    require(identity, May.SEE_REGISTER)

    async def do(connection: Connection) -> Done:
        found = await register.one_change(connection, identity.scope, visible_things(identity), change)
        if found is None:
            raise NotFound("change", str(change))
        edit = Edit(connection, identity, write.services.clock(), found.id)
        await take_back(edit, found)
        (made,) = await register.changes(connection, identity.scope, [found.thing], 1, LARGEST_ID)
        return Done(_view(made), HTTPStatus.CREATED)

    return await write(do)


async def take_back(edit: Edit, found: Change) -> None:
    """Do the opposite of a change.

    Raises:
        Denied: 403; the thing is not the caller's to change.
        Rejected: `not_allowed`; it was changed again since, undone already, or rests on what is gone.
    """
    beside, kind = BESIDE.get(found.thing), BY_NAME.get(found.thing)
    require(edit.identity, beside.manage if beside else BY_NAME[found.thing].manage)
    if found.undone_by is not None:
        raise Rejected("not_allowed", f"this was taken back already, by change {found.undone_by}")
    try:
        if beside is not None:
            await beside.undo(edit, found)
        elif kind is not None:
            await _undo(edit, kind, found)
    except ValidationError as error:
        raise Rejected("not_allowed", f"what it was before would not be taken today: {error}") from None


async def _undo(edit: Edit, kind: Kind, found: Change) -> None:
    """Do the opposite of a change of a kind of thing."""
    if found.after is None:
        new = found.before or {}
        await edits.add(edit, kind, kind.new.model_validate(_with_id(kind, found, new)))
        return
    row = await _unchanged(edit, kind, found)
    if found.before is None and not kind.removed:
        raise Rejected("not_allowed", f"a {found.thing} is not taken out; change what is wrong with it")
    if found.before is None:
        await edits.remove(edit, kind, row)
    else:
        await edits.change(edit, kind, row, kind.body.model_validate(found.before))


def _with_id(kind: Kind, found: Change, values: register.Row) -> register.Row:
    return values if kind.thing.numbered else values | {"id": found.thing_id}


async def _unchanged(edit: Edit, kind: Kind, found: Change) -> register.Row:
    """Return the thing as the change has left it, locked.

    Raises:
        Rejected: `not_allowed`; it is not as the change has left it.
    """
    id_ = int(found.thing_id) if kind.thing.numbered else found.thing_id
    row = await register.row(edit.connection, kind.thing, id_, edit.identity.scope, lock=True)
    if row is None or edits.record(kind, row) != found.after:
        raise Rejected("not_allowed", "it was changed again since; take the later change back first")
    return row


def _view(found: Change) -> ChangeView:
    return ChangeView.model_validate({name: getattr(found, name) for name in Change.__dataclass_fields__})
