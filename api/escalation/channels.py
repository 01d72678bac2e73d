"""Routes to people: whatever Apprise knows, and a mailbox that never leaves this machine.

Neighbour: `worker` sends over them.  "Sent" means that a route has taken the notice; that it
was delivered is said by a screen or by the provider (`api.receipts`), and that somebody has it by
that person alone (pitfall 31).
"""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import apprise
import structlog

from api.escalation.messages import Message
from vigil.errors import Unavailable

SEND_S: Final = 10.0
"""Longest wait for a route; the person's next contact is tried well within 30 s."""
MAILBOX: Final = "mailbox://"
"""Begins the address of a contact in the mailbox: `mailbox://{account}/{channel}`."""
_OF_THIS_MACHINE: Final = frozenset(
    {"dbus", "qt", "kde", "glib", "gnome", "macosx", "windows", "syslog", "file"}
)
_TAKE_FIELDS: Final = frozenset({"json", "jsons", "form", "forms"})
"""Addresses of gateways that take further fields: Apprise posts `:name=value` of the address."""
_log = structlog.get_logger(__name__)


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

    @staticmethod
    async def prepare() -> None:
        """Load what Apprise knows, which takes a second: no alert shall wait for it."""
        await asyncio.to_thread(_load)

    async def send(self, url: str, message: Message) -> None:
        """Send in a thread, since Apprise blocks; the address holds a secret and is never told."""
        try:
            taken = await asyncio.wait_for(asyncio.to_thread(_notify, url, message), SEND_S)
        except TimeoutError:
            raise Unavailable("a contact's route", f"no answer within {SEND_S:.0f} s") from None
        if not taken:
            raise Unavailable("a contact's route", "it refused the notice")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A file that takes notices for people who are only simulated: demonstrations and drills.

    Each notice is one block of text that says to whom it goes, and one line in the log.

    Attributes:
        path: The file; None: there is no mailbox, and whoever has a contact in it is not reached.
    """

    path: Path | None

    async def send(self, url: str, message: Message) -> None:
        """Append a notice."""
        if self.path is None:
            raise Unavailable("a contact's route", "this platform has no mailbox: VIGIL_API_MAILBOX")
        to = url.removeprefix(MAILBOX)
        try:
            await asyncio.to_thread(_append, self.path, f"To {to}\n{message.title}\n{message.body}\n\n")
        except OSError as error:
            raise Unavailable("a contact's route", error.strerror or "the mailbox is full") from None
        _log.info("a notice is in the mailbox", to=to, title=message.title)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@dataclass(frozen=True, slots=True)
class Routes:
    """Every route, by the beginning of the address."""

    mailbox: Sender
    others: Sender

    async def send(self, url: str, message: Message) -> None:
        """Send by the route that the address names."""
        route = self.mailbox if url.startswith(MAILBOX) else self.others
        await route.send(url, message)


@cache
def _load() -> None:
    """Load Apprise's modules; one of them imports what Python is about to drop, and copes without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise.instantiate("json://localhost")


def is_address(url: str) -> bool:
    """Whether notices could be sent to an address: one of the mailbox, or one that Apprise knows.

    What would speak on the platform's own machine (a desktop, its system log) reaches nobody.
    """
    if url.startswith(MAILBOX):
        return True
    _load()
    made = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    return made is not None and url.partition(":")[0].lower() not in _OF_THIS_MACHINE


def with_receipt(url: str, link: str) -> str:
    """Ask a gateway of our own for a receipt: it finds the link as `receipt` beside the message.

    What others have made keeps to its own protocol, and is told nothing.
    """
    if url.partition(":")[0].lower() not in _TAKE_FIELDS:
        return url
    return f"{url}{'&' if '?' in url else '?'}:receipt={quote(link, safe='')}"


def _notify(url: str, message: Message) -> bool:
    _load()
    routes = apprise.Apprise()
    if not routes.add(url):
        return False
    return bool(routes.notify(title=message.title, body=message.body, notify_type=apprise.NotifyType.FAILURE))
