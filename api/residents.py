"""`/api/v1/residents`: who is watched over, and who has a key to their door.

Neighbours: `vigil.store.residents` keeps it; `api.snapshot` gives the same to the watchdog's
papers, and `api.tasks` to whoever knocks.  Every look at one resident is written down, and the
resident can read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Body, Cursor, EstateQuery, IfMatch, Limit, Name, Phone, Prose
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.register import aspects
from api.register.aspects import Aspect
from api.register.edits import Edit
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.roster import Contact, contacts
from vigil.store import accounts, residents
from vigil.store.residents import ResidentRow

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/residents", tags=["residents"], responses=RESPONSES)


class Helper(Body):
    """Somebody to telephone: family, or who keeps a key."""

    name: Name = Field(examples=["张伟"])
    phone: Phone = Field(examples=["13900000002"])
    relation: str = Field("", max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["son"])


class HelpersBody(Body):
    """Who helps, and what a helper at the door must know (no diagnosis)."""

    key_holders: list[Helper] = Field(default_factory=list, max_length=10)
    family: list[Helper] = Field(default_factory=list, max_length=10)
    note: Prose = Field("", examples=["Hard of hearing; ring twice. The dog is friendly."])


class HelpersView(HelpersBody):
    """Who helps a resident; `version` is the ETag's number."""

    resident: str
    version: int


class ResidentView(BaseModel):
    """A resident; `home` as it stands on the door."""

    id: str
    estate: str
    name: str
    phone: str | None
    risk: int
    lives_alone: bool
    home: str | None
    building: str | None
    floor: int | None
    flagged: bool


@router.get("")
async def list_residents(
    services: ServicesDep,
    identity: SomebodyDep,
    estate: EstateQuery = None,
    everybody: Annotated[bool, Query(description="Also who is not watched over")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ResidentView]:
    """List the flagged residents of one's estates, or all of them."""
    require(identity, May.SEE_HELPERS)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await residents.residents(
            connection, identity.scope, limit + 1, after, estate, everybody=everybody
        )
        shown, following = page(found, limit, [one.id for one in found])
        seen = [one.id for one in shown]
        await accounts.note_accesses(connection, seen, identity.actor, "care", "list", services.clock())
    return Page(items=[_resident(one) for one in shown], next=following)


@router.get("/{resident}/helpers")
async def get_helpers(
    services: ServicesDep, identity: SomebodyDep, resident: AccountPath, response: Response
) -> HelpersView:
    """Say who has a key, who is family, and what a helper at the door must know."""
    require(identity, May.SEE_HELPERS)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, resident)
        await _note(connection, identity, resident, "helpers", services.clock())
    response.headers["ETag"] = etag(found.version)
    return helpers_view(found)


@router.put("/{resident}/helpers", response_model=HelpersView)
async def put_helpers(
    write: WriteDep,
    identity: SomebodyDep,
    resident: AccountPath,
    body: HelpersBody,
    if_match: IfMatch = None,
) -> Response:
    """Write who helps."""
    require(identity, May.MANAGE_HELPERS)

    async def do(connection: Connection) -> Done:
        edit = Edit(connection, identity, write.services.clock())
        before = await aspects.found(edit, resident)
        check_version(if_match, before.version)
        version = await aspects.write(edit, HELPERS, before, body)
        await _note(connection, identity, resident, "helpers changed", edit.now)
        return Done(HelpersView(resident=resident, version=version, **body.model_dump()), version=version)

    return await write(do)


async def _found(connection: Connection, identity: Identity, resident: str) -> ResidentRow:
    found = await residents.resident(connection, resident, identity.scope)
    if found is None:
        raise NotFound("resident", resident)
    return found


async def _note(connection: Connection, identity: Identity, resident: str, what: str, now: datetime) -> None:
    await accounts.note_access(connection, resident, identity.actor, "care", what, now)


def _resident(found: ResidentRow) -> ResidentView:
    return ResidentView.model_validate(
        {name: getattr(found, name) for name in ResidentView.model_fields},
    )


def helpers_view(found: ResidentRow) -> HelpersView:
    """Show who helps a resident."""
    return HelpersView.model_construct(
        resident=found.id,
        version=found.version,
        key_holders=_shown(contacts(found.helpers.get("key_holders"))),
        family=_shown(contacts(found.helpers.get("family"))),
        note=str(found.helpers.get("note") or ""),
    )


def _now(row: ResidentRow) -> dict[str, Any]:
    return helpers_view(row).model_dump(include=set(HelpersBody.model_fields))


HELPERS: Final = Aspect("helpers", HelpersBody, _now)


def _shown(found: list[Contact]) -> list[Helper]:
    """Show what is there as it is: an import may have brought what a form would not take."""
    return [Helper.model_construct(**msgspec.structs.asdict(one)) for one in found]
