"""`/manager`: what alarms cost and what came of them, to read, to print and as CSV.

Neighbours: `api.effect` measures, `api.console.devices` shows the reliability of each device.
"""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.access import May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.curves import Curve, draw
from api.console.pages import render
from api.course import Course, Line, course
from api.effect import EffectView, measure
from api.services import ServicesDep
from vigil.store import effect, overview
from vigil.store.effect import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from vigil.store.overview import Drill

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
DAYS: Final = (1, 7, 30, 90)
WORST: Final = 10
"""Devices that are listed as the least reliable."""
DaysQuery = Annotated[int, Query(ge=1, le=90)]


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
        stretch = Stretch(since, now)
        found = await measure(connection, stretch, identity.scope)
        consents = await overview.consents(connection)
        drills = await overview.drills(connection, identity.scope, since)
        went = await course(connection, stretch, identity.scope, ZoneInfo(facts["data"]["zone"]))
        worst = await effect.least_heard(connection, stretch, WORST)
    return render(
        request,
        "manager.html",
        **facts,
        effect=found,
        consents=consents,
        drills=drills,
        days=days,
        choices=DAYS,
        curves=curves_of(went, drills),
        edges=went.edges,
        worst=worst,
        hours=max(days * 24, 1),
    )


def curves_of(went: Course, drills: Sequence[Drill]) -> list[tuple[str, str, Curve | None]]:
    """Draw what the page shows: (name in the catalogue, how a value is written, curve)."""
    edges = went.edges
    return [
        ("burden", "%.2f", draw(edges, went.of("burden"), goal=1.0)),
        ("alerts", "%.0f", draw(edges, went.of("alerts", "false"))),
        ("taken", "%.0f s", draw(edges, went.of("taken_p50_s", "taken_p95_s"))),
        ("precision", "%.2f", draw(edges, went.of("precision"), top=1.0)),
        ("heard", "%.2f", draw(edges, went.of("heard"), top=1.0)),
        ("agreed", "%.0f", draw(edges, went.of("agreed"))),
        ("drills", "%.0f s", draw(edges, [_drills(edges, drills)])),
    ]


def _drills(edges: Sequence[datetime], drills: Sequence[Drill]) -> Line:
    """Return the slowest answer to a drill of each stretch."""
    slowest: list[float | None] = []
    for begin, end in pairwise(edges):
        answers = [d.answered_s for d in drills if d.answered_s is not None and begin <= d.raised_at < end]
        slowest.append(max(answers, default=None))
    return Line("drills", "", tuple(slowest))


@router.get("/manager.csv")
async def manager_csv(services: ServicesDep, identity: SomebodyDep, days: DaysQuery = 7) -> Response:
    """Give the same figures as a table."""
    require(identity, May.SEE_EFFECT)
    now = services.clock()
    stretch = Stretch(now - timedelta(days=days), now)
    async with services.scoped(identity) as connection:
        found = await measure(connection, stretch, identity.scope)
        zone = ZoneInfo(await effect.time_zone(connection))
        went = await course(connection, stretch, identity.scope, zone)
    out = io.StringIO()
    csv.writer(out).writerows([("figure", "of", "value"), *_lines(found), *_course_lines(went, zone)])
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
            yield f"{kind}_precision", harmless(each.name), each.precision


def _course_lines(went: Course, zone: ZoneInfo) -> Iterator[tuple[str, str, Any]]:
    """Yield every value over time; `of` says of what, and when its hour or day began."""
    for line in went.lines:
        for begin, value in zip(went.edges, line.values, strict=False):
            if value is not None:
                when = begin.astimezone(zone).strftime("%Y-%m-%d %H:%M")
                yield f"over_time_{line.figure}", harmless(f"{line.of} {when}".strip()), value


def harmless(cell: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
