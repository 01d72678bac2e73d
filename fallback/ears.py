"""Hears which edge nodes are online: their retained states, and the wills of those that vanish.

Place in the flow: facts for `watchdog`, whose coverage turns a lost box into named residents.
A connection of its own under the watchdog's own user, so that the canaries' stay as narrow as
an edge node's.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fallback.watchdog import Heard
from vigil import mqtt
from vigil.events import NodeState
from vigil.topics import ROOT, Kind, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import paho.mqtt.client as paho

    from vigil.settings import MqttSettings


class Ears:
    """The connection.

    Args:
        settings: Of the broker.
        communities: Whose nodes are listened to.
        now: The clock.
        name: Tells this instance's session from the other's.
    """

    def __init__(
        self, settings: MqttSettings, communities: Iterable[str], now: Callable[[], datetime], name: str
    ) -> None:
        self.facts: deque[Heard] = deque()
        self._settings = settings
        self._topics = [f"{ROOT}/{community}/+/+/{Kind.STATE}" for community in communities]
        self._now = now
        self._client = mqtt.client(settings, f"vigil-ears-{name}", window=100, clean=True)
        self._client.on_connect = mqtt.guarded(self._on_connect)
        self._client.on_message = mqtt.guarded(self._on_message)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listen while the context lasts."""
        mqtt.connect(self._client, self._settings, window=100, clean=True)
        self._client.loop_start()
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if not code.is_failure:
            for topic in self._topics:
                client.subscribe(topic, 1)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        state = msgspec.json.decode(message.payload, type=NodeState)
        self.facts.append(Heard(parse(message.topic).address.node, state.online, self._now()))
