"""Tells people, by routes that the platform does not own.

Place in the flow: `watchdog` writes notices into `store`'s outbox in the transaction that
changes the verdict; `deliver` sends what is due, and marks it only after the route has
taken it (pitfall 29): a crash between the two sends again, labelled as a repeat.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import apprise
import structlog

from fallback.store import stamp_of
from vigil.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from fallback.store import Store

SEND_S: Final = 20.0
"""Longest wait for a route."""
AGAIN: Final = timedelta(seconds=5)
AGAIN_AT_MOST: Final = timedelta(minutes=5)
REPEAT: Final = "（重复 repeat）"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people, in Chinese and English."""

    title: str
    body: str
    urgent: bool


class Notifier(Protocol):
    """A route to people."""

    def send(self, notice: Notice) -> None:
        """Send, and return when the route has taken it; may block.

        Raises:
            Unavailable: The route refuses or does not answer.
        """


class LogNotifier:
    """Writes to the log: the route where no other is set."""

    def send(self, notice: Notice) -> None:
        """Log the notice."""
        _log.warning("notice", title=notice.title, body=notice.body, urgent=notice.urgent)


class AppriseNotifier:
    """Sends over every route given by its Apprise URL (WeCom, DingTalk, SMS, e-mail, ...).

    Raises:
        Misconfigured: A URL is none that Apprise knows.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._routes = apprise.Apprise()
        for number, url in enumerate(urls, 1):
            # The URL holds the secret, so only its number is told.
            if not self._routes.add(url):
                raise Misconfigured("VIGIL_FALLBACK_NOTIFY", f"URL {number} is none that Apprise knows")

    def send(self, notice: Notice) -> None:
        """Send over every route; one that takes it is enough."""
        kind = apprise.NotifyType.FAILURE if notice.urgent else apprise.NotifyType.INFO
        taken = [
            route.notify(title=notice.title, body=notice.body, notify_type=kind) for route in self._routes
        ]
        if not any(taken):
            raise Unavailable("every route of VIGIL_FALLBACK_NOTIFY", "none took the notice")


async def deliver(store: Store, notifier: Notifier, now: Callable[[], datetime]) -> bool:
    """Send the oldest notice that is due; return whether there was one."""
    rows = store.read(
        "SELECT * FROM notice WHERE sent_at IS NULL AND next_at <= ? ORDER BY id LIMIT 1", stamp_of(now())
    )
    if not rows:
        return False
    row = rows[0]
    # Counted before sending: whatever happens then, the next attempt is labelled.
    wait = min(AGAIN * 2 ** min(row["tries"], 6), AGAIN_AT_MOST)
    with store.transaction() as connection:
        connection.execute(
            "UPDATE notice SET tries = tries + 1, next_at = ? WHERE id = ?",
            [stamp_of(now() + wait), row["id"]],
        )
    notice = Notice((REPEAT if row["tries"] else "") + row["title"], row["body"], bool(row["urgent"]))
    try:
        await asyncio.wait_for(asyncio.to_thread(notifier.send, notice), SEND_S)
    except (Unavailable, TimeoutError) as error:
        _log.warning("notice not sent", notice=row["id"], tries=row["tries"] + 1, error=str(error))
        return True
    with store.transaction() as connection:
        connection.execute("UPDATE notice SET sent_at = ? WHERE id = ?", [stamp_of(now()), row["id"]])
    return True
