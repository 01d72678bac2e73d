"""`/api/v1/fallback/snapshot`: the signed roster, for the watchdog alone.

Neighbours: `vigil.store.snapshot` reads it, `vigil.roster` signs it; `fallback.snapshot`
fetches it while all is well, so that people have it when nothing is.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Response

from api.access import May
from api.auth import SomebodyDep, require
from api.problems import RESPONSES, Denied
from api.services import ServicesDep
from vigil import roster
from vigil.store import snapshot

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
    async with services.pool.connection() as connection:
        made = await snapshot.roster(connection, None if scope is None else sorted(scope), services.clock())
    signed = roster.sign(made, services.roster_key)
    return Response(msgspec.json.encode(signed), media_type="application/json")
