"""`/api/v1/shifts/{shift}/checks` and `/notes`: what is gone through when a shift ends, for both officers.

Neighbours: `/duty` shows it (`api.console.manager`), `vigil.store.handover` keeps it, `api.rota` knows the
shifts.  Whoever goes and whoever comes tick the same list; every word stays, with who said it and when.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import May
from api.auth import SomebodyDep, require
from api.fields import PROSE, Body, IdPath
from api.once import Done, WriteDep
from api.problems import RESPONSES
from api.rota import found_shift
from api.services import ServicesDep
from vigil.errors import Rejected
from vigil.store import handover

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["rota"], responses=RESPONSES)
POINTS: Final = 5
"""What is gone through: `duty.check.1` and so on in the console's catalogue."""
KEPT_OPEN: Final = timedelta(hours=12)
"""How long after a shift its list can be filled in: a night that was too busy is written up by day."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=PROSE, strip_whitespace=True)]


class CheckBody(Body):
    """Whether a point was gone through."""

    point: int = Field(ge=1, le=POINTS, examples=[1])
    done: bool = Field(examples=[True])


class HandoverNoteBody(Body):
    """What the next one must know."""

    text: Text = Field(examples=["3-2-401 is in hospital until Friday, her daughter has the key"])


class CheckView(BaseModel):
    """The last word on a point, by whom and when."""

    point: int
    done: bool
    by: str
    name: str | None
    at: datetime


class HandoverNoteView(BaseModel):
    """What the next one must know, from whom and when."""

    text: str = Field(examples=["The lift of 3-2 stands still"])
    by: str
    name: str | None
    at: datetime


class HandoverView(BaseModel):
    """How far handing a shift over has come; a point that nobody has said anything of is not listed."""

    shift: int
    points: int
    checks: list[CheckView]
    notes: list[HandoverNoteView]


@router.get("/shifts/{shift}/checks")
async def get_checks(services: ServicesDep, identity: SomebodyDep, shift: IdPath) -> HandoverView:
    """Return what was gone through, and the notes for the next one."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        await found_shift(connection, identity, shift)
        return await _view(connection, shift)


@router.post("/shifts/{shift}/checks", status_code=HTTPStatus.CREATED, response_model=HandoverView)
async def check(write: WriteDep, identity: SomebodyDep, shift: IdPath, body: CheckBody) -> Response:
    """Say that a point was gone through, or was not after all."""
    require(identity, May.HAND_OVER)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        _refuse_over((await found_shift(connection, identity, shift)).ends_at, now)
        await handover.check(connection, shift, body.point, identity.actor, now, done=body.done)
        return Done(await _view(connection, shift), HTTPStatus.CREATED)

    return await write(do)


@router.post("/shifts/{shift}/notes", status_code=HTTPStatus.CREATED, response_model=HandoverView)
async def add_note(write: WriteDep, identity: SomebodyDep, shift: IdPath, body: HandoverNoteBody) -> Response:
    """Leave a note for the next one."""
    require(identity, May.HAND_OVER)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        _refuse_over((await found_shift(connection, identity, shift)).ends_at, now)
        await handover.add_note(connection, shift, body.text, identity.actor, now)
        return Done(await _view(connection, shift), HTTPStatus.CREATED)

    return await write(do)


def _refuse_over(ends_at: datetime, now: datetime) -> None:
    if now >= ends_at + KEPT_OPEN:
        raise Rejected("not_allowed", "this shift ended too long ago; write it into the one that runs")


async def _view(connection: Connection, shift: int) -> HandoverView:
    checks = await handover.checks(connection, [shift])
    notes = await handover.notes(connection, [shift])
    return HandoverView.model_validate(
        {"shift": shift, "points": POINTS, "checks": checks, "notes": notes}, from_attributes=True
    )
