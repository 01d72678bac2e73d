"""Messages received over MQTT and not yet acknowledged: the way from paho's thread to asyncio.

Place in the flow: `ingest.bridge` takes batches and acknowledges them when Kafka has them.
Memory is bounded by the broker's window of unacknowledged messages: when Kafka is away
nothing is acknowledged, so nothing more comes, and the broker holds the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import structlog
from paho.mqtt.enums import MQTTErrorCode

from vigil import mqtt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import paho.mqtt.client as paho

    from vigil.settings import MqttSettings

SHARED_SESSION_S = 30
"""A member that is gone longer than this no longer takes its share (MQTT 5): mosquitto goes on giving
it messages for as long as its session lasts, which nobody else then gets."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that waits for its acknowledgement.

    Attributes:
        session: Number of the connection it came by; an acknowledgement on a later one
            would be taken for another message's.
    """

    session: int
    mid: int
    qos: int
    topic: str
    payload: bytes


class Inbox:
    """One MQTT connection with its subscriptions.

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
        self._arrived = asyncio.Event()
        self._session = 0
        self.client = self._build()

    def _build(self) -> paho.Client:
        client = mqtt.client(self._settings, self.client_id, window=self._window)
        client.on_connect = mqtt.guarded(self._connected)
        client.on_disconnect = mqtt.guarded(self._disconnected)
        client.on_message = mqtt.guarded(self._received)
        return client

    async def __aenter__(self) -> Self:
        """Start connecting; it goes on trying for ever."""
        self._loop = asyncio.get_running_loop()
        mqtt.connect(self.client, self._settings, window=self._window, session_s=self._session_s())
        self.client.loop_start()
        return self

    def _session_s(self) -> int:
        shared = any(topic.startswith("$share/") for topic in self._subscriptions)
        return SHARED_SESSION_S if shared else mqtt.SESSION_S

    async def __aexit__(self, *_exception: object) -> None:
        """Disconnect; the broker keeps the session and what was not acknowledged."""
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)

    def trouble(self) -> str | None:
        """Return what keeps this connection from working, for `/readyz`."""
        return None if self.client.is_connected() else f"MQTT connection {self.client_id} is down"

    def _connected(
        self, client: paho.Client, _data: object, _flags: object, reason: Any, *_rest: object
    ) -> None:
        if reason.is_failure:
            _log.error("broker refuses us", client=self.client_id, reason=str(reason))
            return
        self._session += 1
        self._waiting.clear()  # the broker sends again what was not acknowledged
        client.subscribe([(topic, 1) for topic in self._subscriptions])
        _log.info("connected to broker", client=self.client_id, session=self._session)

    def _disconnected(
        self, _client: object, _data: object, _flags: object, reason: Any, *_rest: object
    ) -> None:
        _log.warning("broker connection ended", client=self.client_id, reason=str(reason))

    def _received(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._waiting.append(
            Message(self._session, message.mid, message.qos, message.topic, bytes(message.payload)),
        )
        # Only an empty deque has a reader that sleeps.  Looked at after appending: looked at
        # before, the reader could empty it and fall asleep between the two.
        if len(self._waiting) == 1:
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self, most: int) -> list[Message]:
        """Wait for messages and return up to `most` of them, the oldest first."""
        while not self._waiting:
            self._arrived.clear()
            if not self._waiting:
                await self._arrived.wait()
        taken: list[Message] = []
        while self._waiting and len(taken) < most:
            taken.append(self._waiting.popleft())
        return taken

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that somebody responsible has these messages."""
        for message in messages:
            if message.session == self._session and message.qos:
                error = self.client.ack(message.mid, message.qos)
                if error is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return  # the connection is gone; the next one brings them again
