"""`/cases`: what has to be looked into about who looked at residents, with its owner, its deadline and its outcome.

Neighbours: `api.cases` opens and closes them.  Who may only read is offered no form, and nobody one for
a case about themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.access import May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.pages import render
from api.services import ServicesDep
from vigil.store import accounts, cases, rota

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.cases import Case

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
SHOWN: Final = 100
ClosedQuery = Annotated[bool, Query(description="Closed ones as well")]


@router.get("/cases")
async def cases_page(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    closed: ClosedQuery = False,
) -> Response:
    """Show cases, what is due first."""
    require(identity, May.SEE_CASES)
    now = services.clock()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await cases.cases(connection, identity.scope, SHOWN, everything=closed)
        people = [who for one in found for who in (one.about, one.owner, one.closed_by) if who]
        names = await rota.names(connection, [who.partition(":")[2] or who for who in people])
        whom = sorted({one.resident for one in found if one.resident})
        residents = await cases.called(connection, whom) if identity.may(May.SEE_PEOPLE) else {}
        await accounts.note_accesses(connection, sorted(residents), identity.actor, "review", "cases", now)
    return render(
        request,
        "cases.html",
        **facts,
        cases=found,
        names=names,
        residents=residents,
        left={one.id: hours_left(one, now) for one in found},
        closed=closed,
        judges=identity.may(May.REVIEW),
    )


def hours_left(case: Case, now: datetime) -> float:
    """Return the hours until a case is due; below 0 it is overdue."""
    return (case.due_at - now).total_seconds() / 3600
