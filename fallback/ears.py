"""Hears which edge nodes are online: their retained states, their health, and their wills.

Place in the flow: facts for `senses`; coverage turns a lost box into named residents.  A box
that hangs keeps its connection and sends no will, so its health (every 10 s) is heard as well.
A connection of its own under the watchdog's own user, so that the canaries' stay as narrow as
an edge node's.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fallback.senses import Heard, Listening
from vigil import mqtt
from vigil.events import NodeState, PlatformState
from vigil.topics import ROOT, Kind, parse, platform_state

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
        self.facts: deque[Heard | Listening] = deque()
        self._settings = settings
        self._listening = False
        self._storing = {platform_state(community): False for community in communities}
        self._topics = list(self._storing)
        for community in communities:
            nodes = f"{ROOT}/{community}/+/+"
            self._topics += [f"{nodes}/{Kind.STATE}", f"{nodes}/{Kind.HEALTH}/+"]
        self._now = now
        self._client = mqtt.client(settings, f"vigil-ears-{name}", window=100, clean=True)
        self._client.on_connect = mqtt.guarded(self._on_connect)
        self._client.on_disconnect = mqtt.guarded(self._on_disconnect)
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

    def _on_disconnect(self, *_what: Any) -> None:
        self._storing = dict.fromkeys(self._storing, False)
        self._listen()

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        if message.topic in self._storing:
            state = msgspec.json.decode(message.payload, type=PlatformState)
            self._storing[message.topic] = state.up and state.storing
            self._listen()
            return
        topic = parse(message.topic)
        online = topic.kind is Kind.HEALTH or msgspec.json.decode(message.payload, type=NodeState).online
        self.facts.append(Heard(topic.address.node, online, self._now()))

    def _listen(self) -> None:
        """Say when silence begins or ceases to mean something."""
        listening = all(self._storing.values())
        if listening != self._listening:
            self._listening = listening
            self.facts.append(Listening(listening, self._now()))
