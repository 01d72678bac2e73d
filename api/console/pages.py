"""The console's pages: sign in and the board.

Neighbours: `api.console.alert` for one alert, the templates beside this module, `static/` for the
modules that keep them live.  Forms carry the session's CSRF token as a field; signing in
has no session yet, and there the browser's word on where the form came from is checked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.staticfiles import StaticFiles

from api import auth
from api.access import GRANTS, Identity, May, Role
from api.alerts import list_alerts
from api.console.catalogue import HTML_LANGUAGE, LANGUAGES, choose, for_modules, translator
from api.problems import Denied
from api.services import Services, ServicesDep
from api.sessions import set_cookie
from vigil.store import board

THEMES: Final = ("night", "day")
_YEAR_S: Final = int(timedelta(days=365).total_seconds())

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_templates: Final = Environment(
    loader=PackageLoader("api.console"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def static_files() -> StaticFiles:
    """Return what is served below `/static`: style sheet, modules, icon."""
    return StaticFiles(directory=Path(str(resources.files("api.console") / "static")))


def error_page(request: Request, status: int) -> Response:
    """Say in a person's words that something cannot be shown; a stranger is asked to sign in."""
    if status == HTTPStatus.UNAUTHORIZED:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    away = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    return render(request, "nothing.html", what="away" if away else "nothing", status=status)


@router.get("/login")
async def login_page(request: Request, services: ServicesDep) -> Response:
    """Show the form for signing in."""
    provider = services.provider is not None
    return render(request, "login.html", error=None, account="", provider=provider)


@router.post("/login")
async def log_in(
    request: Request,
    services: ServicesDep,
    account: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1024)],
    code: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Sign in, and go on to the board."""
    refuse_foreign_form(request)
    before = request.cookies.get(auth.COOKIE)
    try:
        async with auth.counting_failures(services, request):
            opened = await auth.log_in(services, account.strip(), password, code, before)
    except Denied as error:
        facts: dict[str, Any] = {"account": account, "provider": services.provider is not None}
        return render(request, "login.html", error=error.kind, status=error.status, **facts)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    set_cookie(request, response, opened)
    return response


def refuse_foreign_form(request: Request) -> None:
    """Refuse a form that another site made the browser send.

    Raises:
        Denied: 403.
    """
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != request.url.netloc):
        raise Denied(HTTPStatus.FORBIDDEN, "csrf", "Sign in on the console's own page.")


@router.post("/logout")
async def log_out(request: Request, services: ServicesDep, csrf: Annotated[str, Form()] = "") -> Response:
    """Sign out."""
    identity = await auth.identify(services, request)
    if identity is not None:
        auth.check_csrf(identity, csrf)
        await auth.log_out(services, request)
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(auth.COOKIE)
    return response


@router.post("/preferences")
async def prefer(
    request: Request,
    language: Annotated[str | None, Form()] = None,
    theme: Annotated[str | None, Form()] = None,
) -> Response:
    """Remember a language or a theme in the browser, and go back to where one was."""
    refuse_foreign_form(request)
    back = urlsplit(request.headers.get("Referer", "")).path
    response = RedirectResponse(back if back.startswith("/") else "/", HTTPStatus.SEE_OTHER)
    if language is not None and language in LANGUAGES:
        response.set_cookie("language", language, max_age=_YEAR_S, samesite="lax")
    if theme is not None and theme in THEMES:
        response.set_cookie("theme", theme, max_age=_YEAR_S, samesite="lax")
    return response


@router.get("/")
async def board_page(request: Request, services: ServicesDep) -> Response:
    """Show the board: what is open, by urgency, with who has it."""
    identity = await auth.identify(services, request)
    if identity is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    if identity.may(May.SEE_OWN):
        return RedirectResponse("/me", HTTPStatus.SEE_OTHER)
    if not identity.may(May.SEE_ALERTS):
        return error_page(request, HTTPStatus.FORBIDDEN)
    page = await list_alerts(services, identity, state="open", limit=500)
    community, zone = await about(services)
    data = page_data(request, identity, zone) | page.model_dump(mode="json", include={"alerts", "change"})
    return render(request, "board.html", identity=identity, community=community, data=data)


async def about(services: Services) -> tuple[str, str]:
    """Return the community's name (all of them, where there are several) and its time zone."""
    async with services.pool.connection() as connection:
        found = await board.communities(connection)
    return " · ".join(name for name, _ in found), found[0][1] if found else "UTC"


