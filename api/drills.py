"""`/api/v1/drills`: when people practise, so that drill events page somebody then and never else.

Neighbours: `fallback.chores` writes the watchdog's drills here while all is well; leaders may
enter one themselves; the escalator asks `vigil.store.drills`.  A drill ends by itself, and the
watchdog's id of a drill stays the same when it is written anew.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, model_validator

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import IDENTIFIER, Body, Identifier, Moment, Prose
from api.problems import RESPONSES
from api.services import ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import drills
from vigil.store.drills import DrillRow
from vigil.store.pool import Connection

LOOK_BACK: Final = timedelta(days=30)
AT_MOST: Final = timedelta(hours=12)
"""Longer is no exercise: a mark that was forgotten must not outlive a shift."""
Kind = Literal["tabletop", "component", "unannounced"]
DrillPath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, examples=["watchdog-7"])]

router = APIRouter(prefix="/api/v1/drills", tags=["fallback"], responses=RESPONSES)


class DrillBody(Body):
    """A drill as it is planned, or as it runs.

    Attributes:
        kind: `component`: a part of the platform is broken; the others only say so.
        ends_at: It ends by itself then.
    """

    estate: Identifier
    kind: Kind
    scenario: Prose
    starts_at: Moment
    ends_at: Moment

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not timedelta(0) < self.ends_at - self.starts_at <= AT_MOST:
            raise ValueError("a drill ends after it starts, and within 12 hours")
        return self


class DrillView(BaseModel):
    """A drill; `on` says whether it runs now."""

    id: str
    estate: str
    kind: Literal["tabletop", "component", "unannounced", "test"]
    scenario: str
    starts_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    on: bool


@router.get("")
async def list_drills(services: ServicesDep, identity: SomebodyDep) -> list[DrillView]:
    """List the drills that run, are planned, or were over in the last 30 days; surprises stay hidden."""
    require(identity, May.SEE_ALERTS)
    now, may = services.clock(), identity.may(May.RUN_DRILLS)
    async with services.scoped(identity) as connection:
        found = await drills.listed(connection, identity.scope, now - LOOK_BACK, now, surprises=may)
    return [_view(each, now) for each in found]


@router.put("/{drill}")
async def put_drill(
    services: ServicesDep, identity: SomebodyDep, drill: DrillPath, body: DrillBody
) -> DrillView:
    """Write a drill, or write it anew."""
    require(identity, May.RUN_DRILLS)
    now = services.clock()
    async with services.scoped(identity) as connection:
        if not identity.scope.covers(body.estate, None) or not await drills.estate_exists(
            connection, body.estate
        ):
            raise NotFound("estate", body.estate)
        row = DrillRow(drill, **body.model_dump(), ended_at=None, made_by=identity.actor, made_at=now)
        if not await drills.put(connection, row):
            raise Rejected("not_allowed", f"{drill} is a drill of another estate")
    return _view(row, now)


@router.post("/{drill}/end")
async def end_drill(services: ServicesDep, identity: SomebodyDep, drill: DrillPath) -> DrillView:
    """End a drill now; one that is over stays as it ended."""
    require(identity, May.RUN_DRILLS)
    now = services.clock()
    async with services.scoped(identity) as connection:
        return _view(await _ended(connection, identity, drill, now), now)


async def _ended(connection: Connection, identity: Identity, drill: str, now: datetime) -> DrillRow:
    row = await drills.find(connection, drill)
    if row is None or not identity.scope.covers(row.estate, None):
        raise NotFound("drill", drill)
    if row.ended_at is not None:
        return row
    ended = DrillRow(**(asdict(row) | {"ended_at": now}))
    await drills.put(connection, ended)
    return ended


def _view(row: DrillRow, now: datetime) -> DrillView:
    ends_at = min(row.ends_at, row.ended_at or row.ends_at)
    facts = {name: getattr(row, name) for name in DrillView.model_fields if name != "on"}
    return DrillView(**facts, on=row.starts_at <= now < ends_at)
