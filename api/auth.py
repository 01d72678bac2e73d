"""Who is asking: people by a session cookie, robots by a bearer token.

Neighbours: `api.access` says what follows from it; `vigil.store.accounts` keeps the rows.
A session's secret travels in an HttpOnly, SameSite=Strict cookie; every change that is made
with it also has to carry the session's CSRF token, which only our own pages know.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from prometheus_client import Counter

from api import second_factor
from api.access import Identity, May, Role
from api.limits import LIFELINE, WINDOW, source_of
from api.passwords import digest, lock_after, new_secret
from api.permissions import ROUTES, Open, mays
from api.problems import Denied
from api.services import Services, ServicesDep
from vigil.errors import NotFound
from vigil.store import accounts, sign_in, tokens
from vigil.store.accounts import EVERY_ESTATE

if TYPE_CHECKING:
    from datetime import datetime

    from api.limits import Rate
    from vigil.store.pool import Connection

COOKIE: Final = "vigil_session"
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_LASTS: Final = timedelta(hours=13)
"""A night shift of 12 hours and its handover; then one signs in again."""
IDLE: Final = timedelta(hours=1)
"""A browser that has asked for nothing for this long is out; an open board asks every minute (decision 0017)."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED: Final = Counter("vigil_api_refused_total", "Requests refused because somebody asked too often.")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session just begun: the cookie's value, and how long it is good."""

    secret: str
    lasts: timedelta


async def log_in(
    services: Services, account: str, password: str, code: str = "", before: str | None = None
) -> Opened:
    """Check a password, and a code where the account has a second factor, and begin a session.

    Args:
        services: The application's.
        account: Its name.
        password: As it was typed.
        code: From an authenticator, or a recovery code; a wrong one counts as a wrong password does.
        before: The session's secret that the browser came with: that session ends.

    Raises:
        Denied: 401; the sentence is the same for a wrong name and a wrong password.
    """
    now = services.clock()
    async with services.pool.connection() as connection:
        # What is no text cannot be asked for, and is nobody's name.
        found = await accounts.find_account(connection, account) if account.isprintable() else None
        refuse_locked(found, now)
        kept = found.password if found and not found.disabled_at else None
        if not await asyncio.to_thread(services.passwords.verify, kept, password):
            await note_failure(connection, found, now)
            raise Denied(HTTPStatus.UNAUTHORIZED, "wrong_password", "The name or the password is wrong.")
        await _ask_second_factor(services, connection, account, code, now)
        return await begin_session(connection, account, before, now)


async def begin_session(connection: Connection, account: str, before: str | None, now: datetime) -> Opened:
    """Begin a session under a new secret; the one that the browser had before ends."""
    secret = new_secret()
    if before:
        await accounts.end_session(connection, digest(before))
    await accounts.start_session(connection, account, digest(secret), new_secret(), now, now + SESSION_LASTS)
    return Opened(secret, SESSION_LASTS)


async def _ask_second_factor(
    services: Services, connection: Connection, account: str, code: str, now: datetime
) -> None:
    """Check the second factor of an account that has one.

    Raises:
        Denied: 401: `code_required`, or `wrong_code`, which counts towards the lock.
    """
    found = await sign_in.factor(connection, account)
    if found is None or found.confirmed_at is None:
        return
    if not code:
        raise Denied(HTTPStatus.UNAUTHORIZED, "code_required", "Send the code of your authenticator too.")
    if not await second_factor.check(connection, services.seal, found, code, now):
        await note_failure(connection, await accounts.find_account(connection, account), now)
        raise Denied(HTTPStatus.UNAUTHORIZED, "wrong_code", "This code is wrong, or was used already.")


def refuse_locked(found: accounts.Account | None, now: datetime) -> None:
    """Refuse an account that was tried too often.

    Raises:
        Denied: 401.
    """
    if found and found.locked_until and found.locked_until > now:
        minutes = (found.locked_until - now) // timedelta(minutes=1) + 1
        detail = f"Too many wrong passwords; try again in {minutes} min, or ask your supervisor."
        raise Denied(HTTPStatus.UNAUTHORIZED, "locked", detail)


async def note_failure(connection: Connection, found: accounts.Account | None, now: datetime) -> None:
    """Count a wrong password or code of an account that is there, and lock it when there were many."""
    if found is None:
        return
    locked_for = lock_after(await accounts.count_failure(connection, found.id))
    if locked_for:
        await accounts.lock_account(connection, found.id, now + locked_for)


async def check_code(services: Services, account: str, code: str) -> None:
    """Ask somebody who has signed in for a code; a wrong one counts towards the lock.

    Raises:
        Denied: 403: it is wrong; 401: too many were.
        NotFound: They have no second factor.
    """
    now = services.clock()
    async with services.pool.connection() as connection:
        owner = await accounts.find_account(connection, account)
        refuse_locked(owner, now)
        found = await sign_in.factor(connection, account)
        if found is None:
            raise NotFound("second factor", account)
        if not await second_factor.check(connection, services.seal, found, code, now):
            await note_failure(connection, owner, now)
            raise Denied(HTTPStatus.FORBIDDEN, "wrong_code", "This code is wrong, or was used already.")


