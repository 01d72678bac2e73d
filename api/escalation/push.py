"""The way out to browsers: posts what `webpush` makes to the push service that a browser has named.

Neighbour: `worker` sends by it.  What a push service says is gone (404, 410) is told apart from one that
does not answer: the first is forgotten, the second is tried again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from api.escalation import webpush
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from api.escalation.webpush import Sender
    from vigil.store.push import Subscription

POST_S: Final = 10.0
KEPT_FOR: Final = timedelta(hours=1)
"""By a push service, for a browser that is away: as long as a link in a notice is good."""
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class Pusher:
    """Sends to browsers.

    Attributes:
        sender: Who we are.
        own: Origins of push services besides those of the browsers' makers.
    """

    sender: Sender
    own: frozenset[str] = frozenset()

    def may_send(self, endpoint: str) -> bool:
        """Whether an endpoint is one that messages are sent to."""
        return webpush.may_send(endpoint, self.own)

    async def send(self, to: Subscription, told: dict[str, Any], topic: str, now: datetime) -> bool:
        """Send a message; returns False where the browser is subscribed no more.

        Redirects are not followed, since they could lead anywhere; nor is the answer's body read.

        Args:
            to: The browser.
            told: What `static/worker.js` shows.
            topic: A later message of the same topic replaces one that was not fetched yet.
            now: Present time.

        Raises:
            Unavailable: The push service refuses, or does not answer.
        """
        if not self.may_send(to.endpoint):
            return False
        body = webpush.sealed(msgspec.json.encode(told), to.p256dh, to.auth, os.urandom(16))
        headers = webpush.headers(self.sender, to.endpoint, now, topic=topic, lasts=KEPT_FOR)
        status = await _post(to.endpoint, body, headers)
        if status in _GONE:
            return False
        if not httpx.codes.is_success(status):
            raise Unavailable("a push service", f"answered with {status}")
        return True


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    try:
        async with (
            httpx.AsyncClient(timeout=POST_S, trust_env=False) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable("a push service", type(error).__name__) from None
