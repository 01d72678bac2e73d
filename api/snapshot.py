"""`/api/v1/fallback`: what the watchdog alone is told.

`/snapshot` is the signed roster: `vigil.store.snapshot` reads it, `vigil.roster` signs it, and
`fallback.snapshot` fetches it while all is well, so that people have it when nothing is.
`/standing` is how the platform itself stands, every 5 s: `fallback.standing` judges it.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.access import May
from api.auth import SomebodyDep, require
from api.problems import RESPONSES, Denied
from api.services import ServicesDep
from vigil import roster
from vigil.store import heartbeats, snapshot, standing

ALIVE: Final = timedelta(minutes=10)
"""A process that has been silent for longer was ended, and is not one that is late."""
WAITED: Final = timedelta(minutes=5)
"""A critical alert that nobody has taken by then: escalation has tried everybody by 180 s."""


class BeatView(BaseModel):
    """The last sign of life of a process."""

    process: str
    at: datetime
    progress: dict[str, Any]


class UnansweredView(BaseModel):
    """Critical alerts of an estate that nobody has taken."""

    estate: str
    count: int
    since: datetime


class StandingView(BaseModel):
    """How the platform stands.

    Attributes:
        at: The platform's clock.
        consoles: People who are connected to the live stream.
    """

    at: datetime
    consoles: int
    heartbeats: list[BeatView]
    unanswered: list[UnansweredView]


router = APIRouter(prefix="/api/v1/fallback", tags=["fallback"], responses=RESPONSES)
_SHAPE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A roster's JSON and its Ed25519 signature, in base64",
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["payload", "signature", "key"]}}
        },
    }
}


@router.get("/snapshot", responses=_SHAPE)
async def get_snapshot(services: ServicesDep, identity: SomebodyDep) -> Response:
    """Give the roster of the caller's estates, signed."""
    require(identity, May.SEE_ROSTER)
    if services.roster_key is None:
        detail = "The platform has no key to sign the roster with: set VIGIL_API_ROSTER_KEY."
        raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, "no_key", detail)
    scope = identity.scope.estates
    async with services.scoped(identity) as connection:
        made = await snapshot.roster(connection, None if scope is None else sorted(scope), services.clock())
    signed = roster.sign(made, services.roster_key)
    return Response(msgspec.json.encode(signed), media_type="application/json")


@router.get("/standing")
async def get_standing(services: ServicesDep, identity: SomebodyDep) -> StandingView:
    """Tell how the platform stands: signs of life, consoles, alerts that nobody answers."""
    require(identity, May.SEE_ROSTER)
    now, scope = services.clock(), identity.scope.estates
    async with services.scoped(identity) as connection:
        beats = await heartbeats.latest(connection, now - ALIVE)
        waiting = await standing.unanswered(
            connection, None if scope is None else sorted(scope), now - WAITED
        )
    return StandingView(
        at=now,
        consoles=services.hub.consoles,
        heartbeats=[BeatView(**asdict(beat)) for beat in beats],
        unanswered=[UnansweredView(**asdict(each)) for each in waiting],
    )
