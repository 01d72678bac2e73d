"""`/alerts/{alert}`: one alert with everything that helps to decide, and nothing that this role may not see.

Neighbours: `api.console.trace`, `pose`, `timeline` and `plan` draw; `static/alert.js` keeps the page live.
What takes long (a day of a home's events) is a part of its own, `/alerts/{alert}/day`, which the page
asks for once it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import auth
from api.access import Identity, May
from api.alerts import read_detail
from api.auth import SomebodyDep, require
from api.console import plan, pose, timeline, trace
from api.console.pages import about, local_time, page_data, render
from api.residents import HelpersView, helpers_view
from api.services import Services, ServicesDep
from api.views import AlertDetail
from vigil.errors import NotFound
from vigil.store import accounts, board, escalation, evidence, overview, residents, surroundings, tasks
from vigil.store.evidence import Frame
from vigil.store.nearest import Neighbour, nearest
from vigil.store.tasks import TaskRow

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
NEAR: Final = 6
TECHNICAL: Final = frozenset(
    {"device", "platform", "outage", "rota", "unreadable_alarm", "sensor_silent", "sensors_silent"}
)
FAMILIES: Final = {"smoke": "smoke", "gas": "gas", "water": "water"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What a detection's measurements look like: one of these, or none."""

    trace: trace.Trace | None = None
    pose: pose.Strip | None = None


@dataclass(frozen=True, slots=True)
class People:
    """Who is at hand, for those who may see people.

    Attributes:
        helpers: Key-holders and family of the resident.
        near: Flagged residents who live nearest to a place in public.
        tasks: Who was sent to the door.
        frames: Frames that may be looked at; each look is written down when it is taken.
    """

    helpers: HelpersView | None = None
    near: tuple[Neighbour, ...] = ()
    tasks: tuple[TaskRow, ...] = ()
    frames: tuple[Frame, ...] = ()


@router.get("/alerts/{alert}")
async def alert_page(request: Request, services: ServicesDep, alert: UUID) -> Response:
    """Show one alert."""
    identity = await auth.identify(services, request)
    if identity is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    require(identity, May.SEE_ALERTS)
    detail = await read_detail(services, identity, alert)
    community, zone = await about(services)
    async with services.scoped(identity) as connection:
        notices = await escalation.notices_of(connection, alert) if identity.may(May.SEE_STAFF) else []
        resident = detail.resident.id if detail.resident else None
        before = await overview.earlier(connection, resident, alert) if resident else []
        spots = await overview.plan(connection, identity.scope, detail.place.estate)
        people = await _people(connection, services, identity, detail)
    return render(
        request,
        "alert.html",
        identity=identity,
        community=community,
        data=_data(request, identity, zone, detail),
        alert=detail,
        family=_family(detail.kind),
        pictures={d.id: _picture(d.event_data) for d in detail.detections},
        notices=notices,
        earlier=before,
        plans=plan.draw(spots),
        is_here=lambda spot: _is_here(spot, detail),
        people=people,
        named=identity.may(May.SEE_PEOPLE),
        acts=identity.may(May.TAKE),
        local=local_time(zone),
    )


def _data(request: Request, identity: Identity, zone: str, detail: AlertDetail) -> dict[str, Any]:
    shown = detail.model_dump(mode="json", exclude={"transitions", "detections"})
    return page_data(request, identity, zone) | {"alerts": [shown], "change": None}


def _family(kind: str) -> str:
    """Return whose steps apply."""
    return FAMILIES.get(kind, "technical" if kind in TECHNICAL else "person")


def _is_here(spot: overview.Spot, detail: AlertDetail) -> bool:
    place = detail.place
    if spot.building is not None:
        return spot.building == place.building
    return place.zone is not None and spot.zone == place.zone


def _picture(data: dict[str, Any] | None) -> Picture:
    """Draw what an event has measured, where it has measured anything that can be drawn."""
    if data and (samples := data.get("accel_mg")):
        return Picture(trace=trace.draw(samples, data.get("rate_hz", 50)))
    if data and (frames := data.get("keypoints")):
        return Picture(pose=pose.draw(frames, data.get("rate_hz", 10), data.get("aspect", 1.0)))
    return Picture()


async def _people(
    connection: Connection, services: Services, identity: Identity, detail: AlertDetail
) -> People:
    """Collect who is at hand; that neighbours were shown is written down for each of them."""
    now, helpers = services.clock(), None
    near: tuple[Neighbour, ...] = ()
    if not identity.may(May.SEE_PEOPLE):
        return People()
    if detail.resident and identity.may(May.SEE_HELPERS):
        found = await residents.resident(connection, detail.resident.id, identity.scope)
        helpers = helpers_view(found) if found else None
    if not detail.resident and detail.place.zone and _family(detail.kind) == "person":
        near = tuple(await nearest(connection, detail.place.zone, NEAR))
        seen = [one.id for one in near]
        await accounts.note_accesses(connection, seen, identity.actor, "alert", "nearest", now)
    went = await tasks.tasks(connection, identity.scope, 10, None, alert=detail.id)
    frames = await evidence.of_alert(connection, detail.id, now) if identity.may(May.SEE_FRAMES) else []
    return People(helpers, near, tuple(went), tuple(frames))


@router.get("/alerts/{alert}/day")
async def day_part(request: Request, services: ServicesDep, identity: SomebodyDep, alert: UUID) -> Response:
    """Show when the home was heard, from a day before the alert on."""
    require(identity, May.SEE_ALERTS)
    require(identity, May.SEE_PEOPLE)
    now = services.clock()
    _, zone = await about(services)
    async with services.scoped(identity) as connection:
        card = await board.find_card(connection, alert, identity.scope)
        if card is None:
            raise NotFound("alert", str(alert))
        home, event = card.alert.zone, card.alert.event_time
        heard = await surroundings.heard(connection, home, *timeline.span(event, now)) if home else []
    line = None if heard is None else timeline.draw(heard, event, now, ZoneInfo(zone))
    return render(request, "_timeline.html", line=line, late=heard is None, has_home=home is not None)
