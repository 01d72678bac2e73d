"""`/sheet`: what an officer works from when the platform is gone, and what was noted on it.

Place in the flow: while all is well the page's service worker (`static/worker.js`) keeps a copy;
after 45 s without a sign of life `static/watch.js` shows that copy.  What is noted on it waits
in the browser (`static/queue.js`) and comes to `/api/v1/sheet-notes` once the platform is back.
The copy holds names and doors: it is made for who may see people, and goes when one signs out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import BaseModel, Field

from api.access import May
from api.auth import SomebodyDep, require
from api.console.pages import about, local_time, page_data, render
from api.escalation.worker import read_rota
from api.fields import Body, Identifier, Moment, Prose
from api.once import Done, WriteDep
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import residents, sheet, snapshot

if TYPE_CHECKING:
    from api.escalation.rota import Rota
    from vigil.roster import Resident
    from vigil.store.pool import Connection

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
notes_router = APIRouter(prefix="/api/v1", tags=["fallback"], responses=RESPONSES)
STEPS: Final = 7
"""Steps of the procedure, in the catalogue as `sheet.step.1` and so on."""
BLANK_LINES: Final = 12
LOOK_AHEAD: Final = timedelta(hours=24)


class NoteBody(Body):
    """What was noted of a resident, or of nobody in particular."""

    resident: Identifier | None = None
    what: Literal["well", "no_answer", "help", "note"]
    note: Prose = Field("", examples=["Opened the door herself; will be called again at 8"])
    written_at: Moment


class NoteView(BaseModel):
    """A note that has arrived."""

    received_at: datetime


class Watch(BaseModel):
    """Somebody's duty within the next day."""

    name: str
    phone: str | None
    duty: str
    starts_at: datetime
    ends_at: datetime


@router.get("/worker.js")
async def worker() -> Response:
    """Serve the service worker from the root, so that it may keep every page."""
    path = Path(str(resources.files("api.console") / "static" / "worker.js"))
    return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@router.get("/sheet")
async def sheet_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show the sheet as of now."""
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    scope = identity.scope.estates
    async with services.scoped(identity) as connection:
        found = await snapshot.roster(connection, None if scope is None else sorted(scope), now)
        watches = _watches(await read_rota(connection, now), await sheet.telephones(connection), now)
        await sheet.taken_along(connection, [one.id for one in found.residents], identity.actor, now)
    community, zone = await about(services)
    return render(
        request,
        "sheet.html",
        identity=identity,
        community=community,
        data=page_data(request, identity, zone) | {"made_at": now.isoformat()},
        made_at=now,
        roster=found,
        residents=sorted(found.residents, key=_door_order),
        watches=watches,
        steps=STEPS,
        blank_lines=BLANK_LINES,
        local=local_time(zone),
    )


def _door_order(resident: Resident) -> tuple[int, str, str, int, str]:
    """Order doors: the highest risk first, then building by building."""
    return -resident.risk, resident.estate, resident.building, resident.floor, resident.home


def _watches(rota: Rota, people: dict[str, sheet.Duty], now: datetime) -> list[Watch]:
    near = [s for s in rota.shifts if s.ends_at > now and s.starts_at < now + LOOK_AHEAD]
    return [
        Watch(
            name=people[s.account].name,
            phone=people[s.account].phone,
            duty=s.duty,
            starts_at=s.starts_at,
            ends_at=s.ends_at,
        )
        for s in sorted(near, key=lambda s: (s.starts_at, s.duty))
        if s.account in people
    ]


@router.get("/sheet/notes")
async def notes_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show what was noted while the platform was away."""
    require(identity, May.SEE_PEOPLE)
    community, zone = await about(services)
    async with services.scoped(identity) as connection:
        found = await sheet.notes(connection, identity.scope)
    return render(
        request,
        "notes.html",
        identity=identity,
        community=community,
        data=page_data(request, identity, zone),
        notes=found,
        local=local_time(zone),
    )


@notes_router.post("/sheet-notes", status_code=HTTPStatus.CREATED, response_model=NoteView)
async def add_note(write: WriteDep, identity: SomebodyDep, body: NoteBody) -> Response:
    """Keep what was noted on the fallback sheet; `Idempotency-Key` lets it be sent until it arrives."""
    require(identity, May.SEE_PEOPLE)
    require(identity, May.TAKE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        if body.resident and not await residents.resident(connection, body.resident, identity.scope):
            raise NotFound("resident", body.resident)
        await sheet.add_note(
            connection, body.resident, body.what, body.note, identity.actor, body.written_at, now
        )
        return Done(NoteView(received_at=now), HTTPStatus.CREATED)

    return await write(do)
