"""`/api/v1/residents/{resident}/profile`: what a resident's days are like, as far as detectors ask for it.

Neighbours: `processors.homes` reads front doors, visits and absences, `processors.decide` how somebody moves;
`api.register.aspects` writes it and puts it on record.  Nothing else is asked for: no diagnosis, no habits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.access import May
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Body, Identifier, IfMatch, Moment
from api.once import Done, WriteDep, check_version, etag
from api.problems import RESPONSES, Invalid
from api.register import aspects
from api.register.aspects import Aspect
from api.register.edits import Edit, note_look
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import register, residents, things

if TYPE_CHECKING:
    from vigil.store.residents import ResidentRow

router = APIRouter(prefix="/api/v1/residents", tags=["residents"], responses=RESPONSES)
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Day = Annotated[int, Field(ge=0, le=6)]
MOBILITY: Final = ("walks", "stick", "walker", "wheelchair", "bed")


class Absence(Body):
    """When somebody is away; without an end until they are back, and 30 days at most."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    since: Moment = Field(alias="from", examples=["2026-12-01T08:00:00+08:00"])
    until: Moment | None = None

    @model_validator(mode="after")
    def _has_a_length(self) -> Absence:
        if self.until is not None and self.until <= self.since:
            raise ValueError("until: has to come after from")
        return self


class Visit(Body):
    """When a carer comes: then somebody else moves in the home, too.  Monday is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: list[Day] = Field(default_factory=lambda: list(range(7)), max_length=7, examples=[[0, 2, 4]])
    since: TimeOfDay = Field(alias="from", examples=["09:00"])
    until: TimeOfDay = Field(examples=["10:30"])

    @model_validator(mode="after")
    def _has_a_length(self) -> Visit:
        if self.until <= self.since:
            raise ValueError("until: has to come after from, on the same day")
        return self


class ProfileBody(Body):
    """What detectors have to know; the times are the community's.

    Attributes:
        mobility: With `wheelchair` a blow that leaves the trunk upright is a transfer, not a fall.
        exit_doors: Door sensors through which somebody goes out; without one nobody is known to be out.
    """

    age: int | None = Field(None, ge=0, le=130)
    mobility: Literal["walks", "stick", "walker", "wheelchair", "bed"] | None = None
    exit_doors: list[Identifier] = Field(default_factory=list, max_length=10, examples=[["door-17"]])
    absences: list[Absence] = Field(default_factory=list, max_length=50)
    visits: list[Visit] = Field(default_factory=list, max_length=20)


class ProfileView(BaseModel):
    """A profile as it is: an import may have brought what a form would not take.

    Attributes:
        version: The ETag's number, the resident's own.
    """

    resident: str
    version: int
    age: Any
    mobility: Any
    exit_doors: list[Any]
    absences: list[Any] = Field(examples=[[{"from": "2026-12-01T00:00:00Z", "until": None}]])
    visits: list[Any] = Field(examples=[[{"days": [0, 2], "from": "09:00", "until": "10:30"}]])


def now(row: ResidentRow) -> dict[str, Any]:
    """Return what is there, in the shape of the body."""
    empty: dict[str, Any] = {"age": None, "mobility": None}
    empty |= {"exit_doors": [], "absences": [], "visits": []}
    return {name: _listed(row.profile.get(name), nothing) for name, nothing in empty.items()}


def _listed(value: Any, nothing: Any) -> Any:
    """Return a value, nothing where a list was expected and is none."""
    return value if value and isinstance(value, list) == isinstance(nothing, list) else nothing


PROFILE: Final = Aspect("profile", ProfileBody, now)


@router.get("/{resident}/profile")
async def get_profile(
    services: ServicesDep, identity: SomebodyDep, resident: AccountPath, response: Response
) -> ProfileView:
    """Say what detectors know of somebody's days; the look is written down."""
    require(identity, May.SEE_HELPERS)
    async with services.scoped(identity) as connection:
        found = await residents.resident(connection, resident, identity.scope)
        if found is None:
            raise NotFound("resident", resident)
        await note_look(connection, identity, resident, "profile", services.clock())
    response.headers["ETag"] = etag(found.version)
    return _view(found.id, found.version, now(found))


@router.put("/{resident}/profile", response_model=ProfileView)
async def put_profile(
    write: WriteDep,
    identity: SomebodyDep,
    resident: AccountPath,
    body: ProfileBody,
    if_match: IfMatch = None,
) -> Response:
    """Write what detectors have to know; they read it with their next event."""
    require(identity, May.MANAGE_HELPERS)

    async def do(connection: Any) -> Done:
        edit = Edit(connection, identity, write.services.clock())
        before = await aspects.found(edit, resident)
        check_version(if_match, before.version)
        await _check_doors(edit, body)
        version = await aspects.write(edit, PROFILE, before, body)
        await note_look(connection, identity, resident, "profile changed", edit.now)
        values = body.model_dump(mode="json", by_alias=True)
        return Done(_view(resident, version, values), version=version)

    return await write(do)


async def _check_doors(edit: Edit, body: ProfileBody) -> None:
    for door in body.exit_doors:
        if await register.row(edit.connection, things.DEVICE, door, edit.identity.scope) is None:
            detail = f"there is no device {door} in your estates; add it first, or name another"
            raise Invalid("/body/exit_doors", detail, "no_such")


def _view(resident: str, version: int, values: dict[str, Any]) -> ProfileView:
    return ProfileView(resident=resident, version=version, **values)
