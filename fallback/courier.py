"""Carries canaries to the MQTT broker as an edge node would, and takes the receipts.

Place in the flow: `watchdog` calls `send` with what `lane` says is due; stamps come back
through `watchdog`'s callbacks: a PUBACK is `published`, a receipt is `stored`.  paho runs
one thread for each node; it only puts facts into a queue, and the loop takes them out.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from paho.mqtt.enums import MQTTErrorCode

from vigil import events, mqtt
from vigil.events import Birth, LaneEnd, NodeState, Receipt
from vigil.topics import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import paho.mqtt.client as paho

    from vigil.settings import MqttSettings
    from vigil.topics import Address

WINDOW: Final = 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker has confirmed the publication of this event."""

    event: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """The platform has sent this node a receipt."""

    node: str
    receipt: Receipt
    at: datetime


Fact = Acked | Stored


class Courier:
    """One canary node's connection.

    Args:
        settings: Of the broker; where it wants user names, the node's is its id.
        address: The canary node.
        now: The clock.
        session: Names this start of the node in its retained state.
    """

    def __init__(
        self, settings: MqttSettings, address: Address, now: Callable[[], datetime], session: str
    ) -> None:
        self.address = address
        self.connected = False
        self.facts: deque[Fact] = deque()
        self._now = now
        self._session = session
        self._settings = _as_node(settings, address.node)
        self._waiting: dict[int, str] = {}
        self._ends: Callable[[], list[LaneEnd]] = list
        self._client = self._build()

    def _build(self) -> paho.Client:
        client = mqtt.client(self._settings, f"vigil-{self.address.node}", window=WINDOW, clean=True)
        will = NodeState(online=False, session=self._session)
        client.will_set(self.address.topic(Kind.STATE), events.encode(will), 1, retain=True)
        client.on_connect = mqtt.guarded(self._on_connect)
        client.on_disconnect = mqtt.guarded(self._on_disconnect)
        client.on_publish = mqtt.guarded(self._on_publish)
        client.on_message = mqtt.guarded(self._on_message)
        return client

    @contextmanager
    def running(self, ends: Callable[[], list[LaneEnd]]) -> Iterator[None]:
        """Keep the connection while the context lasts.

        Args:
            ends: Returns what the node's lanes have given out, for its birth.
        """
        self._ends = ends
        mqtt.connect(self._client, self._settings, window=WINDOW, clean=True)
        self._client.loop_start()
        try:
            yield
        finally:
            # A clean disconnection suppresses the will, so the farewell is said here.
            self._say(Kind.STATE, NodeState(online=False, session=self._session))
            self._client.disconnect()
            self._client.loop_stop()

    def send(self, event: str, device: str, payload: bytes) -> bool:
        """Hand a canary to the broker; False where there is no connection to do it."""
        if not self.connected:
            return False
        info = self._client.publish(self.address.topic(Kind.ALARM, device), payload, 1)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._waiting[info.mid] = event
        if info.is_published():  # the PUBACK was faster than the line above
            self._acked(info.mid)
        return True

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _log.warning("the broker refuses the canary", node=self.address.node, reason=str(code))
            return
        client.subscribe(self.address.topic(Kind.RECEIPT), 1)
        self._say(Kind.STATE, NodeState(online=True, session=self._session))
        self._say(Kind.BIRTH, self._birth(), device_of(self.address))
        self.connected = True

    def _say(self, kind: Kind, message: NodeState | Birth, device: str | None = None) -> None:
        self._client.publish(self.address.topic(kind, device), events.encode(message), 1, retain=True)

    def _birth(self) -> Birth:
        return Birth(
            session=self._session,
            model="canary",
            firmware="vigil",
            capabilities=["fall_suspected"],
            lanes=self._ends(),
        )

    def _on_disconnect(self, *_args: Any) -> None:
        self.connected = False

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, code: Any, _properties: Any) -> None:
        if code.is_failure:  # MQTT 5 alone tells (pitfall 3); the row is sent again
            _log.warning("the broker drops the canary", node=self.address.node, reason=str(code))
            return
        self._acked(mid)

    def _acked(self, mid: int) -> None:
        event = self._waiting.pop(mid, None)
        if event is not None:
            self.facts.append(Acked(event, self._now()))

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        receipt = msgspec.json.decode(message.payload, type=Receipt)
        self.facts.append(Stored(self.address.node, receipt, self._now()))


def device_of(address: Address) -> str:
    """Return the one device of a canary node, as it is to be registered."""
    return f"{address.node}-pendant"


def _as_node(settings: MqttSettings, node: str) -> MqttSettings:
    if settings.mqtt_username is None:
        return settings
    return settings.model_copy(update={"mqtt_username": node})
