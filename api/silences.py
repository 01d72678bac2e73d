"""`/api/v1/silences`: which alerts rest, until when, and who has said so and why.

Neighbour: `api.alerts` silences (`POST /alerts/{alert}/silence`, at most 4 h, with a reason);
taking a silenced alert ends its silence, and so does its time.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import May
from api.auth import SomebodyDep, require
from api.fields import Cursor, Limit
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.store import board

router = APIRouter(prefix="/api/v1/silences", tags=["alerts"], responses=RESPONSES)


class SilenceView(BaseModel):
    """An alert that rests."""

    alert: UUID
    kind: str = Field(examples=["fall"])
    estate: str
    until: datetime | None
    since: datetime
    actor: str = Field(examples=["person:li.na"])
    reason: str


@router.get("")
async def list_silences(
    services: ServicesDep, identity: SomebodyDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[SilenceView]:
    """List the alerts that are silenced now."""
    require(identity, May.SEE_ALERTS)
    after = position(cursor, UUID, UUID(int=0))
    async with services.scoped(identity) as connection:
        found = await board.silences(connection, identity.scope, limit + 1, after)
    shown, following = page(found, limit, [one.alert for one in found])
    items = [SilenceView.model_validate({n: getattr(s, n) for n in SilenceView.model_fields}) for s in shown]
    return Page(items=items, next=following)
