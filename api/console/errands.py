"""`/round`: a grid worker's tasks and doors, on a phone, with or without signal.

Neighbours: `api.tasks` takes what is said; `static/round.js` keeps it in the browser until it can
be sent.  The browser keeps this page for the time without the platform (`static/worker.js`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api.access import May
from api.auth import SomebodyDep, require
from api.console.pages import about, local_time, page_data, render
from api.residents import HelpersView, helpers_view
from api.services import ServicesDep
from vigil.store import accounts, board, overview, residents, tasks
from vigil.store.board import Card
from vigil.store.tasks import TaskRow

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Errand:
    """A task with the door it leads to, and who can open it."""

    task: TaskRow
    card: Card
    helpers: HelpersView | None


@router.get("/round")
async def round_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show what is asked of the caller, and the doors of their buildings."""
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    account = identity.actor.partition(":")[2]
    community, zone = await about(services)
    async with services.scoped(identity) as connection:
        mine = await tasks.tasks(connection, identity.scope, 50, None, account=account, only_open=True)
        doors = await overview.of_buildings(connection, identity.scope, now, account)
        errands = []
        for one in mine:
            card = await board.find_card(connection, one.alert, identity.scope)
            found = None
            if card and card.alert.resident:
                found = await residents.resident(connection, card.alert.resident, identity.scope)
                await accounts.note_access(
                    connection, card.alert.resident, identity.actor, "care", f"task:{one.id}", now
                )
            if card:
                errands.append(Errand(one, card, helpers_view(found) if found else None))
        await accounts.note_accesses(
            connection, [door.id for door in doors], identity.actor, "care", "round", now
        )
    return render(
        request,
        "round.html",
        identity=identity,
        community=community,
        data=page_data(request, identity, zone),
        errands=errands,
        doors=doors,
        local=local_time(zone),
    )
