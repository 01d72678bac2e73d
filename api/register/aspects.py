"""What is kept of a resident beside the row of the register: who helps, and what their days are like.

Neighbours: `api.residents` and `api.profiles` take each as a whole, on the resident's version;
`api.register.changes` takes one back; `vigil.store.residents` keeps both in the profile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.fields import Body
from vigil.errors import NotFound, Rejected
from vigil.store import register, residents
from vigil.store.register import Change, NewChange
from vigil.store.residents import ResidentRow

if TYPE_CHECKING:
    from api.register.edits import Edit


@dataclass(frozen=True, slots=True)
class Aspect:
    """One side of a resident.

    Attributes:
        name: As changes name it.
        body: What people write.
        now: What is there, as JSON in the body's shape.
    """

    name: str
    body: type[Body]
    now: Callable[[ResidentRow], dict[str, Any]]


async def found(edit: Edit, resident: str) -> ResidentRow:
    """Return a resident of the caller's scope, locked.

    Raises:
        NotFound: There is none.
    """
    row = await residents.resident(edit.connection, resident, edit.identity.scope, lock=True)
    if row is None:
        raise NotFound("resident", resident)
    return row


async def write(edit: Edit, aspect: Aspect, before: ResidentRow, body: Body) -> int:
    """Write one side of a resident who is locked, and put it on record; returns the new version."""
    values = body.model_dump(mode="json", by_alias=True)
    await residents.keep(edit.connection, before.id, values)
    version = before.version + 1
    facts = (aspect.name, before.id, before.estate, version)
    made = NewChange(*facts, aspect.now(before), values, edit.identity.actor, edit.undoes)
    await register.note(edit.connection, made, edit.now)
    return version


async def undo(edit: Edit, aspect: Aspect, change: Change) -> str:
    """Write what was there before a change; returns whose it is.

    Raises:
        Rejected: `not_allowed`; it is not as the change has left it.
    """
    row = await found(edit, change.thing_id)
    if aspect.now(row) != change.after:
        raise Rejected("not_allowed", "it was changed again since; take the later change back first")
    await write(edit, aspect, row, aspect.body.model_validate(change.before))
    return row.id
