"""`/edit/residents/{resident}/care` and `/consents`: who helps, what the days are like, what was agreed to.

Neighbours: `api.residents`, `api.profiles` and `api.consents` take what is written here; `api.console.editor`
has the record itself.  Each page is a look at the resident, and written down.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api import consents, profiles, svg
from api.access import May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.editor import ThingPath, assigned, changes_of, said_of
from api.console.pages import render
from api.console.pins import pin
from api.register import edits
from api.register.kinds import ESTATES, RESIDENTS
from api.residents import helpers_view
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import own, plans, register, residents

if TYPE_CHECKING:
    from vigil.store.pool import Connection
    from vigil.store.residents import ResidentRow

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
EMPTY_ROWS: Final = 1
"""Rows of a list that stand ready to be filled in."""
SENSORS_OF_DOORS: Final = "door"


@router.get("/edit/residents/{thing}/care")
async def care_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, thing: ThingPath
) -> Response:
    """Show who helps a resident, what their days are like, and which devices are theirs."""
    require(identity, May.SEE_HELPERS)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await residents.resident(connection, thing, identity.scope)
        if found is None:
            raise NotFound("resident", thing)
        await edits.note_look(connection, identity, thing, "helpers", services.clock())
        made = await changes_of(connection, identity, "resident", thing)
        theirs = await assigned(connection, identity, "resident", thing)
        doors = await _doors(connection, found)
    return render(
        request,
        "edit_care.html",
        **facts,
        resident=found,
        helpers=helpers_view(found),
        profile=_times(profiles.now(found)),
        mobilities=profiles.MOBILITY,
        doors=doors,
        assigned=theirs,
        may=identity.may(May.MANAGE_HELPERS),
        empty_rows=EMPTY_ROWS,
        **said_of(identity, made),
    )


def _times(profile: dict[str, Any]) -> dict[str, Any]:
    """Read the times of planned absences; one that cannot be read is shown as it stands."""
    absences = [
        {name: _moment(one.get(name)) for name in ("from", "until")}
        for one in profile["absences"]
        if isinstance(one, dict)
    ]
    return profile | {"absences": absences}


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


async def _doors(connection: Connection, found: ResidentRow) -> list[str]:
    """Return the door sensors that could be somebody's way out: theirs, and those named already."""
    near = await register.devices_near(connection, SENSORS_OF_DOORS, found.id)
    return sorted({*near, *(str(door) for door in found.profile.get("exit_doors") or [])})


@router.get("/edit/estates/{thing}/plan")
async def plan_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, thing: ThingPath
) -> Response:
    """Show an estate's uploaded plan with its devices, and a form for the next one."""
    require(identity, May.SEE_REGISTER)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        estate = await edits.found(connection, identity, ESTATES, thing)
        found = await plans.newest(connection, thing)
        near = await plans.pins(connection, [thing])
    drawn = found if found and found.svg is not None else None
    return render(
        request,
        "edit_plan.html",
        **facts,
        estate=estate,
        plan=drawn,
        version=found.version if found else 0,
        sheet=pin(drawn, near) if drawn else None,
        most=svg.LARGEST,
        may=identity.may(May.MANAGE_REGISTER),
    )


@router.get("/edit/residents/{thing}/consents")
async def consents_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, thing: ThingPath
) -> Response:
    """Show what a resident agrees to, by whose word and with what proof, and who their family is here."""
    require(identity, May.SEE_HELPERS)
    now, facts = services.clock(), await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        row = await edits.found(connection, identity, RESIDENTS, thing)
        await edits.note_look(connection, identity, thing, "consents", now)
        agreed = await consents.read(connection, thing, now)
        ties = await own.accounts_of(connection, thing)
    return render(
        request,
        "edit_consents.html",
        **facts,
        resident=row,
        agreed=agreed,
        ties=ties,
        version=consents.TEXT_VERSION,
        takes=identity.may(May.TAKE_CONSENTS),
        ties_too=identity.may(May.MANAGE_STAFF),
    )
