"""The MQTT connection of a node: session, will, and a small window of unacknowledged messages.

Place in the flow: `edge.publisher` sends through it and is told, in the event loop, of
connections, messages and acknowledgements.  paho's thread only hands over: no callback of
it touches anything of ours.

Each connection has a session id of its own.  The retained will of an older connection can
come after the newer one's birth; the platform ignores it by that id (pitfall 11).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import paho.mqtt.client as paho
import structlog
from prometheus_client import Counter, Gauge

from vigil import mqtt, topics
from vigil.events import NodeState, encode
from vigil.topics import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from vigil.settings import MqttSettings
    from vigil.topics import Address

WINDOW: Final = 20
"""Messages that the broker has not acknowledged yet."""
LONGEST_WAIT_S: Final = 30.0
"""Between two attempts to connect, with its jitter."""
UNDELIVERED: Final = 0x80
"""MQTT 5: a reason code from here on says that the broker did not take the message (pitfall 3)."""

_log = structlog.get_logger(__name__)
connected_gauge = Gauge("vigil_edge_connected", "1 while the broker is connected.")
refused_total = Counter(
    "vigil_edge_broker_refused_total", "Messages that the broker did not take.", ["reason"]
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the platform; to be acknowledged by `Link.acknowledge` when dealt with."""

    topic: str
    payload: bytes
    mid: int
    qos: int


class Listener(Protocol):
    """Who is told, in the event loop, what happens on the connection."""

    def connected(self, session: str, *, kept: bool) -> None:
        """A connection stands; `session` is its id, `kept` says whether the broker knew us."""

    def acknowledged(self) -> None:
        """The window has a free place."""

    def received(self, message: Incoming) -> None:
        """A message from the platform."""


def waits_s(rng: Random) -> tuple[float, float]:
    """Return this box's first and longest wait between attempts to connect, in seconds.

    paho doubles the first one up to the longest and knows no jitter.  A broker that comes back
    would find a thousand boxes, and their TLS handshakes, at its door in the same instant.
    """
    return 1.0 + rng.random(), LONGEST_WAIT_S * (1.0 - rng.random() / 2)


class Link:
    """A node's connection.

    Attributes:
        up: The broker is connected.
        refused: The broker's word for turning us away, since it last took us; None while it has not.
    """

    def __init__(
        self, settings: MqttSettings, address: Address, new_session: Callable[[], str], rng: Random
    ) -> None:
        self._settings, self._address, self._new_session = settings, address, new_session
        self._session = ""
        self._in_flight: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self.up = False
        self.refused: str | None = None
        self._client = mqtt.client(settings, address.node, window=WINDOW)
        self._client.reconnect_delay_set(*waits_s(rng))  # type: ignore[arg-type]  # paho says int, and only adds and doubles
        self._client.on_pre_connect = mqtt.guarded(self._before_connecting)
        self._client.on_connect = mqtt.guarded(self._on_connect)
        self._client.on_disconnect = mqtt.guarded(self._on_disconnect)
        self._client.on_publish = mqtt.guarded(self._on_publish)
        self._client.on_message = mqtt.guarded(self._on_message)

    def start(self, listener: Listener) -> None:
        """Connect, and go on trying for ever."""
        self._listener = listener
        self._set_will()
        mqtt.connect(self._client, self._settings, window=WINDOW)
        self._client.loop_start()

    def free(self) -> int:
        """Return how many places of the window are free."""
        return WINDOW - len(self._in_flight)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the connection at QoS 1.

        Returns:
            False where it was not taken, because the connection is down or its queue full.
        """
        if not self.up:
            return False
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc == paho.MQTT_ERR_QUEUE_SIZE:
            return False
        # With MQTT_ERR_NO_CONN paho has taken it, and sends it at its next connection.
        self._in_flight.add(info.mid)
        return True

    def acknowledge(self, message: Incoming) -> None:
        """Tell the broker that a message has been dealt with."""
        self._client.ack(message.mid, message.qos)

    async def stop(self, patience_s: float) -> None:
        """Say goodbye, wait for the broker to have it, and end the thread."""
        if self.up:
            self.publish(self._address.topic(Kind.STATE), self._state(online=False), retain=True)
            await self._drained(patience_s)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def _drained(self, patience_s: float) -> None:
        waited = 0.0
        while self._in_flight and self.up and waited < patience_s:
            await asyncio.sleep(0.02)
            waited += 0.02

    def _state(self, *, online: bool) -> bytes:
        return encode(NodeState(online=online, session=self._session))

    def _set_will(self) -> None:
        self._session = self._new_session()
        self._client.will_set(self._address.topic(Kind.STATE), self._state(online=False), qos=1, retain=True)

    def _before_connecting(self, *_: Any) -> None:
        self._set_will()

    def _on_connect(
        self, client: paho.Client, _userdata: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._loop.call_soon_threadsafe(self._now_refused, str(reason))
            return
        client.subscribe([(topic, 1) for topic in self._subscriptions()])
        self._loop.call_soon_threadsafe(self._now_up, self._session, flags.session_present)

    def _subscriptions(self) -> list[str]:
        at = self._address
        return [
            at.topic(Kind.RECEIPT),
            at.topic(Kind.CONFIG),
            at.topic(Kind.CMD, "+"),
            topics.platform_state(at.community),
        ]

    def _on_disconnect(
        self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._loop.call_soon_threadsafe(self._now_down, str(reason))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._loop.call_soon_threadsafe(self._now_acknowledged, mid, reason.value, str(reason))

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        incoming = Incoming(message.topic, bytes(message.payload), message.mid, message.qos)
        self._loop.call_soon_threadsafe(self._listener.received, incoming)

    def _now_up(self, session: str, kept: bool) -> None:
        self.up, self.refused = True, None
        connected_gauge.set(1)
        _log.info("connected to the broker", session=session)
        self.publish(self._address.topic(Kind.STATE), self._state(online=True), retain=True)
        self._listener.connected(session, kept=kept)

    def _now_refused(self, reason: str) -> None:
        self.refused = reason
        _log.warning("the broker refuses the connection", reason=reason)

    def _now_down(self, reason: str) -> None:
        self.up = False
        connected_gauge.set(0)
        _log.warning("disconnected from the broker", reason=reason)

    def _now_acknowledged(self, mid: int, code: int, reason: str) -> None:
        self._in_flight.discard(mid)
        if code >= UNDELIVERED:
            refused_total.labels(reason).inc()
        self._listener.acknowledged()
