"""`/manager`: what alarms cost and what came of them, to read, to print and as CSV; `/duty`: the rota.

Neighbours: `api.effect` measures, `api.rota` knows who has duty and takes what is changed there.
"""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from api import rota
from api.access import May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.pages import render
from api.effect import EffectView, measure
from api.services import ServicesDep
from vigil.store import overview
from vigil.store import rota as rows
from vigil.store.effect import Stretch
from vigil.store.rota import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
DAYS: Final = (1, 7, 30, 90)
DaysQuery = Annotated[int, Query(ge=1, le=90)]
AHEAD: Final = timedelta(days=7)
CHECKS: Final = 5
"""What is gone through when duty is handed over: `duty.check.1` and so on in the catalogue."""


@router.get("/manager")
async def manager_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, days: DaysQuery = 7
) -> Response:
    """Show burden and effect, detectors, devices, consents and drills."""
    require(identity, May.SEE_EFFECT)
    now = services.clock()
    since = now - timedelta(days=days)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await measure(connection, Stretch(since, now), identity.scope)
        consents = await overview.consents(connection)
        drills = await overview.drills(connection, identity.scope, since)
    return render(
        request,
        "manager.html",
        **facts,
        effect=found,
        consents=consents,
        drills=drills,
        days=days,
        choices=DAYS,
    )


@router.get("/manager.csv")
async def manager_csv(services: ServicesDep, identity: SomebodyDep, days: DaysQuery = 7) -> Response:
    """Give the same figures as a table."""
    require(identity, May.SEE_EFFECT)
    now = services.clock()
    async with services.scoped(identity) as connection:
        found = await measure(connection, Stretch(now - timedelta(days=days), now), identity.scope)
    out = io.StringIO()
    csv.writer(out).writerows([("figure", "of", "value"), *_lines(found)])
    headers = {"Content-Disposition": f'attachment; filename="vigil-{now:%Y%m%d}-{days}d.csv"'}
    # Excel takes a file for UTF-8 only where it begins so.
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _lines(found: EffectView) -> Iterator[tuple[str, str, Any]]:
    for name in ("since", "until", "residents", "alerts", "resolved_true", "resolved_false", "reopened"):
        yield name, "", getattr(found, name)
    for name in ("unanswered", "false_per_resident_week", "night_wakings"):
        yield name, "", getattr(found, name)
    for name, value in found.burden.model_dump().items():
        yield f"burden_{name}", "", value
    for one in found.times:
        for quantile in ("p50_s", "p95_s", "p99_s"):
            yield quantile, one.what, getattr(one, quantile)
    for kind, several in (("detector", found.detectors), ("device", found.devices)):
        for each in several:
            yield f"{kind}_precision", _harmless(each.name), each.precision


def _harmless(cell: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{cell}" if cell[:1] in "=+-@" else cell


@router.get("/duty")
async def duty_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show who has duty now and next, gaps, handovers under way, and the checklist of a handover."""
    require(identity, May.SEE_STAFF)
    now = services.clock()
    me = identity.actor.partition(":")[2]
    facts = await frame(request, services, identity)
    window = Window(now, now + AHEAD, 0, 500, None)
    async with services.scoped(identity) as connection:
        shifts = await rows.shifts(connection, window, identity.scope)
        covers = await rows.covers(connection, window, identity.scope)
    standing = await rota.duty_now(services, identity, None)
    return render(
        request,
        "duty.html",
        **facts,
        shifts=shifts,
        covers=covers,
        standing=standing,
        mine=[one for one in shifts if one.account == me],
        me=me,
        now=now,
        checks=CHECKS,
    )
