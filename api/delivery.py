"""Changes of alerts to the community's own programs: CloudEvents, signed, in order, again until taken.

Place in the flow: `api.webhooks` sets them up, `vigil.store.webhooks` keeps how far each has
come.  What is sent is the view without names.  A program may get a change twice (its answer was
lost), never none; the id is the same, and so it can tell.  One that refuses holds up nobody else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog
from prometheus_client import Counter

from api.access import View
from api.outbound import POST_S
from api.views import alert_view
from vigil.errors import Unavailable
from vigil.store import board, webhooks
from vigil.store.accounts import EVERY_ESTATE
from vigil.store.board import CardChange, Scope

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.clock import Clock
    from vigil.store.pool import Pool
    from vigil.store.webhooks import Webhook

BATCH: Final = 50
LEASE: Final = timedelta(seconds=BATCH * POST_S + 30)
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=10)
PAUSE_S: Final = 1.0
_SENT: Final = Counter("vigil_webhook_sent_total", "Changes that a program has taken.", ["webhook"])
_FAILED: Final = Counter("vigil_webhook_failed_total", "Attempts that a program refused.", ["webhook"])
_log = structlog.get_logger(__name__)

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]
"""Posts a body with headers to an address; returns the status, or raises Unavailable."""


def event_of(change: CardChange) -> dict[str, Any]:
    """Write a change as a CloudEvent; the alert is as it stands now, without names."""
    alert = change.card.alert
    return {
        "specversion": "1.0",
        "id": f"{alert.id}/{change.change}",
        "source": f"//vigil/{alert.estate}",
        "type": f"vigil.alert.{change.action}.v1",
        "subject": str(alert.id),
        "time": alert.changed_at.isoformat(),
        "datacontenttype": "application/json",
        "data": alert_view(change.card, View.ANONYMOUS).model_dump(mode="json"),
    }


def signed(event: dict[str, Any], body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """Return the headers that prove where it comes from, as Standard Webhooks has them."""
    stamp = str(int(now.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{event['id']}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/cloudevents+json",
        "webhook-id": event["id"],
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def pause_after(failures: int) -> timedelta:
    """Return how long a program is left alone after so many failures in a row."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(failures, 10)
    return min(doubled, LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One worker.

    Attributes:
        pool: Connections of its own.
        clock: Present time.
        post: The way out (`api.outbound`).
    """

    pool: Pool
    clock: Clock
    post: Post

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                while await self.deliver_one():
                    pass
            except Unavailable as error:
                _log.warning("webhooks wait", error=str(error))
            await asyncio.sleep(PAUSE_S)

    async def deliver_one(self) -> bool:
        """Send one webhook what it has not had; returns whether there was something to do."""
        async with self.pool.connection() as connection:
            found = await webhooks.claim(connection, self.clock(), LEASE)
            if found is None:
                return False
            changes = await board.cards_after(connection, found.position, BATCH)
        position = found.position
        for change in changes:
            error = await self._send(found, change)
            if error is not None:
                await self._note_failed(found, position, error)
                return True
            position = change.change
        async with self.pool.connection() as connection:
            await webhooks.note_taken(connection, found.id, position, self.clock())
        return True

    async def _send(self, to: Webhook, change: CardChange) -> str | None:
        """Send a change, if it is in the webhook's reach; returns what went wrong."""
        alert = change.card.alert
        scope = Scope(None if EVERY_ESTATE in to.estates else frozenset(to.estates))
        if not scope.covers(alert.estate, alert.synthetic):
            return None
        event = event_of(change)
        body = json.dumps(event, ensure_ascii=False).encode()
        try:
            status = await self.post(to.url, body, signed(event, body, to.secret, self.clock()))
        except Unavailable as error:
            return str(error)
        if not httpx.codes.is_success(status):
            return f"answered with {status}"
        _SENT.labels(to.id).inc()
        return None

    async def _note_failed(self, to: Webhook, position: int, error: str) -> None:
        _FAILED.labels(to.id).inc()
        failures = 0 if position > to.position else to.failures
        async with self.pool.transaction() as connection:
            now = self.clock()
            if position > to.position:
                await webhooks.note_taken(connection, to.id, position, now)
            await webhooks.note_failed(connection, to.id, error, now + pause_after(failures))
