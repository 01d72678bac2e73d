"""The platform's side of a broker: remembers what nodes send, and stores when it is told to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from vigil import mqtt
from vigil.events import Envelope, NodeState, Receipt, check_origin, decode, encode
from vigil.topics import ROOT, Kind, Lane, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paho.mqtt.client as paho

    from vigil.settings import MqttSettings

WAIT_S = 20
"""Longest wait for something that must come."""
EVENTS = (Kind.ALARM, Kind.EVENT, Kind.TELEMETRY, Kind.HEALTH)


class Platform:
    """Takes what the nodes of a community send.

    Attributes:
        events: Every arrival in order, repetitions included.
        states: What was said on `state`.
        storing: Whether receipts are given.
    """

    def __init__(self, settings: MqttSettings, community: str) -> None:
        self._settings, self._community = settings, community
        self._changed = threading.Condition()
        self._seqs: dict[tuple[str, str, Lane], set[int]] = {}
        self._subscribed = threading.Event()
        self.events: list[Envelope] = []
        self.states: list[NodeState] = []
        self.births: dict[str, bytes] = {}
        self.storing = True

    @contextmanager
    def running(self) -> Iterator[Platform]:
        client = mqtt.client(self._settings, f"platform-{self._community}", window=100)
        client.on_connect = mqtt.guarded(lambda c, *_: c.subscribe(f"{ROOT}/{self._community}/#", 1))
        client.on_subscribe = mqtt.guarded(lambda *_: self._subscribed.set())
        client.on_message = mqtt.guarded(self._take)
        client.reconnect_delay_set(1, 1)
        mqtt.connect(client, self._settings, window=100)
        client.loop_start()
        try:
            assert self._subscribed.wait(WAIT_S)
            yield self
        finally:
            client.disconnect()
            client.loop_stop()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something has come."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), "it did not come"

    def seqs(self, boot: str, lane: Lane) -> set[int]:
        """The numbers that have come."""
        with self._changed:
            return {event.seq for event in self.events if (event.boot, event.lane) == (boot, lane)}

    def _take(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        topic = parse(message.topic)
        with self._changed:
            if topic.kind in EVENTS:
                self._take_event(client, decode(bytes(message.payload)), message.topic)
            elif topic.kind is Kind.STATE:
                self.states.append(msgspec.json.decode(message.payload, type=NodeState))
            elif topic.kind is Kind.BIRTH and topic.device:
                self.births[topic.device] = bytes(message.payload)
            self._changed.notify_all()
        client.ack(message.mid, message.qos)

    def _take_event(self, client: paho.Client, event: Envelope, topic: str) -> None:
        check_origin(event, parse(topic))
        self.events.append(event)
        if not self.storing:
            return
        seqs = self._seqs.setdefault((parse(topic).address.node, event.boot, event.lane), set())
        seqs.add(event.seq)
        stored = next(n for n in range(len(seqs) + 1) if n + 1 not in seqs)
        receipt = Receipt(boot=event.boot, lane=event.lane, stored=stored)
        client.publish(parse(topic).address.topic(Kind.RECEIPT), encode(receipt), qos=1)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.02)
