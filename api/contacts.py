"""`/api/v1/accounts/{account}/contacts`: how somebody is reached, and proof that it works.

Neighbours: `vigil.store.staff` keeps them, `api.escalation.channels` sends.  A contact counts
for duty only after a code that was sent through it has been said back (pitfall 32), and again
every 30 days.  Addresses hold secrets: they are written, and never shown again.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, SecretStr

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.escalation.channels import is_address
from api.escalation.messages import verification
from api.escalation.policies import Channel
from api.escalation.rota import VERIFIED_WITHIN
from api.fields import AccountPath, Body, IfMatch
from api.once import Done, WriteDep, check_version
from api.passwords import digest
from api.problems import RESPONSES, Denied
from api.services import Services, ServicesDep
from api.staff import refuse_beyond, visible
from vigil.errors import NotFound, Rejected, Unavailable
from vigil.store import staff
from vigil.store.staff import ContactRow

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/accounts/{account}/contacts", tags=["staff"], responses=RESPONSES)
CODE_FOR: Final = timedelta(minutes=10)
CODE_EVERY: Final = timedelta(seconds=30)
"""A person who asks again and again does not flood the route."""
CODE_TRIES: Final = 5
"""Of a million codes: one guess in 200,000 succeeds."""
MOST: Final = 9
Position = Annotated[int, Path(ge=0, le=MOST, description="0 is tried first")]


class ContactView(BaseModel):
    """A way to reach somebody.

    Attributes:
        via: What kind of address it is; the address itself holds a secret.
        verified_at: When it last proved to work.
        good_until: Until then it counts for duty; None: it does not.
        version: The ETag's number.
    """

    position: int
    channel: Channel
    via: str = Field(examples=["wecombot"])
    verified_at: datetime | None
    good_until: datetime | None
    version: int


class ContactList(BaseModel):
    """Somebody's contacts, in the order in which they are tried."""

    items: list[ContactView]


class ContactBody(Body):
    """A contact as it should be; `url` is an Apprise address."""

    channel: Channel = Field(examples=["message"])
    url: SecretStr = Field(min_length=4, max_length=1000, examples=["ntfy://ntfy.example.org/li-na"])


class CodeBody(Body):
    """The code that came through the contact."""

    code: str = Field(pattern=r"^[0-9]{6}$", examples=["402913"])


@router.get("")
async def list_contacts(services: ServicesDep, identity: SomebodyDep, account: AccountPath) -> ContactList:
    """List somebody's contacts."""
    async with services.scoped(identity) as connection:
        await _theirs(connection, identity, account)
        found = await staff.contacts(connection, account)
    return ContactList(items=[_view(one) for one in found])


@router.put("/{position}", response_model=ContactView)
async def put_contact(
    write: WriteDep,
    identity: SomebodyDep,
    account: AccountPath,
    position: Position,
    body: ContactBody,
    if_match: IfMatch = None,
) -> Response:
    """Add a contact, or replace the one at this place (with `If-Match`); it is to be verified anew."""
    url = body.url.get_secret_value()
    if body.channel not in (Channel.MESSAGE, Channel.VOICE) or not is_address(url):
        raise Rejected("invalid", "/body/url: no address that notices could be sent to")

    async def do(connection: Connection) -> Done:
        await _managed(connection, identity, account)
        before = await staff.contact(connection, account, position)
        if before is not None:
            check_version(if_match, before.version)
        await staff.put_contact(connection, account, position, body.channel, url)
        found = await _found(connection, account, position)
        return Done(_view(found), HTTPStatus.OK if before else HTTPStatus.CREATED, found.version)

    return await write(do)


@router.delete("/{position}", status_code=HTTPStatus.NO_CONTENT)
async def remove_contact(
    write: WriteDep, identity: SomebodyDep, account: AccountPath, position: Position, if_match: IfMatch = None
) -> Response:
    """Remove a contact."""

    async def do(connection: Connection) -> Done:
        await _managed(connection, identity, account)
        found = await _found(connection, account, position)
        check_version(if_match, found.version)
        await staff.remove_contact(connection, account, position)
        return Done(None)

    return await write(do)


@router.post("/{position}/code", status_code=HTTPStatus.NO_CONTENT)
async def send_code(
    services: ServicesDep, identity: SomebodyDep, account: AccountPath, position: Position
) -> None:
    """Send a code through a contact; the one before is void."""
    async with services.scoped(identity) as connection:
        await _theirs(connection, identity, account)
        found = await _found(connection, account, position)
        code = await new_code(connection, found, services.clock())
    await _send(services, found, code)


async def new_code(connection: Connection, found: ContactRow, now: datetime) -> str:
    """Make up a code for a contact, and keep its digest.

    Raises:
        Denied: 429; one was sent a moment ago.
    """
    if found.code_sent_at and timedelta() <= now - found.code_sent_at < CODE_EVERY:
        wait = CODE_EVERY.seconds
        detail = f"A code was sent less than {wait} s ago; wait for it."
        raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "code_sent", detail)
    code = f"{secrets.randbelow(10**6):06}"
    await staff.keep_code(connection, found, digest(code), now)
    return code


async def _send(services: Services, found: ContactRow, code: str) -> None:
    try:
        await services.sender.send(found.url, verification(code))
    except Unavailable as error:
        raise Rejected("unreachable", f"the code could not be sent: {error}") from None


@router.post("/{position}/verify", response_model=ContactView)
async def verify(
    services: ServicesDep, identity: SomebodyDep, account: AccountPath, position: Position, body: CodeBody
) -> ContactView:
    """Say the code back: the contact works, and counts for duty for 30 days."""
    async with services.scoped(identity) as connection:
        await _theirs(connection, identity, account)
        found = await _found(connection, account, position)
        good = await say_code(connection, found, body.code, services.clock())
        shown = _view(await _found(connection, account, position))
    if not good:
        minutes = CODE_FOR // timedelta(minutes=1)
        detail = f"not the code that was sent, or older than {minutes} minutes, or tried too often; ask for a new one"
        raise Rejected("wrong_code", detail)
    return shown


async def say_code(connection: Connection, found: ContactRow, code: str, now: datetime) -> bool:
    """Check a code; every attempt counts."""
    return await staff.try_code(connection, found, digest(code), CODE_TRIES, now - CODE_FOR, now)


async def _theirs(connection: Connection, identity: Identity, account: str) -> None:
    """Let pass who the contacts belong to, or who manages them."""
    if identity.actor != f"person:{account}":
        await _managed(connection, identity, account)


async def _managed(connection: Connection, identity: Identity, account: str) -> None:
    require(identity, May.MANAGE_ROTA)
    refuse_beyond(identity, (await visible(connection, identity, account, lock=True)).estates)


async def _found(connection: Connection, account: str, position: int) -> ContactRow:
    found = await staff.contact(connection, account, position)
    if found is None:
        raise NotFound("contact", f"{account}/{position}")
    return found


def _view(found: ContactRow) -> ContactView:
    good_until = found.verified_at + VERIFIED_WITHIN if found.verified_at else None
    return ContactView(
        position=found.position,
        channel=Channel(found.channel),
        via=urlsplit(found.url).scheme,
        verified_at=found.verified_at,
        good_until=good_until,
        version=found.version,
    )
