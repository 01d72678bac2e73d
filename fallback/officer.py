"""The robot officer: sees the canary's alert on the duty console's own stream, and takes it.

Place in the flow: the last two stages of `canary`.  It listens to `GET /api/v1/stream` like
a console, acknowledges the alerts of our own canaries, and resolves them as drills, so that
they stay open for nobody.  It touches nothing else, whatever the stream shows it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx
import msgspec
import structlog

from fallback.canary import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

SILENT_S: Final = 15.0
"""Three missed heartbeats of the stream: the connection is dead."""
ANSWER_S: Final = 5.0
"""Longest wait for an answer to an action."""
AGAIN_S: Final = 1.0
"""Between two attempts to listen."""
UNTAKEN: Final = frozenset({"raised", "notifying", "delivered", "unanswered"})
_log = structlog.get_logger(__name__)


class Alert(msgspec.Struct, frozen=True):
    """What the robot reads of an alert (`api.views.AlertView`)."""

    id: UUID
    state: str
    version: int
    synthetic: str | None


class Board(msgspec.Struct, frozen=True):
    """The open alerts, and the change after which the stream goes on."""

    alerts: list[Alert]
    change: int


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
        ours: Returns the event of this watchdog's canary that raises an alert, or None.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
        ours: Callable[[UUID], UUID | None],
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
                except (httpx.HTTPError, msgspec.DecodeError) as error:
                    self.trouble = f"{type(error).__name__} {error}".strip()
                await asyncio.sleep(AGAIN_S)
        finally:
            for task in self._tasks:
                task.cancel()

    async def listen(self) -> None:
        """Take what is open already, then follow the stream from there until it ends."""
        answer = await self._client.get("/api/v1/alerts", timeout=ANSWER_S)
        answer.raise_for_status()
        board = msgspec.json.decode(answer.content, type=Board)
        for alert in board.alerts:
            self._seen(alert)
        timeout = httpx.Timeout(ANSWER_S, read=SILENT_S)
        where = {"after": board.change}
        async with self._client.stream("GET", "/api/v1/stream", params=where, timeout=timeout) as response:
            response.raise_for_status()
            self.trouble = None
            async for data in messages(response.aiter_lines()):
                alert_ = alert_of(data)
                if alert_ is not None:
                    self._seen(alert_)

    def _seen(self, alert: Alert) -> None:
        if alert.synthetic != "canary" or alert.state not in UNTAKEN or alert.id in self._taken:
            return
        event = self._ours(alert.id)
        if event is None:
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