@asynccontextmanager
async def counting_failures(services: Services, request: Request) -> AsyncIterator[None]:
    """Refuse a source that has failed to sign in too often, and count where it fails again.

    Raises:
        Denied: 429.
    """
    source = source_of(request.client.host if request.client else None)
    if services.failures.exhausted(source, services.clock()):
        detail = "Too many attempts from here; wait a minute."
        wait_s = WINDOW.total_seconds()
        raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "too_many", detail, retry_after_s=wait_s)
    try:
        yield
    except Denied:
        services.failures.note(source, services.clock())
        raise


async def log_out(services: Services, request: Request) -> None:
    """End the session that a request came with."""
    async with services.pool.connection() as connection:
        await accounts.end_session(connection, digest(request.cookies.get(COOKIE, "")))


async def identify(services: Services, request: Request) -> Identity | None:
    """Return who sends a request, or None; a bearer token goes before a cookie."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    now = services.clock()
    async with services.pool.connection() as connection:
        if scheme.lower() == "bearer":
            return await _bearer(connection, digest(token.strip()), now)
        if secret := request.cookies.get(COOKIE):
            return _person(await accounts.find_session(connection, digest(secret), now, now - IDLE))
    return None


async def _bearer(connection: Connection, hashed: bytes, now: datetime) -> Identity | None:
    return _robot(await accounts.find_token(connection, hashed, now)) or _by_token(
        await tokens.find(connection, hashed, now)
    )


def _by_token(token: tokens.Bearer | None) -> Identity | None:
    """Return the owner of a token, with no more than both of them may."""
    if token is None:
        return None
    owners = frozenset(token.owners_estates)
    asked = owners if token.estates is None else frozenset(token.estates)
    estates = asked if EVERY_ESTATE in owners else owners if EVERY_ESTATE in asked else asked & owners
    limits = frozenset(May(scope) for scope in token.scopes if scope in May.__members__.values())
    return Identity(f"person:{token.account}", token.name, Role(token.role), estates, limits=limits)


def _robot(token: accounts.Token | None) -> Identity | None:
    if token is None:
        return None
    return Identity(f"robot:{token.id}", token.id, Role(token.role), frozenset(token.estates))


def _person(session: accounts.Session | None) -> Identity | None:
    if session is None:
        return None
    actor = f"person:{session.account}"
    return Identity(actor, session.name, Role(session.role), frozenset(session.estates), session.csrf)


async def somebody(request: Request, services: ServicesDep) -> Identity:
    """Return who sends a request, which may be anybody known; checks the CSRF token of changes.

    Raises:
        Denied: 401 without a good session or token, 403 with a cookie and no CSRF token.
    """
    identity: Identity | None = getattr(request.state, "identity", None) or await identify(services, request)
    if identity is None:
        raise Denied(HTTPStatus.UNAUTHORIZED, "no_session", "Sign in, or send a bearer token that is good.")
    if request.method not in _SAFE and identity.csrf is not None:
        check_csrf(identity, request.headers.get(CSRF_HEADER, ""))
    return identity


def check_csrf(identity: Identity, sent: str) -> None:
    """Compare the CSRF token that came with a change.

    Raises:
        Denied: 403.
    """
    if not hmac.compare_digest((identity.csrf or "").encode(), sent.encode()):
        raise Denied(
            HTTPStatus.FORBIDDEN, "csrf", f"Send the session's token as {CSRF_HEADER}; reload the page."
        )


SomebodyDep = Annotated[Identity, Depends(somebody)]


async def guard(request: Request, services: ServicesDep) -> None:
    """Ask the table of permissions before anything of a route is run.

    Raises:
        Denied: 401 for a stranger, 403 for who may not, or where the table says nothing; 429 for who
            asks too often.
    """
    route = f"{request.method} {request.scope['route'].path}"
    need = ROUTES.get(route)
    _count(services.rates.address, route, source_of(request.client.host if request.client else None))
    if need is Open.ANYBODY:
        return
    identity = request.state.identity = await somebody(request, services)
    _count(services.rates.account, route, identity.actor)
    if need is None or (need is Open.PERSON and identity.csrf is None):
        raise Denied(HTTPStatus.FORBIDDEN, "role", "This is for people who have signed in themselves.")
    for what in mays(need):
        require(identity, what)


def _count(rate: Rate, route: str, source: str) -> None:
    """Count a request, unless it is a lifeline.

    Raises:
        Denied: 429, with the time to wait.
    """
    if route in LIFELINE:
        return
    wait_s = rate.take(source, asyncio.get_running_loop().time())
    if wait_s > 0:
        _REFUSED.inc()
        detail = f"Too many requests; the next one is welcome in {wait_s:.1f} s. Alerts can still be taken."
        raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "too_many", detail, retry_after_s=wait_s)


def require(identity: Identity, what: May) -> None:
    """Refuse what a role does not allow.

    Raises:
        Denied: 403.
    """
    if not identity.may(what):
        detail = f"The role {identity.role} may not {what.replace('_', ' ')}."
        raise Denied(HTTPStatus.FORBIDDEN, "role", detail)
