"""`/api/v1/estates/{estate}/plan`: an estate's plan, drawn by somebody and uploaded as SVG.

Neighbours: `api.svg` cleans it, `vigil.store.plans` keeps every version, `api.console.community` shows it with
the devices on it.  A new version is written on the one that was seen; the one before can be put back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api import svg
from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Body, IfMatch
from api.once import Done, WriteDep, check_version, etag
from api.problems import RESPONSES, Denied, Invalid
from api.register import edits
from api.register.bodies import Metres
from api.register.kinds import ESTATES
from api.services import ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import plans
from vigil.store.plans import PlanRow

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/estates", tags=["register"], responses=RESPONSES)
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Of the drawing itself, should somebody open it by its address: nothing runs, nothing is fetched."""
NONE_YET: Final = 0


class PlanBody(Body):
    """A drawing and where it lies: its lower left corner and its width, in the metres of the places."""

    svg: str = Field(min_length=1, max_length=svg.LARGEST, examples=["<svg xmlns=..."])
    west_m: Metres = 0
    south_m: Metres = 0
    width_m: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 100


class PlanView(BaseModel):
    """A plan's place; the drawing is at `/plan.svg`.  `version` is the ETag's number."""

    estate: str
    version: int
    drawn: bool
    west_m: float
    south_m: float
    width_m: float
    high: float
    made_by: str
    made_at: datetime


@router.get("/{estate}/plan")
async def get_plan(
    services: ServicesDep, identity: SomebodyDep, estate: AccountPath, response: Response
) -> PlanView:
    """Say where an estate's plan lies, and who has drawn it."""
    require(identity, May.SEE_REGISTER)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, estate)
    response.headers["ETag"] = etag(found.version)
    return view(found)


@router.get(
    "/{estate}/plan.svg", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}}
)
async def get_drawing(services: ServicesDep, identity: SomebodyDep, estate: AccountPath) -> Response:
    """Return the drawing."""
    require(identity, May.SEE_REGISTER)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, estate)
    if found.svg is None:
        raise NotFound("plan", estate)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "private, max-age=31536000, immutable"}
    return Response(found.svg, media_type="image/svg+xml", headers=headers)


@router.put("/{estate}/plan", response_model=PlanView)
async def put_plan(
    write: WriteDep, identity: SomebodyDep, estate: AccountPath, body: PlanBody, if_match: IfMatch = None
) -> Response:
    """Upload a plan; it is cleaned, and refused where it could act or fetch something."""
    require(identity, May.MANAGE_REGISTER)
    try:
        drawing = svg.clean(body.svg)
    except svg.Unfit as error:
        raise Invalid("/body/svg", error.detail, "svg") from None
    place = (body.west_m, body.south_m, body.width_m, drawing.high)
    return await _write(write, identity, estate, if_match, (drawing.svg, *place))


@router.delete("/{estate}/plan", response_model=PlanView)
async def remove_plan(
    write: WriteDep, identity: SomebodyDep, estate: AccountPath, if_match: IfMatch = None
) -> Response:
    """Take a plan away; it can be put back."""
    require(identity, May.MANAGE_REGISTER)
    return await _write(write, identity, estate, if_match, (None, 0.0, 0.0, 100.0, 1.0))


@router.post("/{estate}/plan/back", response_model=PlanView)
async def put_back(
    write: WriteDep, identity: SomebodyDep, estate: AccountPath, if_match: IfMatch = None
) -> Response:
    """Put the drawing before the present one back."""
    require(identity, May.MANAGE_REGISTER)

    async def do(connection: Connection) -> Done:
        now = await _found(connection, identity, estate)
        check_version(if_match, now.version)
        before = await plans.drawn_before(connection, estate, now.version)
        if before is None:
            raise Rejected("not_allowed", "there was no other plan before")
        at = write.services.clock()
        new = replace(before, version=now.version + 1, made_by=identity.actor, made_at=at)
        return await _add(connection, new)

    return await write(do)


Drawn = tuple[str | None, float, float, float, float]
"""What a version holds: the drawing, west, south, width, and height by width."""


async def _write(
    write: WriteDep, identity: Identity, estate: str, if_match: str | None, drawn: Drawn
) -> Response:
    async def do(connection: Connection) -> Done:
        await edits.found(connection, identity, ESTATES, estate, lock=True)
        now = await plans.newest(connection, estate)
        version = now.version if now else NONE_YET
        if now is not None or if_match is not None:
            check_version(if_match, version)
        return await _add(
            connection, PlanRow(estate, version + 1, *drawn, identity.actor, write.services.clock())
        )

    return await write(do)


async def _add(connection: Connection, new: PlanRow) -> Done:
    if not await plans.add(connection, new):
        detail = "It was changed meanwhile; look at it again."
        raise Denied(HTTPStatus.PRECONDITION_FAILED, "changed", detail)
    return Done(view(new), version=new.version)


async def _found(connection: Connection, identity: Identity, estate: str) -> PlanRow:
    await edits.found(connection, identity, ESTATES, estate)
    found = await plans.newest(connection, estate)
    if found is None:
        raise NotFound("plan", estate)
    return found


def view(found: PlanRow) -> PlanView:
    """Show where a plan lies."""
    facts = {name: getattr(found, name) for name in PlanView.model_fields if name != "drawn"}
    return PlanView(**facts, drawn=found.svg is not None)
