"""The web application: routes, errors as problems, and the headers that every answer carries.

Neighbours: `api.__main__` builds the services and serves the application; the rooms' routes
stand in the modules beside this one and in `api.console`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.datastructures import MutableHeaders

from api import (
    account,
    alerts,
    audit,
    auth,
    calendars,
    cases,
    claims,
    configs,
    consents,
    contacts,
    detectors,
    drills,
    effect,
    erasure,
    evidence,
    export,
    hand_ups,
    handover,
    nearest,
    offers,
    outages,
    own,
    permissions,
    plans,
    policies,
    problems,
    profiles,
    push,
    receipts,
    residents,
    rota,
    sessions,
    silences,
    snapshot,
    staff,
    stream,
    tasks,
    webhooks,
)
from api.bodies import LimitedBodies
from api.console import answer, pages, resident, sign_in, site, take
from api.document import Application
from api.register import changes
from api.register import routes as register

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.services import Services

_POLICY: Final = """
    default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';
    manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
"""
HEADERS: Final = {
    "Content-Security-Policy": " ".join(_POLICY.split()),
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Nothing from third parties, no inline scripts or styles, nobody's frame; browsers heed the word on TLS over TLS alone."""
PARTS: Final = (
    *(
        alerts,
        silences,
        offers,
        outages,
        receipts,
        tasks,
        hand_ups,
        stream,
        sessions,
        account,
        push,
        residents,
        profiles,
        plans,
        register,
        changes,
        staff,
        contacts,
        rota,
        handover,
        calendars,
        policies,
        effect,
        detectors,
        nearest,
        webhooks,
        audit,
        consents,
        own,
        export,
        erasure,
        cases,
    ),
    *(claims, configs, evidence, snapshot, drills, pages, sign_in, take, answer, site, resident),
)


def create_app(services: Services) -> FastAPI:
    """Build the application around its services.

    Raises:
        Misconfigured: A route has no row in the table of permissions.
    """
    permissions.check(served())
    app = Application(
        title="Vigil", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    app.state.services = services
    app.state.error_page = pages.error_page
    problems.install(app)
    for part in PARTS:
        app.include_router(part.router, dependencies=[Depends(auth.guard)])
    app.mount("/static", pages.static_files())
    app.add_middleware(LimitedBodies)
    app.add_middleware(SecurityHeaders)
    return app


def served() -> list[str]:
    """List the routes as the table of permissions names them."""
    routes = [route for part in PARTS for route in iter_route_contexts(part.router.routes)]
    return [f"{method} {route.path}" for route in routes for method in sorted(route.methods or ())]


class SecurityHeaders:
    """Adds the headers to every answer; pages of people are never kept by a cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add to what comes back."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)
