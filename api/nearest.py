"""`/api/v1/alerts/{alert}/nearest`: whom a fall in a public place may concern.

Neighbours: `processors.decide` raises it about the place alone, since nobody is recognised by a
face; `vigil.store.nearest` knows who lives there.  Every look is written down for those shown.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from api.access import May
from api.auth import SomebodyDep, require
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import accounts, alerts
from vigil.store.nearest import nearest

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=RESPONSES)


class NeighbourView(BaseModel):
    """A flagged resident who lives near; `metres` is None where a place is on no plan."""

    id: str
    name: str
    phone: str | None
    risk: int
    home: str | None
    building: str | None
    floor: int | None
    metres: float | None


class NearestView(BaseModel):
    """The flagged residents who live nearest, the nearest first; none where the alert names somebody."""

    items: list[NeighbourView]


@router.get("/alerts/{alert}/nearest")
async def get_nearest(services: ServicesDep, identity: SomebodyDep, alert: UUID) -> NearestView:
    """Say which flagged residents live nearest to the place of an alert that names nobody."""
    require(identity, May.SEE_PEOPLE)
    async with services.scoped(identity) as connection:
        found = await alerts.get(connection, alert)
        if not identity.scope.covers(found.estate, found.synthetic):
            raise NotFound("alert", str(alert))
        if found.resident is not None or found.zone is None:
            return NearestView(items=[])
        near = await nearest(connection, found.zone)
        seen = [one.id for one in near]
        await accounts.note_accesses(connection, seen, identity.actor, "alert", "nearest", services.clock())
    return NearestView(items=[NeighbourView.model_validate(one, from_attributes=True) for one in near])
