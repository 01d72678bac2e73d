"""`/api/v1/alerts/{alert}/residents`: whom an alert of a whole estate concerns.

Neighbours: `api.escalation.outages` raises it, `vigil.store.outages` keeps the list, which grows
and shrinks while the outage lasts.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from api.access import May
from api.auth import SomebodyDep, require
from api.fields import Cursor, Limit
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import accounts, board, outages

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=RESPONSES)


class ConcernedView(BaseModel):
    """A resident whom nothing watches over (`until` is None), or nothing did for a while."""

    resident: str
    name: str
    phone: str | None
    risk: int
    building: str | None
    home: str | None
    since: datetime
    until: datetime | None


@router.get("/alerts/{alert}/residents")
async def list_concerned(
    services: ServicesDep, identity: SomebodyDep, alert: UUID, limit: Limit = 500, cursor: Cursor = None
) -> Page[ConcernedView]:
    """List the residents of an outage; the look at them is written down."""
    require(identity, May.SEE_PEOPLE)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        if await board.find_card(connection, alert, identity.scope) is None:
            raise NotFound("alert", str(alert))
        found = await outages.concerned(connection, alert, limit + 1, after)
        shown, following = page(found, limit, [one.resident for one in found])
        seen, what = [one.resident for one in shown], f"alert:{alert}"
        await accounts.note_accesses(connection, seen, identity.actor, "alert", what, services.clock())
    items = [ConcernedView.model_validate(one, from_attributes=True) for one in shown]
    return Page(items=items, next=following)
