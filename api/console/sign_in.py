"""Pages around signing in: by the identity provider, and one's own account with its second factor.

Neighbours: `api.oidc` speaks with the provider, `api.account` has the same for programs,
`api.console.pages` has the form for local accounts.  Forms carry the session's CSRF token.
"""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import account, auth, oidc, second_factor
from api.access import Identity
from api.console.pages import refuse_foreign_form, render
from api.passwords import digest
from api.problems import Denied
from api.services import Services, ServicesDep
from api.sessions import set_cookie
from vigil.errors import Rejected, Unavailable
from vigil.store import accounts, sign_in

if TYPE_CHECKING:
    from api.oidc import Provider
    from api.seal import Seal

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
COOKIE: Final = "vigil_oidc"
_PATH: Final = "/oidc"
Text = Annotated[str, Form(max_length=1024)]


@router.get("/oidc/start")
async def start(request: Request, services: ServicesDep) -> Response:
    """Send the browser to the identity provider."""
    provider, seal = _provider(services)
    try:
        url, sealed = await oidc.start(provider, seal, services.clock())
    except Unavailable:
        return _login(request, services, "oidc_away", HTTPStatus.SERVICE_UNAVAILABLE)
    response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
    # Lax: the way back is a link of another site, with which a strict cookie would not come.
    response.set_cookie(
        COOKIE,
        base64.urlsafe_b64encode(sealed).decode(),
        max_age=oidc.LASTS_S,
        path=_PATH,
        httponly=True,
        samesite="lax",
        secure=provider.secure,
    )
    return response


@router.get("/oidc/callback")
async def callback(request: Request, services: ServicesDep) -> Response:
    """Take back whom the provider has sent, and begin their session."""
    provider, seal = _provider(services)
    now = services.clock()
    try:
        sealed = base64.urlsafe_b64decode(request.cookies.get(COOKIE, "").encode())
    except (binascii.Error, ValueError):
        sealed = b""
    try:
        async with auth.counting_failures(services, request):
            claims = await oidc.finish(provider, seal, sealed, request.query_params, now)
            async with services.pool.transaction() as connection:
                found = await oidc.account_for(connection, provider, claims, now)
                before = request.cookies.get(auth.COOKIE)
                opened = await auth.begin_session(connection, found.id, before, now)
    except Denied as error:
        return _login(request, services, error.kind, error.status)
    except Unavailable:
        return _login(request, services, "oidc_away", HTTPStatus.SERVICE_UNAVAILABLE)
    # A page of ours goes on to the board: the session's strict cookie is not sent on the provider's redirect.
    response = render(request, "signed_in.html")
    set_cookie(request, response, opened)
    response.delete_cookie(COOKIE, path=_PATH)
    return response


@router.get("/account")
async def account_page(request: Request, services: ServicesDep) -> Response:
    """Show one's sessions and second factor."""
    identity = await auth.identify(services, request)
    if identity is None or identity.csrf is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    return await _account(request, services, identity)


@router.post("/account/second-factor")
async def begin_factor(request: Request, services: ServicesDep, password: Text, csrf: Text = "") -> Response:
    """Show a new secret, and ask for its first code."""
    identity = await _signed_in(request, services, csrf)
    try:
        await account.check_password(services, identity, password)
        async with services.scoped(identity) as connection:
            mine = account.own(identity)
            secret = await second_factor.begin(connection, services.seal, mine, services.clock())
    except Denied as error:
        return await _account(request, services, identity, error=error.kind, status=error.status)
    except Rejected as error:
        return await _account(request, services, identity, error=error.reason, status=HTTPStatus.CONFLICT)
    uri = second_factor.uri(secret, account.own(identity))
    return await _account(request, services, identity, secret=secret, uri=uri, qr=second_factor.qr(uri))


@router.post("/account/second-factor/confirm")
async def confirm_factor(request: Request, services: ServicesDep, code: Text, csrf: Text = "") -> Response:
    """Put the second factor in force, and show the recovery codes this once."""
    identity = await _signed_in(request, services, csrf)
    mine, kept = account.own(identity), digest(request.cookies.get(auth.COOKIE, ""))
    try:
        async with services.scoped(identity) as connection:
            codes = await second_factor.confirm(connection, services.seal, mine, code, services.clock())
            await accounts.end_sessions(connection, mine, kept)
    except Rejected as error:
        return await _account(request, services, identity, error=error.reason, status=HTTPStatus.CONFLICT)
    return await _account(request, services, identity, codes=codes)


@router.post("/account/second-factor/remove")
async def remove_factor(request: Request, services: ServicesDep, code: Text, csrf: Text = "") -> Response:
    """Do without the second factor again."""
    identity = await _signed_in(request, services, csrf)
    try:
        await auth.check_code(services, account.own(identity), code)
    except Denied as error:
        return await _account(request, services, identity, error=error.kind, status=error.status)
    async with services.scoped(identity) as connection:
        await sign_in.remove_factor(connection, account.own(identity))
    return await _account(request, services, identity)


@router.post("/account/sign-out-everywhere")
async def sign_out_everywhere(request: Request, services: ServicesDep, csrf: Text = "") -> Response:
    """End all of one's sessions, this one too."""
    identity = await _signed_in(request, services, csrf)
    async with services.scoped(identity) as connection:
        await accounts.end_sessions(connection, account.own(identity))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(auth.COOKIE)
    return response


async def _signed_in(request: Request, services: Services, csrf: str) -> Identity:
    """Return who has sent a form.

    Raises:
        Denied: 401 without a session, 403 where the form is not of this session.
    """
    refuse_foreign_form(request)
    identity = await auth.identify(services, request)
    if identity is None or identity.csrf is None:
        raise Denied(HTTPStatus.UNAUTHORIZED, "no_session", "Sign in first.")
    auth.check_csrf(identity, csrf)
    return identity


async def _account(
    request: Request, services: Services, identity: Identity, *, status: int = HTTPStatus.OK, **more: Any
) -> Response:
    mine, kept = account.own(identity), digest(request.cookies.get(auth.COOKIE, ""))
    async with services.scoped(identity) as connection:
        found = await sign_in.factor(connection, mine)
        left = await sign_in.recovery_codes_left(connection, mine)
        places = await accounts.sessions_of(connection, mine, kept, services.clock())
    facts = {"error": None, "secret": None, "uri": None, "codes": None} | more
    enrolled = found is not None and found.confirmed_at is not None
    return render(
        request,
        "account.html",
        status=status,
        identity=identity,
        enrolled=enrolled,
        left=left,
        sessions=len(places),
        **facts,
    )


def _provider(services: Services) -> tuple[Provider, Seal]:
    """Return the provider and the seal.

    Raises:
        Denied: 404; none is set up.
    """
    if services.provider is None or services.seal is None:
        raise Denied(HTTPStatus.NOT_FOUND, "no_provider", "No identity provider is set up here.")
    return services.provider, services.seal


def _login(request: Request, services: Services, error: str, status: int) -> Response:
    provider = services.provider is not None
    return render(request, "login.html", error=error, account="", provider=provider, status=status)
