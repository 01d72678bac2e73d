"""`/community`: the estates as a plan, residents with what covers them, search.

Neighbours: `vigil.store.overview` reads, `api.console.plan` draws, `api.console.devices` lists devices.  A list of residents is a look at
each of them, and written down.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.console.pages import about, local_time, page_data, render
from api.console.pins import pin
from api.console.plan import draw
from api.fields import PLAIN
from api.services import Services, ServicesDep
from vigil.store import accounts, overview, plans

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
SIZE: Final = 100
PageQuery = Annotated[int, Query(ge=0, le=1000)]


async def frame(request: Request, services: Services, identity: Identity) -> dict[str, Any]:
    """Collect what the frame of every page beside the board needs."""
    community, zone = await about(services)
    return {
        "identity": identity,
        "community": community,
        "data": page_data(request, identity, zone),
        "local": local_time(zone),
    }


@router.get("/community")
async def community_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show the plan of each estate, and who is not protected."""
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        spots = await overview.plan(connection, identity.scope)
        drawn = await plans.shown(connection, identity.scope)
        near = await plans.pins(connection, [one.estate for one in drawn]) if drawn else []
        lives = await overview.lives(connection, identity.scope, now)
        gaps = await overview.covered(connection, identity.scope, now, size=20, gaps=True)
        seen = [one.id for one in gaps]
        await accounts.note_accesses(connection, seen, identity.actor, "care", "coverage", now)
    return render(
        request,
        "community.html",
        **facts,
        plans=draw(spots, lives),
        sheets={one.estate: pin(one, near) for one in drawn},
        residents=sum(all_ for all_, _ in lives.values()),
        bare=sum(bare for _, bare in lives.values()),
        gaps=gaps,
    )


@router.get("/community/residents")
async def residents_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, page: PageQuery = 0
) -> Response:
    """List residents with their coverage, who is unprotected first."""
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await overview.covered(connection, identity.scope, now, page=page, size=SIZE)
        seen = [one.id for one in found]
        await accounts.note_accesses(connection, seen, identity.actor, "care", "list", now)
    return render(request, "residents.html", **facts, residents=found, page=page, size=SIZE)


@router.get("/community/search")
async def search_page(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    q: Annotated[str, Query(max_length=100, pattern=PLAIN)] = "",
) -> Response:
    """Find residents, devices and places."""
    require(identity, May.SEE_PEOPLE)
    words = q.strip()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        hits = await overview.search(connection, identity.scope, words) if words else []
        seen = [hit.id for hit in hits if hit.what == "resident"]
        await accounts.note_accesses(connection, seen, identity.actor, "care", "search", services.clock())
    return render(request, "search.html", **facts, words=words, hits=hits)
