"""`GET /api/v1/stream`: the live stream over server-sent events.

Neighbour: `api.live` gives the bytes.  A heartbeat event every few seconds lets the page know
its own age, also when nothing happens; it says as well whether the server hears the database.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from api.access import Identity, May
from api.auth import SomebodyDep, identify, require
from api.live import whole
from api.problems import RESPONSES
from api.services import Services, ServicesDep
from api.wire import wire_of

HEARTBEAT_S: Final = 5.0
"""The page speaks up after three missed ones (15 s), and shows the fallback sheet after nine (45 s)."""
RECHECK: Final = timedelta(seconds=60)
"""A session or token that was revoked loses its stream within this time."""
RETRY_MS: Final = 1000
"""How long a browser waits before it comes back."""

router = APIRouter(prefix="/api/v1", tags=["live"], responses=RESPONSES)


@router.get("/stream", response_class=StreamingResponse)
async def stream(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    after: Annotated[int | None, Query(ge=0, description="Begin after this change")] = None,
    last_event_id: Annotated[int | None, Header(ge=0, description="As browsers send it")] = None,
) -> StreamingResponse:
    """Follow the alerts live; an event is named by what happened and carries the alert as it stands.

    `Last-Event-ID` (or `after`) resumes without missing a change.  Further events: `heartbeat`
    every 5 s of quiet, and `reload` after an absence too long to catch up with.
    """
    require(identity, May.SEE_ALERTS)
    resume = last_event_id if last_event_id is not None else after
    return StreamingResponse(
        _events(request, services, identity, resume),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Request, services: Services, identity: Identity, after: int | None
) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode() + _heartbeat(services)
    checked = services.clock()
    with services.hub.session(identity) as session:
        async for chunk in services.hub.follow(session, after, HEARTBEAT_S, wire_of(request.scope)):
            yield chunk or _heartbeat(services)
            if services.clock() - checked >= RECHECK:
                checked = services.clock()
                if await whole(identify(services, request)) is None:
                    return


def _heartbeat(services: Services) -> bytes:
    facts = {"at": services.clock().isoformat(), "trouble": services.hub.trouble}
    return f"event: heartbeat\ndata: {json.dumps(facts)}\n\n".encode()
