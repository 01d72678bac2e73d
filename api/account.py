"""`/api/v1/session/...` and `/api/v1/tokens`: what is one's own: sessions, second factor, tokens.

Neighbours: `api.auth` and `api.second_factor` do the work, `vigil.store.tokens` keeps tokens.  All
of it is for somebody who has signed in: a token makes no tokens and removes no second factor.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from api import auth, second_factor
from api.access import GRANTS, Identity, May
from api.auth import SomebodyDep
from api.fields import Body, EstateIds, Name
from api.passwords import digest, new_secret
from api.problems import RESPONSES, Denied
from api.services import Services, ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, sign_in, tokens
from vigil.store.tokens import PersonalToken

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["session"], responses=RESPONSES)
LONGEST_DAYS: Final = 90
MOST_TOKENS: Final = 20


class SessionView(BaseModel):
    """A place where one is signed in; `current` is the one that asks."""

    began_at: datetime
    seen_at: datetime
    current: bool


class FactorView(BaseModel):
    """Whether a second factor is asked for, and how many recovery codes are left."""

    enrolled: bool
    recovery_codes_left: int


class PasswordBody(Body):
    """One's own password, once more: a browser that was left open is not enough."""

    password: str = Field(min_length=1, max_length=1024)


class SecretView(BaseModel):
    """What an authenticator takes; it counts once a code was shown."""

    secret: str = Field(examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    uri: str = Field(examples=["otpauth://totp/Vigil:li.na?secret=JBSWY3DP&issuer=Vigil"])


class CodeBody(Body):
    """A code of the authenticator, or a recovery code."""

    code: str = Field(min_length=6, max_length=64, examples=["492039"])


class RecoveryView(BaseModel):
    """Codes for when the telephone is lost, each good once; they are not shown again."""

    recovery_codes: list[str]


class TokenBody(Body):
    """A token as it should be.

    Attributes:
        scopes: What it is for; one's role has to allow each.
        estates: Null: all of one's own, as they are at the time of use.
    """

    name: Name = Field(examples=["the manager's spreadsheet"])
    scopes: list[May] = Field(min_length=1, max_length=len(May), examples=[["see_alerts"]])
    estates: EstateIds | None = None
    days: int = Field(30, ge=1, le=LONGEST_DAYS)


class TokenView(BaseModel):
    """A token without its secret."""

    id: UUID
    name: str
    scopes: list[str]
    estates: list[str] | None
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None


class NewTokenView(TokenView):
    """A new token; its secret is shown this once, and goes into `Authorization: Bearer`."""

    secret: str


class TokenList(BaseModel):
    """One's tokens that are good, the newest first."""

    items: list[TokenView]


TokenPath = Annotated[UUID, Path(examples=["0b9b2f6e-6b0f-4d6e-9f43-1a6c1f6f4c11"])]


@router.get("/session/all")
async def list_sessions(request: Request, services: ServicesDep, identity: SomebodyDep) -> list[SessionView]:
    """List where one is signed in."""
    current = digest(request.cookies.get(auth.COOKIE, ""))
    async with services.scoped(identity) as connection:
        found = await accounts.sessions_of(connection, own(identity), current, services.clock())
    return [SessionView.model_validate(one, from_attributes=True) for one in found]


@router.delete("/session/all", status_code=HTTPStatus.NO_CONTENT)
async def end_sessions(services: ServicesDep, identity: SomebodyDep) -> None:
    """Sign out everywhere, here as well."""
    async with services.scoped(identity) as connection:
        await accounts.end_sessions(connection, own(identity))


@router.get("/session/second-factor")
async def get_factor(services: ServicesDep, identity: SomebodyDep) -> FactorView:
    """Say whether a second factor is asked for."""
    async with services.scoped(identity) as connection:
        found = await sign_in.factor(connection, own(identity))
        left = await sign_in.recovery_codes_left(connection, own(identity))
    enrolled = found is not None and found.confirmed_at is not None
    return FactorView(enrolled=enrolled, recovery_codes_left=left if enrolled else 0)


@router.post("/session/second-factor")
async def begin_factor(services: ServicesDep, identity: SomebodyDep, body: PasswordBody) -> SecretView:
    """Begin with a second factor: get a secret, put it into an authenticator, then confirm."""
    await check_password(services, identity, body.password)
    async with services.scoped(identity) as connection:
        secret = await second_factor.begin(connection, services.seal, own(identity), services.clock())
    return SecretView(secret=secret, uri=second_factor.uri(secret, own(identity)))


@router.post("/session/second-factor/confirm")
async def confirm_factor(
    request: Request, services: ServicesDep, identity: SomebodyDep, body: CodeBody
) -> RecoveryView:
    """Show the authenticator's code: from now on one is asked for; other sessions end."""
    async with services.scoped(identity) as connection:
        codes = await second_factor.confirm(
            connection, services.seal, own(identity), body.code, services.clock()
        )
        await accounts.end_sessions(connection, own(identity), digest(request.cookies.get(auth.COOKIE, "")))
    return RecoveryView(recovery_codes=codes)


@router.post("/session/second-factor/remove", status_code=HTTPStatus.NO_CONTENT)
async def remove_factor(services: ServicesDep, identity: SomebodyDep, body: CodeBody) -> None:
    """Do without the second factor again; a code, or a recovery code, is the proof."""
    await auth.check_code(services, own(identity), body.code)
    async with services.scoped(identity) as connection:
        await sign_in.remove_factor(connection, own(identity))


@router.get("/tokens")
async def list_tokens(services: ServicesDep, identity: SomebodyDep) -> TokenList:
    """List one's tokens that are good."""
    async with services.scoped(identity) as connection:
        found = await tokens.of_account(connection, own(identity), services.clock())
    return TokenList(items=[TokenView.model_validate(one, from_attributes=True) for one in found])


@router.post("/tokens", status_code=HTTPStatus.CREATED)
async def make_token(services: ServicesDep, identity: SomebodyDep, body: TokenBody) -> NewTokenView:
    """Make a token for a program of one's own; it never may more than oneself."""
    _check_reach(identity, body)
    now, secret = services.clock(), new_secret()
    made = PersonalToken(
        id=uuid4(),
        account=own(identity),
        name=body.name,
        scopes=sorted(set(body.scopes)),
        estates=body.estates,
        made_at=now,
        expires_at=now + timedelta(days=body.days),
        used_at=None,
    )
    async with services.scoped(identity) as connection:
        await _check_number(connection, identity, now)
        await tokens.add(connection, made, digest(secret))
    return NewTokenView(**dict(TokenView.model_validate(made, from_attributes=True)), secret=secret)


@router.delete("/tokens/{token}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_token(services: ServicesDep, identity: SomebodyDep, token: TokenPath) -> None:
    """Make a token of one's own void, at once."""
    async with services.scoped(identity) as connection:
        if not await tokens.revoke(connection, own(identity), token, services.clock()):
            raise NotFound("token", str(token))


def own(identity: Identity) -> str:
    """Return the account of somebody who has signed in."""
    return identity.actor.partition(":")[2]


async def check_password(services: Services, identity: Identity, password: str) -> None:
    """Ask for one's own password once more; a wrong one counts towards the lock.

    Raises:
        Denied: 403: it is wrong, too many were, or the account has none of its own.
    """
    now = services.clock()
    async with services.pool.connection() as connection:
        found = await accounts.find_account(connection, own(identity))
        auth.refuse_locked(found, now)
        kept = found.password if found else None
        if not await asyncio.to_thread(services.passwords.verify, kept, password):
            await auth.note_failure(connection, found, now)
            raise Denied(HTTPStatus.FORBIDDEN, "wrong_password", "This is not your password.")


def _check_reach(identity: Identity, body: TokenBody) -> None:
    """Refuse what one may not oneself.

    Raises:
        Denied: 403.
    """
    beyond = sorted(set(body.scopes) - GRANTS[identity.role])
    every = identity.scope.estates is None
    if beyond or not (every or body.estates is None or set(body.estates) <= identity.estates):
        detail = f"A token may not more than you: {', '.join(beyond) or 'these estates'}."
        raise Denied(HTTPStatus.FORBIDDEN, "role", detail)


async def _check_number(connection: Connection, identity: Identity, now: datetime) -> None:
    if len(await tokens.of_account(connection, own(identity), now)) >= MOST_TOKENS:
        raise Rejected("too_many", f"you have {MOST_TOKENS} tokens that are good; revoke one first")
