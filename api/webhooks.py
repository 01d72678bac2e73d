"""`/api/v1/webhooks`: the community's own programs are told of alerts.

Neighbours: `vigil.store.webhooks` keeps them, `api.delivery` sends (CloudEvents, signed as
Standard Webhooks has it, without names).
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import PLAIN, Body, Cursor, EstateIds, Identifier, IfMatch, Limit, NamePath
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.services import ServicesDep
from api.staff import refuse_beyond
from vigil.errors import NotFound, Rejected
from vigil.store import alerts, webhooks
from vigil.store.webhooks import Webhook

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"], responses=RESPONSES)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _checked(url: str) -> str:
    """Take HTTPS to a host; plain HTTP within the machine only, where nobody listens in."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if (
        not host
        or parts.username
        or not (parts.scheme == "https" or (parts.scheme, host in LOOPBACK) == ("http", True))
    ):
        raise ValueError("has to be like https://host/path, without a password in it")
    return url


Address = Annotated[str, Field(max_length=500, pattern=PLAIN), AfterValidator(_checked)]


class WebhookBody(Body):
    """Where to send what happens in which estates (`*` is every one)."""

    url: Address = Field(examples=["https://hooks.example.org/vigil"])
    estates: EstateIds = Field(min_length=1)


class NewWebhookBody(WebhookBody):
    """A new webhook; it gets what happens from now on."""

    id: Identifier = Field(examples=["street-board"])


class WebhookView(BaseModel):
    """A webhook and how it fares.

    Attributes:
        position: Number of the last change that was taken.
        failures: Refusals in a row; it is tried again after 5 s, doubling to 10 min.
        version: The ETag's number.
    """

    id: str
    url: str
    estates: list[str]
    position: int
    failures: int
    error: str | None
    made_by: str
    made_at: datetime
    version: int


class NewWebhookView(WebhookView):
    """A webhook with the secret that signs, which is shown this once."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


@router.get("")
async def list_webhooks(
    services: ServicesDep, identity: SomebodyDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[WebhookView]:
    """List webhooks that reach no further than the caller."""
    require(identity, May.MANAGE_STAFF)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await webhooks.webhooks(connection, identity.scope, limit + 1, after)
    shown, following = page(found, limit, [one.id for one in found])
    return Page(items=[_view(one) for one in shown], next=following)


@router.get("/{webhook}")
async def get_webhook(
    services: ServicesDep, identity: SomebodyDep, webhook: NamePath, response: Response
) -> WebhookView:
    """Return one webhook and how it fares."""
    require(identity, May.MANAGE_STAFF)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, webhook)
    response.headers["ETag"] = etag(found.version)
    return _view(found)


@router.post("", status_code=HTTPStatus.CREATED, response_model=NewWebhookView)
async def add_webhook(write: WriteDep, identity: SomebodyDep, body: NewWebhookBody) -> Response:
    """Add a webhook; the answer holds its secret, once."""
    require(identity, May.MANAGE_STAFF)
    refuse_beyond(identity, body.estates)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        last = await alerts.last_change(connection)
        new = Webhook(body.id, body.url, secret, body.estates, last, 0, None, identity.actor, now, 1)
        if not await webhooks.add(connection, new, now):
            raise Rejected("not_allowed", f"there is a webhook {body.id} already")
        shown = NewWebhookView(**dict(_view(new)), secret=secret)
        return Done(shown, HTTPStatus.CREATED, 1, f"/api/v1/webhooks/{body.id}")

    return await write(do)


@router.put("/{webhook}", response_model=WebhookView)
async def change_webhook(
    write: WriteDep, identity: SomebodyDep, webhook: NamePath, body: WebhookBody, if_match: IfMatch = None
) -> Response:
    """Change where a webhook leads; it goes on where it was."""
    require(identity, May.MANAGE_STAFF)
    refuse_beyond(identity, body.estates)

    async def do(connection: Connection) -> Done:
        before = await _found(connection, identity, webhook)
        check_version(if_match, before.version)
        await webhooks.change(connection, webhook, body.url, body.estates, write.services.clock())
        after = await _found(connection, identity, webhook)
        return Done(_view(after), version=after.version)

    return await write(do)


@router.delete("/{webhook}", status_code=HTTPStatus.NO_CONTENT)
async def remove_webhook(
    write: WriteDep, identity: SomebodyDep, webhook: NamePath, if_match: IfMatch = None
) -> Response:
    """Remove a webhook."""
    require(identity, May.MANAGE_STAFF)

    async def do(connection: Connection) -> Done:
        found = await _found(connection, identity, webhook)
        check_version(if_match, found.version)
        await webhooks.remove(connection, webhook)
        return Done(None)

    return await write(do)


async def _found(connection: Connection, identity: Identity, webhook: str) -> Webhook:
    found = await webhooks.webhook(connection, webhook, identity.scope)
    if found is None:
        raise NotFound("webhook", webhook)
    return found


def _view(found: Webhook) -> WebhookView:
    return WebhookView.model_validate({name: getattr(found, name) for name in WebhookView.model_fields})
