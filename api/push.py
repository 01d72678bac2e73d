"""`/api/v1/push`: a person's own browsers, which take notices while no page is open.

Neighbours: `static/push.js` subscribes, `vigil.store.push` keeps, the escalator sends.  A browser may name
the push services of today's browsers, and those that are set up as our own; nothing else is ever sent to.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from api.auth import SomebodyDep
from api.console.catalogue import choose, translator
from api.escalation import webpush
from api.fields import Body
from api.problems import RESPONSES, Denied
from api.services import Services, ServicesDep
from vigil.errors import Rejected, Unavailable
from vigil.store import push
from vigil.store.push import Subscription

if TYPE_CHECKING:
    from api.access import Identity
    from api.escalation.push import Pusher

router = APIRouter(prefix="/api/v1/push", tags=["account"], responses=RESPONSES)
MOST: Final = 10
"""Browsers of one person."""
POINT: Final = 65
SECRET: Final = 16
Endpoint = Annotated[
    str, StringConstraints(min_length=10, max_length=2000, pattern=r"^https?://[\x21-\x7e]+$")
]
Key = Annotated[str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9_=-]+$")]


class PushView(BaseModel):
    """Whether browsers can subscribe: `key` is ours, None where Web Push is not set up."""

    key: str | None


class Keys(Body):
    """A browser's keys (base64url)."""

    p256dh: Key
    auth: Key


class SubscriptionBody(Body):
    """A subscription as the browser's `toJSON` has it."""

    endpoint: Endpoint = Field(examples=["https://fcm.googleapis.com/fcm/send/abc"])
    keys: Keys
    expirationTime: float | None = None  # noqa: N815 - the browser's name


class EndpointBody(Body):
    """Which browser."""

    endpoint: Endpoint


@router.get("")
async def get_push(services: ServicesDep) -> PushView:
    """Return the key that a browser subscribes to."""
    return PushView(key=services.pusher.sender.public if services.pusher else None)


@router.post("/subscriptions", status_code=HTTPStatus.NO_CONTENT)
async def subscribe(
    request: Request, services: ServicesDep, identity: SomebodyDep, body: SubscriptionBody
) -> None:
    """Tell this browser from now on what its owner is told; saying it again changes nothing."""
    account, pusher = _own(identity), _pusher(services)
    if not pusher.may_send(body.endpoint):
        raise Rejected("invalid", "/body/endpoint: no push service that messages are sent to")
    language = choose(request.cookies.get("language"), request.headers.get("Accept-Language", ""))
    new = Subscription(account, body.endpoint, *_keys(body.keys), language)
    async with services.scoped(identity) as connection:
        known = await push.of_account(connection, account)
        if len({one.id for one in known} | {new.id}) > MOST:
            raise Rejected("too_many", f"at most {MOST} browsers a person; sign out on another one")
        await push.put(connection, new, services.clock())
    if new.id not in {one.id for one in known}:
        t = translator(language)
        welcome = {"title": t("push.title"), "body": t("push.welcome")}
        await _greet(services, pusher, new, welcome)


@router.post("/subscriptions/end", status_code=HTTPStatus.NO_CONTENT)
async def unsubscribe(services: ServicesDep, identity: SomebodyDep, body: EndpointBody) -> None:
    """Tell this browser nothing more."""
    account = _own(identity)
    async with services.scoped(identity) as connection:
        await push.remove_of(connection, account, body.endpoint)


async def _greet(services: Services, pusher: Pusher, new: Subscription, welcome: dict[str, str]) -> None:
    """Send a first message: a browser that none reaches is no way to anybody, and is not kept.

    Raises:
        Rejected: `unreachable`.
    """
    try:
        taken = await pusher.send(new, welcome, "welcome", services.clock())
    except Unavailable:
        taken = False
    if not taken:
        async with services.pool.connection() as connection:
            await push.remove(connection, new.endpoint)
        raise Rejected("unreachable", "this browser's push service takes no messages from here")


def _own(identity: Identity) -> str:
    """Return whose browsers they are; `api.permissions` lets nobody in but people with a session."""
    return identity.actor.partition(":")[2]


def _pusher(services: Services) -> Pusher:
    if services.pusher is None:
        detail = "Web Push is not set up here: VIGIL_API_PUSH_KEY names the file of its key."
        raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, "no_push", detail)
    return services.pusher


def _keys(keys: Keys) -> tuple[bytes, bytes]:
    point, secret = webpush.decoded(keys.p256dh), webpush.decoded(keys.auth)
    if len(point) != POINT or len(secret) != SECRET:
        raise Rejected("invalid", "/body/keys: not a browser's keys")
    webpush.check_point(point)
    return point, secret
