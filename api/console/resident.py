"""`/me`: a resident's own page, and the page of their family; in large type and plain words.

Neighbours: `api.own` decides and does, for this page and for programs alike.  The page needs no script:
forms carry the session's CSRF token and lead back to it, so that reloading it sends nothing again.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from api import auth, consents, own
from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.consents import ConsentBody
from api.console.catalogue import CATALOGUES, LANGUAGES
from api.console.pages import about, local_time, refuse_foreign_form, render
from api.fields import IDENTIFIER
from api.problems import Denied
from api.services import Services, ServicesDep
from vigil.errors import Rejected
from vigil.store import cases
from vigil.store import own as rows
from vigil.store.consents import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.store.own import Look

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
LOOKS: Final = 30
"""Looks that the page shows; the API has them all."""
Said = Literal[
    "", "help", "fine", "fine_nothing", "agreed", "withdrawn", "reported", "nothing", "text_changed"
]
Csrf = Annotated[str, Form(max_length=1024)]
Whose = Annotated[str, Form(max_length=64, pattern=IDENTIFIER)]


@router.get("/me")
async def me_page(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    resident: Annotated[str, Query(max_length=64)] = "",
    said: Annotated[Said, Query()] = "",
    purpose: Annotated[Purpose | None, Query()] = None,
) -> Response:
    """Show what is known, who looked, what was agreed to; and take what somebody has to say."""
    require(identity, May.SEE_OWN)
    now = services.clock()
    community, zone = await about(services)
    facts = {"community": community, "local": local_time(zone), "known": known, "what": what_of, "said": said}
    facts |= {"times": times_of}
    async with services.scoped(identity) as connection:
        people = await own.ties(connection, identity, now)
        chosen = resident or (people[0].resident if people else "")
        if not chosen:
            return render(request, "me_nobody.html", identity=identity, **facts)
        found = await own.enter(connection, identity, chosen, now)
        await own.note_family(connection, identity, chosen, "record", now)
        me = await own.read(connection, identity, found, now)
        agreed = await consents.read(connection, chosen, now)
        looks = await rows.looks(connection, chosen, LOOKS)
        reports = await own.reports(connection, chosen)
        broken = await cases.broken_for(connection, chosen, LOOKS)
    return render(
        request,
        "me.html",
        identity=identity,
        people=people,
        me=me,
        consents=agreed.now,
        version=consents.TEXT_VERSION,
        purpose=purpose,
        looks=looks,
        reports=reports,
        broken=broken,
        kinds=list(own.PROBLEMS),
        mine=identity.may(May.CONSENT_OWN),
        **facts,
    )


@router.post("/me/answer")
async def answer(
    request: Request,
    services: ServicesDep,
    resident: Whose,
    answer: Annotated[Literal["fine", "help"], Form()],
    csrf: Csrf = "",
) -> Response:
    """Call for help, or say that all is well."""
    identity = await _came(request, services, csrf, May.SAY_OWN)
    async with services.scoped(identity) as connection:
        view = await own.answer(connection, identity, resident, answer, services.clock())
    # Nobody asks while nothing is open: that is said, and nothing is kept of it.
    return _back(resident, "fine_nothing" if answer == "fine" and not view.told else answer)


@router.post("/me/consents")
async def consent(
    request: Request,
    services: ServicesDep,
    resident: Whose,
    purpose: Annotated[Purpose, Form()],
    granted: Annotated[bool, Form()],
    version: Annotated[str, Form(max_length=32)],
    csrf: Csrf = "",
) -> Response:
    """Agree to a purpose, or withdraw."""
    identity = await _came(request, services, csrf, May.CONSENT_OWN)
    body = ConsentBody(granted=granted, text_version=version)
    try:
        async with services.scoped(identity) as connection:
            await own.decide(connection, identity, resident, purpose, body, services.clock())
    except Rejected:
        return _back(resident, "text_changed")
    return _back(resident, "agreed" if granted else "withdrawn", purpose)


@router.post("/me/reports")
async def report(
    request: Request,
    services: ServicesDep,
    resident: Whose,
    kind: Annotated[str, Form(max_length=16)],
    words: Annotated[str, Form(max_length=2000)] = "",
    csrf: Csrf = "",
) -> Response:
    """Report a problem of the neighbourhood."""
    identity = await _came(request, services, csrf, May.SAY_OWN)
    try:
        body = own.ReportBody.model_validate({"kind": kind, "words": words})
    except ValidationError:
        return _back(resident, "nothing")
    async with services.scoped(identity) as connection:
        await own.report(connection, identity, resident, body, services.clock())
    return _back(resident, "reported")


def known(family: str, value: str) -> str:
    """Return a value that the catalogue has a word for in a family, else `other`."""
    words = CATALOGUES[next(iter(LANGUAGES))]
    return value if f"{family}.{value}" in words else "other"


def what_of(look: Look) -> str:
    """Return what was looked at, as the catalogue names it: the thing's id is left out."""
    return look.what.partition(":")[0].replace(" ", "_")


def times_of(entry: object, zone: Callable[[datetime, str], str]) -> str:
    """Return the beginning and the end of a planned absence in the community's time."""
    found = entry if isinstance(entry, dict) else {}
    ends = []
    for name in ("from", "until"):
        try:
            ends.append(zone(datetime.fromisoformat(str(found.get(name))), "%Y-%m-%d %H:%M"))
        except ValueError:
            ends.append("…")
    return " – ".join(ends)


async def _came(request: Request, services: Services, csrf: str, need: May) -> Identity:
    """Return who has sent a form.

    Raises:
        Denied: 401 without a session; 403 where the form is not of this session, or not theirs to send.
    """
    refuse_foreign_form(request)
    identity = await auth.identify(services, request)
    if identity is None or identity.csrf is None:
        raise Denied(HTTPStatus.UNAUTHORIZED, "no_session", "Sign in first.")
    auth.check_csrf(identity, csrf)
    require(identity, need)
    return identity


def _back(resident: str, said: Said, purpose: Purpose | None = None) -> Response:
    where = {"resident": resident, "said": said} | ({"purpose": purpose} if purpose else {})
    anchor = f"#{purpose}" if purpose else ""
    return RedirectResponse(f"/me?{urlencode(where)}{anchor}", HTTPStatus.SEE_OTHER)
