"""`/api/v1/accounts`: who works here, as what, and for which estates.

Neighbours: `vigil.store.staff` keeps them, `api.contacts` how they are reached, `api.rota` when
they have duty.  Who manages accounts gives nobody more estates than they have themselves.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, SecretStr

from api.access import ROBOTS, Identity, May, Role
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Body, Cursor, EstateIds, Identifier, IfMatch, Limit, Name, Phone
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.passwords import LEAST_LENGTH
from api.problems import RESPONSES, Denied
from api.services import Services, ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import staff
from vigil.store.staff import Member

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/accounts", tags=["staff"], responses=RESPONSES)
PEOPLE: Final = sorted(set(Role) - ROBOTS)


class AccountView(BaseModel):
    """Somebody who may sign in.

    Attributes:
        id: Login name; transitions name them as `person:{id}`.
        estates: Ids of estates in their care; `*` is every one.
        disabled_at: Since when they are shut out.
        version: The ETag's number, to be sent back with a change.
    """

    id: str = Field(examples=["li.na"])
    name: str = Field(examples=["李娜"])
    role: Role
    estates: list[str] = Field(examples=[["tiantong-1"]])
    phone: str | None = Field(examples=["010-5550101"])
    disabled_at: datetime | None
    version: int = Field(examples=[1])


class AccountBody(Body):
    """An account as it should be; without a password the present one stays, or there is none yet."""

    name: Name
    role: Role
    estates: EstateIds
    phone: Phone | None = None
    password: Annotated[SecretStr, Field(min_length=LEAST_LENGTH, max_length=1024)] | None = None


class NewAccountBody(AccountBody):
    """A new account."""

    id: Identifier


@router.get("")
async def list_accounts(
    services: ServicesDep,
    identity: SomebodyDep,
    role: Annotated[Role | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AccountView]:
    """List the accounts that look after one of the caller's estates."""
    require(identity, May.SEE_STAFF)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await staff.members(connection, identity.scope, limit + 1, after, role)
    shown, following = page(found, limit, [one.id for one in found])
    return Page(items=[view(one) for one in shown], next=following)


@router.get("/{account}")
async def get_account(
    services: ServicesDep, identity: SomebodyDep, account: AccountPath, response: Response
) -> AccountView:
    """Return one account."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        found = await visible(connection, identity, account)
    response.headers["ETag"] = etag(found.version)
    return view(found)


@router.post("", status_code=HTTPStatus.CREATED, response_model=AccountView)
async def add_account(write: WriteDep, identity: SomebodyDep, body: NewAccountBody) -> Response:
    """Add an account."""
    require(identity, May.MANAGE_STAFF)
    _refuse_more(identity, body)
    password = await _hashed(write.services, body)
    new = Member(body.id, body.name, body.role, body.estates, body.phone, None, 1)

    async def do(connection: Connection) -> Done:
        if not await staff.add_member(connection, new, password):
            raise Rejected("not_allowed", f"there is an account {body.id} already")
        return Done(view(new), HTTPStatus.CREATED, 1, f"/api/v1/accounts/{body.id}")

    return await write(do)


@router.put("/{account}", response_model=AccountView)
async def change_account(
    write: WriteDep, identity: SomebodyDep, account: AccountPath, body: AccountBody, if_match: IfMatch = None
) -> Response:
    """Change an account; one that was shut out may come in again.  A new password ends its sessions."""
    require(identity, May.MANAGE_STAFF)
    _refuse_more(identity, body)
    password = await _hashed(write.services, body)

    async def do(connection: Connection) -> Done:
        before = await _changeable(connection, identity, account, if_match)
        new = Member(account, body.name, body.role, body.estates, body.phone, None, before.version + 1)
        await staff.change_member(connection, new, password)
        return Done(view(new), version=new.version)

    return await write(do)


@router.delete("/{account}", status_code=HTTPStatus.NO_CONTENT)
async def disable_account(
    write: WriteDep, identity: SomebodyDep, account: AccountPath, if_match: IfMatch = None
) -> Response:
    """Shut an account out, its sessions with it.  What it has done stays on record under its name."""
    require(identity, May.MANAGE_STAFF)
    if identity.actor == f"person:{account}":
        raise Rejected("not_allowed", "nobody shuts themselves out; ask a colleague")

    async def do(connection: Connection) -> Done:
        before = await _changeable(connection, identity, account, if_match)
        now = write.services.clock()
        gone = Member(before.id, before.name, before.role, before.estates, before.phone, now, before.version)
        await staff.change_member(connection, gone, None)
        return Done(None)

    return await write(do)


async def visible(connection: Connection, identity: Identity, account: str, *, lock: bool = False) -> Member:
    """Return an account of the caller's scope.

    Raises:
        NotFound: There is none.
    """
    found = await staff.member(connection, account, identity.scope, lock=lock)
    if found is None:
        raise NotFound("account", account)
    return found


async def _changeable(
    connection: Connection, identity: Identity, account: str, if_match: str | None
) -> Member:
    found = await visible(connection, identity, account, lock=True)
    refuse_beyond(identity, found.estates)
    check_version(if_match, found.version)
    return found


def refuse_beyond(identity: Identity, estates: list[str]) -> None:
    """Refuse to manage somebody who looks after more estates than the caller.

    Raises:
        Denied: 403.
    """
    if not staff.covers(identity.scope, estates):
        detail = "This account also looks after estates that are not yours."
        raise Denied(HTTPStatus.FORBIDDEN, "scope", detail)


def _refuse_more(identity: Identity, body: AccountBody) -> None:
    refuse_beyond(identity, body.estates)
    if body.role in ROBOTS:
        raise Rejected("invalid", f"{body.role} is a robot's role; robots come with tokens")


async def _hashed(services: Services, body: AccountBody) -> str | None:
    if body.password is None:
        return None
    return await asyncio.to_thread(services.passwords.hash, body.password.get_secret_value())


def view(found: Member) -> AccountView:
    """Show an account."""
    return AccountView.model_validate({name: getattr(found, name) for name in Member.__dataclass_fields__})
