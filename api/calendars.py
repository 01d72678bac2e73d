"""`/api/v1/calendars`: secret addresses that a telephone's calendar may subscribe to.

Neighbours: `api.ical` writes the calendar, `vigil.store.calendars` keeps the addresses.  A
calendar program cannot sign in, so the address itself is the secret: 256 bits, shown once, kept as
a hash, revocable, and void when its owner is shut out.  It shows whose duty it is and when.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import Body, Cursor, Identifier, Limit, NamePath
from api.once import Done, WriteDep
from api.paging import Page, page, position
from api.passwords import digest, new_secret
from api.problems import RESPONSES
from api.rota import duty_calendar
from api.services import ServicesDep
from api.staff import visible
from vigil.errors import NotFound
from vigil.store import calendars
from vigil.store.accounts import EVERY_ESTATE
from vigil.store.board import Scope
from vigil.store.calendars import Feed

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/calendars", tags=["rota"], responses=RESPONSES)
SecretPath = Annotated[
    str,
    Path(min_length=20, max_length=100, pattern=r"^[A-Za-z0-9_-]+$", examples=["9f3Jx7Qm2LbT0cVnR5wKhYpA"]),
]


class CalendarBody(Body):
    """Whose duty it shows."""

    account: Identifier | None = Field(
        None, description="None: everybody of one's estates", examples=["li.na"]
    )


class CalendarView(BaseModel):
    """An address that is good; what it is cannot be read again.

    Attributes:
        read_at: When a calendar last asked.
    """

    id: str = Field(examples=["5f0c9a1e"])
    account: str | None = Field(examples=["li.na"])
    made_at: datetime
    read_at: datetime | None


class NewCalendarView(CalendarView):
    """A new address, shown once: paste it where the telephone's calendar asks for a subscription."""

    url: str = Field(examples=["https://vigil.example/api/v1/calendars/9f3….ics"])


@router.post("", status_code=HTTPStatus.CREATED, response_model=NewCalendarView)
async def add_calendar(
    request: Request, write: WriteDep, identity: SomebodyDep, body: CalendarBody
) -> Response:
    """Make an address for one's calendar."""
    require(identity, May.SEE_STAFF)
    secret, owner = new_secret(), account_of(identity)
    feed = Feed(secrets.token_hex(4), owner, body.account, write.services.clock(), None)

    async def do(connection: Connection) -> Done:
        for account in filter(None, (owner, body.account)):
            await visible(connection, identity, account)
        await calendars.add(connection, feed, digest(secret))
        url = f"{str(request.base_url).rstrip('/')}/api/v1/calendars/{secret}.ics"
        shown = NewCalendarView(url=url, **_view(feed).model_dump())
        return Done(shown, HTTPStatus.CREATED, location=f"/api/v1/calendars/{feed.id}")

    return await write(do)


@router.get("")
async def list_calendars(
    services: ServicesDep, identity: SomebodyDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[CalendarView]:
    """List one's own addresses, without their secrets."""
    require(identity, May.SEE_STAFF)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await calendars.feeds(connection, account_of(identity), limit + 1, after)
    shown, following = page(found, limit, [one.id for one in found])
    return Page(items=[_view(one) for one in shown], next=following)


@router.delete("/{calendar}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_calendar(write: WriteDep, identity: SomebodyDep, calendar: NamePath) -> Response:
    """Make one of one's addresses void."""
    require(identity, May.SEE_STAFF)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        if not await calendars.revoke(connection, account_of(identity), calendar, now):
            raise NotFound("calendar", calendar)
        return Done(None)

    return await write(do)


@router.get("/{secret}.ics", response_class=Response, responses={200: {"content": {"text/calendar": {}}}})
async def read_calendar(services: ServicesDep, secret: SecretPath) -> Response:
    """Give the calendar to whoever has the address; a revoked one is not found."""
    now = services.clock()
    async with services.pool.transaction() as connection:
        found = await calendars.read(connection, digest(secret), now)
    if found is None:
        raise NotFound("calendar", "of this address")
    scope = Scope(None if EVERY_ESTATE in found.estates else frozenset(found.estates))
    async with services.pool.scoped(scope) as connection:
        text = await duty_calendar(connection, scope, found.whose, now)
    return Response(text, media_type="text/calendar; charset=utf-8")


def account_of(identity: Identity) -> str:
    """Return the account of a person, or the name of a robot, which has none."""
    return identity.actor.partition(":")[2]


def _view(feed: Feed) -> CalendarView:
    return CalendarView(id=feed.id, account=feed.whose, made_at=feed.made_at, read_at=feed.read_at)
