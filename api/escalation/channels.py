"""Routes to people: the platform's own console, and whatever Apprise knows.

Neighbour: `worker` sends over them.  "Sent" means that a route has taken the notice; that it
was delivered is said by a screen, and that somebody has it by that person alone (pitfall 31).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import apprise

from api.escalation.messages import Message
from vigil.errors import Unavailable

SEND_S: Final = 10.0
"""Longest wait for a route; the person's next contact is tried well within 30 s."""


class Sender(Protocol):
    """Sends a message to an address."""

    async def send(self, url: str, message: Message) -> None:
        """Send, and return when the route has taken it.

        Raises:
            Unavailable: It refuses, hangs, or the address is none.
        """


class AppriseSender:
    """Sends by an Apprise address: WeCom, DingTalk, Feishu, SMS, e-mail, ntfy, webhooks and more.

    A voice gateway is an Apprise address too (`json://` or `jsons://` for a webhook of ours).
    """

    async def send(self, url: str, message: Message) -> None:
        """Send in a thread, since Apprise blocks; the address holds a secret and is never told."""
        try:
            taken = await asyncio.wait_for(asyncio.to_thread(_notify, url, message), SEND_S)
        except TimeoutError:
            raise Unavailable("a contact's route", f"no answer within {SEND_S:.0f} s") from None
        if not taken:
            raise Unavailable("a contact's route", "it refused the notice")


def _notify(url: str, message: Message) -> bool:
    routes = apprise.Apprise()
    if not routes.add(url):
        return False
    return bool(routes.notify(title=message.title, body=message.body, notify_type=apprise.NotifyType.FAILURE))