def page_data(request: Request, identity: Identity, zone: str) -> dict[str, Any]:
    """Collect what the page's modules need."""
    language = language_of(request)
    return {
        "csrf": identity.csrf,
        "me": identity.actor,
        "may": sorted(GRANTS[identity.role]),
        "language": HTML_LANGUAGE[language],
        "zone": zone,
        "messages": for_modules(language),
        "keeps": kept_pages(identity),
    }


def kept_pages(identity: Identity) -> list[str]:
    """List the pages that the browser keeps for the time without the platform."""
    sheet = ["/sheet"] if identity.may(May.SEE_PEOPLE) and identity.may(May.TAKE) else []
    return sheet + (["/round"] if identity.role is Role.GRID_WORKER else [])


ROOMS: Final[tuple[tuple[str, str, May], ...]] = (
    ("/", "board", May.SEE_ALERTS),
    ("/round", "round", May.HAND_OVER),
    ("/community", "community", May.SEE_PEOPLE),
    ("/duty", "duty", May.SEE_STAFF),
    ("/street", "street", May.SEE_PEOPLE),
    ("/manager", "manager", May.SEE_EFFECT),
    ("/cases", "cases", May.SEE_CASES),
    ("/edit", "edit", May.SEE_REGISTER),
    ("/sheet", "sheet", May.SEE_PEOPLE),
)
"""Path, name in the catalogue, and what a role needs to be shown the way there."""


def rooms(identity: Identity) -> list[tuple[str, str]]:
    """List the pages that somebody can go to."""
    return [(path, name) for path, name, need in ROOMS if identity.may(need)]


EDIT_ROOMS: Final[tuple[tuple[str, str, May], ...]] = (
    ("/edit/residents", "residents", May.SEE_HELPERS),
    ("/edit/zones", "zones", May.SEE_REGISTER),
    ("/edit/buildings", "buildings", May.SEE_REGISTER),
    ("/edit/estates", "estates", May.SEE_REGISTER),
    ("/edit/communities", "communities", May.SEE_REGISTER),
    ("/edit/nodes", "nodes", May.SEE_REGISTER),
    ("/edit/devices", "devices", May.SEE_REGISTER),
    ("/edit/assignments", "assignments", May.SEE_HELPERS),
    ("/edit/accounts", "accounts", May.SEE_STAFF),
    ("/edit/duty", "duty", May.SEE_STAFF),
    ("/edit/policies", "policies", May.SEE_POLICIES),
    ("/edit/silences", "silences", May.SEE_ALERTS),
)
"""The same for what is edited; who has no right to change something sees it all the same."""


def edit_rooms(identity: Identity) -> list[tuple[str, str]]:
    """List the pages for editing that somebody can go to."""
    return [(path, name) for path, name, need in EDIT_ROOMS if identity.may(need)]


def local_time(zone: str) -> Any:
    """Return the filter that shows a time in the community's zone."""
    place = ZoneInfo(zone)

    def local(moment: datetime, form: str = "%H:%M:%S") -> str:
        return moment.astimezone(place).strftime(form)

    return local


def language_of(request: Request) -> str:
    """Return the language of the browser that asks: the one chosen, else the first it accepts."""
    return choose(request.cookies.get("language"), request.headers.get("Accept-Language", ""))


def render(
    request: Request,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    identity: Identity | None = None,
    **facts: Any,
) -> HTMLResponse:
    """Render a template in the language and colours of the browser that asks."""
    language = language_of(request)
    theme = request.cookies.get("theme", THEMES[0])
    html = _templates.get_template(template).render(
        t=translator(language),
        language=language,
        languages=LANGUAGES,
        html_language=HTML_LANGUAGE[language],
        theme=theme if theme in THEMES else THEMES[0],
        identity=identity,
        rooms=rooms,
        edit_rooms=edit_rooms,
        here=request.url.path,
        **facts,
    )
    return HTMLResponse(html, status)
