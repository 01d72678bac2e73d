"""`/community/devices`: devices and boxes with their health, the worst first; `/manager/devices`: how reliable each is.

Neighbours: `vigil.store.conditions` reads, `api.console.condition` puts it into words.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.access import May
from api.auth import SomebodyDep, require
from api.console.catalogue import translator
from api.console.community import PageQuery, frame
from api.console.condition import Sign, Standing, counts, worst_first
from api.console.manager import DAYS, DaysQuery, harmless
from api.console.pages import language_of, local_time, render
from api.services import ServicesDep
from vigil.store import conditions, effect
from vigil.store.effect import Precision, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from api.access import Identity
    from api.console.catalogue import Translator
    from api.services import Services

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
SIZE: Final = 100
EVERY_ONE: Final = 1_000_000
COLUMNS: Final = (
    *("device", "kind", "box", "estate", "place", "hours_heard", "hours", "share", "true", "false"),
    *("battery_pct", "last_heard", "condition"),
)
NeedQuery = Annotated[bool, Query(description="Only what needs somebody")]


@dataclass(frozen=True, slots=True)
class Reliable:
    """A device with the hours (of all) in which it gave a sign of life, and what its alarms were worth."""

    standing: Standing
    hours: int
    of: int
    alarms: Precision | None

    @property
    def share(self) -> float:
        """The part of the hours in which it was heard."""
        return min(self.hours / self.of, 1.0)


@router.get("/community/devices")
async def devices_page(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    page: PageQuery = 0,
    need: NeedQuery = False,
) -> Response:
    """List devices with their health, who needs somebody most first."""
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = worst_first(await conditions.devices(connection, identity.scope), now)
    counted = counts(found)
    wanted = [one for one in found if one.weight >= 2] if need else found
    return render(
        request,
        "devices.html",
        **facts,
        counted=counted,
        devices=wanted[page * SIZE : (page + 1) * SIZE],
        say=sayer(translator(language_of(request)), facts["local"]),
        page=page,
        size=SIZE,
        need=need,
    )


def sayer(t: Translator, local: Callable[[datetime, str], str]) -> Callable[[Sign], str]:
    """Return what puts a sign into a language and a place's time."""

    def say(sign: Sign) -> str:
        facts = dict(sign.facts)
        if "since" in facts:
            facts["since"] = local(facts["since"], "%m-%d %H:%M") if facts["since"] else "?"
        return t(f"condition.{sign.key}", **facts)

    return say


async def _reliable(services: Services, identity: Identity, days: int) -> list[Reliable]:
    """Return all devices of a scope, who was heard least first."""
    now = services.clock()
    since = now - timedelta(days=days)
    async with services.scoped(identity) as connection:
        found = worst_first(await conditions.devices(connection, identity.scope), now)
        stretch = Stretch(since, now)
        heard = {id_: hours for id_, _, hours in await effect.least_heard(connection, stretch, EVERY_ONE)}
        came = {
            one.name: one for one in await effect.precision(connection, stretch, identity.scope, "device")
        }
    several = [
        Reliable(one, heard.get(one.device.id, 0), days * 24, came.get(one.device.id)) for one in found
    ]
    return sorted(several, key=lambda one: (one.hours, -one.standing.weight))


@router.get("/manager/devices")
async def reliability_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, days: DaysQuery = 7, page: PageQuery = 0
) -> Response:
    """Show how reliable each device was, to read and to print; the whole of it comes as CSV."""
    require(identity, May.SEE_EFFECT)
    facts = await frame(request, services, identity)
    found = await _reliable(services, identity, days)
    return render(
        request,
        "reliability.html",
        **facts,
        devices=found[page * SIZE : (page + 1) * SIZE],
        count=len(found),
        say=sayer(translator(language_of(request)), facts["local"]),
        days=days,
        choices=DAYS,
        page=page,
        size=SIZE,
        until=services.clock(),
        since=services.clock() - timedelta(days=days),
    )


@router.get("/manager/devices.csv")
async def reliability_csv(
    request: Request, services: ServicesDep, identity: SomebodyDep, days: DaysQuery = 7
) -> Response:
    """Give the same of all devices as a table."""
    require(identity, May.SEE_EFFECT)
    now = services.clock()
    async with services.scoped(identity) as connection:
        zone = await effect.time_zone(connection)
    say = sayer(translator(language_of(request)), local_time(zone))
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for one in await _reliable(services, identity, days):
        table.writerow(_line(one, say))
    headers = {"Content-Disposition": f'attachment; filename="vigil-devices-{now:%Y%m%d}-{days}d.csv"'}
    # Excel takes a file for UTF-8 only where it begins so.
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _line(one: Reliable, say: Callable[[Sign], str]) -> list[object]:
    device = one.standing.device
    heard = device.heard_at
    came = (one.alarms.true, one.alarms.false) if one.alarms else (0, 0)
    return [
        *map(harmless, (device.id, device.kind, device.node, device.estate_name, device.place or "")),
        *(one.hours, one.of, f"{one.share:.3f}", *came, one.standing.measured("battery_pct")),
        *(heard.isoformat() if heard else "", harmless("; ".join(map(say, one.standing.signs)))),
    ]
