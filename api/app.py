"""The web application: routes, errors as problems, and the headers that every answer carries.

Neighbours: `api.__main__` builds the services and serves the application; the rooms' routes
stand in the modules beside this one and in `api.console`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders

from api import (
    alerts,
    claims,
    contacts,
    effect,
    evidence,
    hand_ups,
    outages,
    policies,
    problems,
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
from api.console import answer, pages, take

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
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Nothing from third parties, no inline scripts or styles, nobody's frame."""
PARTS: Final = (
    *(
        alerts,
        silences,
        outages,
        tasks,
        hand_ups,
        stream,
        sessions,
        residents,
        staff,
        contacts,
        rota,
        policies,
        effect,
        webhooks,
    ),
    *(claims, evidence, snapshot, pages, take, answer),
)


def create_app(services: Services) -> FastAPI:
    """Build the application around its services."""
    app = FastAPI(
        title="Vigil", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    app.state.services = services
    app.state.error_page = pages.error_page
    problems.install(app)
    for part in PARTS:
        app.include_router(part.router)
    app.mount("/static", pages.static_files())
    app.add_middleware(SecurityHeaders)
    return app


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
