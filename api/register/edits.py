"""One change of the register: checked, written, and put on record, in the caller's transaction.

Neighbours: `api.register.routes` for what people send, `api.register.changes` for what they undo.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.access import Identity
from api.problems import Denied
from api.register.kinds import COMMUNITIES, ESTATES, Kind, check_rests
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, register
from vigil.store.register import NewChange, Row

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import BaseModel

    from api.fields import Body
    from vigil.store.pool import Connection

Id = str | int


@dataclass(frozen=True, slots=True)
class Edit:
    """Who changes something, when, and which change it takes back, if any."""

    connection: Connection
    identity: Identity
    now: datetime
    undoes: int | None = None


async def found(
    connection: Connection, identity: Identity, kind: Kind, id_: Id, *, lock: bool = False
) -> Row:
    """Return a thing of the caller's scope.

    Raises:
        NotFound: There is none.
    """
    row = await register.row(connection, kind.thing, id_, identity.scope, lock=lock)
    if row is None:
        raise NotFound(kind.thing.name, str(id_))
    return row


async def add(edit: Edit, kind: Kind, body: Body) -> BaseModel:
    """Put a thing in.

    Raises:
        Denied: 403; it would belong to more than the caller's estates.
        Invalid: What it rests on is not there, or does not fit.
        Rejected: `not_allowed`; there is one already.
    """
    _refuse_beyond(edit.identity, kind, adding=True)
    values = body.model_dump()
    id_ = values.pop("id", None)
    await check_rests(edit.connection, kind, edit.identity.scope, values, None)
    made = await register.add(edit.connection, kind.thing, id_, values, edit.now)
    if made is None:
        raise Rejected("not_allowed", f"there is a {kind.thing.name} {id_ or 'like this'} already")
    await _note(edit, kind, made, 1, None, record(kind, values))
    return view(kind, await found(edit.connection, edit.identity, kind, made))


async def change(edit: Edit, kind: Kind, before: Row, body: Body) -> BaseModel:
    """Write a thing that is locked.

    Raises:
        Denied: 403; it belongs to more than the caller's estates.
        Invalid: What it rests on is not there, or does not fit.
        Rejected: `not_allowed`; the database refuses it.
    """
    _refuse_beyond(edit.identity, kind, adding=False)
    id_, values = before["id"], body.model_dump()
    await check_rests(edit.connection, kind, edit.identity.scope, values, id_)
    await register.change(edit.connection, kind.thing, id_, values, edit.now)
    await _note(edit, kind, id_, before["version"] + 1, record(kind, before), record(kind, values))
    return view(kind, await found(edit.connection, edit.identity, kind, id_))


async def remove(edit: Edit, kind: Kind, before: Row) -> None:
    """Take a thing out that is locked.

    Raises:
        Denied: 403; it belongs to more than the caller's estates.
        Rejected: `not_allowed`; something rests on it, or it has sent events.
    """
    if before.get("seen_at") is not None:
        raise Rejected("not_allowed", f"this {kind.thing.name} has sent events; set it retired instead")
    _refuse_beyond(edit.identity, kind, adding=True)
    estate = await register.estate_of(edit.connection, kind.thing, before["id"])
    await register.remove(edit.connection, kind.thing, before["id"])
    await _note(edit, kind, before["id"], before["version"], record(kind, before), None, estate)


def _refuse_beyond(identity: Identity, kind: Kind, *, adding: bool) -> None:
    """Leave whole communities, and which estates there are, to who looks after every estate.

    Raises:
        Denied: 403.
    """
    if identity.scope.estates is not None and (kind is COMMUNITIES or (kind is ESTATES and adding)):
        detail = f"Which {kind.plural} there are is for who looks after every estate; ask them."
        raise Denied(HTTPStatus.FORBIDDEN, "scope", detail)


def record(kind: Kind, values: Row) -> Row:
    """Return what people gave, as JSON: an undo reads it again."""
    fields = {name: values[name] for name in kind.thing.columns}
    return kind.body.model_construct(**fields).model_dump(mode="json", warnings=False)


async def _note(
    edit: Edit,
    kind: Kind,
    id_: Id,
    version: int,
    before: Row | None,
    after: Row | None,
    estate: str | None = None,
) -> None:
    if estate is None:
        estate = await register.estate_of(edit.connection, kind.thing, id_)
    new = NewChange(
        kind.thing.name, str(id_), estate, version, before, after, edit.identity.actor, edit.undoes
    )
    await register.note(edit.connection, new, edit.now)
    if kind.noted and before is not None:
        await note_look(edit.connection, edit.identity, str(id_), f"{kind.thing.name} changed", edit.now)


async def note_look(
    connection: Connection, identity: Identity, resident: str, what: str, now: datetime
) -> None:
    """Write down that somebody looked at a resident."""
    await accounts.note_access(connection, resident, identity.actor, "care", what, now)


def view(kind: Kind, row: Row) -> BaseModel:
    """Show a row as it is: an import may have brought what a form would not take."""
    shown: BaseModel = kind.view.model_construct(**row)
    return shown
