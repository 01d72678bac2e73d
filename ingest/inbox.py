"""Messages received over MQTT and not yet acknowledged: a session that outlives its connections.

Place in the flow: `ingest.link` delivers, `ingest.bridge` takes batches and acknowledges them
when Kafka has them.  Memory is bounded by the broker's window of unacknowledged messages: when
Kafka is away nothing is acknowledged, so nothing more comes, and the broker holds the rest.  A
broker that sends more than that, or larger messages, is no longer read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from ingest import wire
from ingest.link import hello, opened, stay_connected
from vigil import mqtt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingest.link import Link
    from ingest.wire import Message
    from vigil.settings import MqttSettings

SHARED_SESSION_S: Final = 30
"""A member that is gone longer than this no longer takes its share (MQTT 5): mosquitto goes on giving
it messages for as long as its session lasts, which nobody else then gets."""
FEW_OF: Final = 8
"""A few are less than this part of the window: so many do not wait for each other."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Payloads that wait to be taken; a window of 1,000 of the largest real events takes 8 MB."""


class Inbox:
    """One session at the broker with its subscriptions.

    Used as an async context manager; `take` waits for messages, `acknowledge` lets go of them.
    """

    def __init__(
        self, settings: MqttSettings, client_id: str, subscriptions: Sequence[str], window: int
    ) -> None:
        self.client_id = client_id
        self._settings = settings
        self._subscriptions = subscriptions
        self._window = window
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._few = max(1, window // FEW_OF)
        self._enough = asyncio.Event()
        self._session = 0
        self._link: Link | None = None
        self._subscribed = False
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Start connecting; it goes on trying for ever."""
        self._task = asyncio.create_task(self._stay_connected(), name=f"mqtt {self.client_id}")
        self._task.add_done_callback(self._failed)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Disconnect; the broker keeps the session and what was not acknowledged.

        A member gives its share to the others: for as long as it stayed subscribed the broker would
        go on giving it messages that nobody else then gets, alarms too.
        """
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _failed(self, task: asyncio.Task[None]) -> None:
        """Let the reader of messages end with what ended the connecting."""
        self._failure = None if task.cancelled() else task.exception()
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """How many messages have come and were not taken yet."""
        return len(self._waiting)

    def trouble(self) -> str | None:
        """Return what keeps this connection from working, for `/readyz`."""
        return None if self._subscribed else f"MQTT connection {self.client_id} is down"

    async def _stay_connected(self) -> None:
        await stay_connected(self.client_id, self._connect, self._part)

    async def _part(self, link: Link) -> None:
        self._subscribed = False
        await link.leave(self._unsubscribing())

    async def _connect(self) -> Link:
        """Connect and subscribe; a session's old messages may come before that is done."""
        protocol = self._settings.mqtt_protocol
        self._session += 1
        self._link = link = await opened(self._settings, wire.Reader(protocol, self._session), self._received)
        self._forget()
        try:
            await link.greet(self._hello(), mqtt.KEEPALIVE_S)
            await link.subscribe(wire.subscribe(protocol, 1, self._subscriptions), self._subscriptions)
        except BaseException:
            link.abort("not subscribed")
            raise
        self._subscribed = True
        return link

    def _forget(self) -> None:
        self._waiting.clear()  # the broker sends again what was not acknowledged
        self._bytes = 0

    def _unsubscribing(self) -> bytes:
        shared = [topic for topic in self._subscriptions if _is_shared(topic)]
        return wire.unsubscribe(self._settings.mqtt_protocol, 2, shared) if shared else b""

    def _hello(self) -> bytes:
        shared = any(map(_is_shared, self._subscriptions))
        session_s = SHARED_SESSION_S if shared else mqtt.SESSION_S
        return hello(self._settings, self.client_id, session_s=session_s, window=self._window)

    def _received(self, messages: list[Message]) -> None:
        self._waiting.extend(messages)
        self._bytes += sum(len(message.payload) for message in messages)
        self._arrived.set()
        if len(self._waiting) >= self._few:
            self._enough.set()
        if self._link is not None and self._is_full():
            self._link.pause()

    def _is_full(self) -> bool:
        return len(self._waiting) > self._window or self._bytes > MOST_BYTES

    async def take(self, most: int, gather_s: float = 0.0) -> list[Message]:
        """Wait for messages and return up to `most` of them, the oldest first.

        Args:
            most: How many are taken at once.
            gather_s: How long to wait for more where they are few.

        Raises:
            Exception: What ended the connecting for good; a restart is the remedy.
        """
        await self._some()
        if gather_s and len(self._waiting) < self._few:
            await self._gathered(gather_s)
            await self._some()  # a connection made anew has cleared them away
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(len(message.payload) for message in taken)
        if self._link is not None and not self._is_full():
            self._link.resume()
        return taken

    async def _some(self) -> None:
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()

    async def _gathered(self, limit_s: float) -> None:
        """Return when more than a few wait, or the time is up."""
        self._enough.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), limit_s)

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that somebody responsible has these messages."""
        mids = [message.mid for message in messages if message.session == self._session and message.mid]
        if mids and self._link is not None:
            self._link.write(wire.pubacks(mids))


def _is_shared(topic: str) -> bool:
    return topic.startswith("$share/")
