"""The robot officer: sees the canary's alert on the duty console's own stream, and takes it.

Place in the flow: the last two stages of `canary`.  It listens to `GET /api/v1/stream` like
a console, acknowledges the alerts of our own canaries, and resolves them as drills, so that
they stay open for nobody.  It touches nothing else, whatever the stream shows it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx
import msgspec
import structlog

from fallback.canary import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

SILENT_S: Final = 30.0
"""Without a line on the stream, which carries a comment more often, the connection is dead."""
ANSWER_S: Final = 5.0
"""Longest wait for an answer to an action."""
AGAIN_S: Final = 1.0
"""Between two attempts to listen."""
UNTAKEN: Final = frozenset({"raised", "notifying", "delivered", "unanswered"})
_log = structlog.get_logger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where an alert is, of which the robot knows only the estate."""

    estate: str


class Alert(msgspec.Struct, frozen=True):
    """What the robot reads of an alert on the stream (`api.views`)."""

    id: UUID
    state: str
    version: int
    place: Place
    event_time: datetime
    synthetic: str | None


@dataclass(frozen=True, slots=True)
class Passed:
    """A canary has passed a stage at the API."""

    event: UUID
    stage: Stage
    at: datetime


class Officer:
    """Listens and answers.

    Args:
        client: With the API's address and the robot's token.
        now: The clock.
        ours: Returns this watchdog's canary of an estate that happened at a moment, or None.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
        ours: Callable[[str, datetime], UUID | None],
    ) -> None:
        self.facts: deque[Passed] = deque()
        self.trouble: str | None = "not connected yet"
        self._client = client
        self._now = now
        self._ours = ours
        self._taken: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen for ever, beginning anew whenever the stream breaks off."""
        try:
            while True:
                try:
                    await self.listen()
                    self.trouble = "the stream ended"
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    self.trouble = f"{type(error).__name__} {error}".strip()
                await asyncio.sleep(AGAIN_S)
        finally:
            for task in self._tasks:
                task.cancel()

    async def listen(self) -> None:
        """Follow the stream until it ends."""
        timeout = httpx.Timeout(ANSWER_S, read=SILENT_S)
        async with self._client.stream("GET", "/api/v1/stream", timeout=timeout) as response:
            response.raise_for_status()
            self.trouble = None
            async for data in messages(response.aiter_lines()):
                self._seen(data)

    def _seen(self, data: str) -> None:
        alert = alert_of(data)
        if alert is None or alert.synthetic != "canary" or alert.state not in UNTAKEN:
            return
        event = self._ours(alert.place.estate, alert.event_time)
        if event is None or alert.id in self._taken:
            return
        self._taken.add(alert.id)
        self.facts.append(Passed(event, Stage.ALERTED, self._now()))
        task = asyncio.create_task(self._take(alert, event), name=f"take {alert.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, alert: Alert, event: UUID) -> None:
        try:
            version = await self._act(alert.id, "acknowledge", {"version": alert.version})
            self.facts.append(Passed(event, Stage.ACKNOWLEDGED, self._now()))
            await self._act(alert.id, "resolve", {"version": version, "outcome": "drill"})
        except httpx.HTTPError as error:
            _log.warning("the robot officer got no answer", alert=str(alert.id), error=repr(error))
        finally:
            self._taken.discard(alert.id)

    async def _act(self, alert: UUID, action: str, body: Mapping[str, Any]) -> int:
        """Take one action, and return the alert's version after it."""
        answer = await self._client.post(f"/api/v1/alerts/{alert}/{action}", json=body, timeout=ANSWER_S)
        answer.raise_for_status()
        return int(answer.json()["version"])


async def messages(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the data of each server-sent event (HTML standard, 9.2.6); comments are skipped."""
    data: list[str] = []
    async for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []


def alert_of(data: str) -> Alert | None:
    """Return the alert that a message of the stream carries, or None where it is something else."""
    try:
        return msgspec.json.decode(data, type=Alert)
    except msgspec.DecodeError:
        return None
