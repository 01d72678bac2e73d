"""Adapters for what owners already have on a broker of their own: Zigbee2MQTT and Frigate.

Place in the flow: a source of `edge.__main__`; messages come in here, `edge.sensors` and
`edge.frigate` say what they mean.  A message is acknowledged to that broker when its
events are durable.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog
from pydantic import SecretStr

from edge import frigate, sensors
from edge.reading import Reading
from edge.sensors import Known
from vigil import mqtt
from vigil.errors import Rejected
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import paho.mqtt.client as paho

    from edge.config import Device, Frigate, Zigbee2Mqtt
    from edge.reading import Put
    from edge.sources import Context
    from vigil.events import Data

WINDOW: Final = 100
_log = structlog.get_logger(__name__)


class Translator(Protocol):
    """Knows one project's topics."""

    def subscriptions(self) -> list[str]:
        """Return what is to be subscribed."""

    def take(self, topic: str, payload: bytes) -> list[tuple[Device, Data]]:
        """Make events of a message; raises `Rejected` where it is not what is documented."""


class ZigbeeTranslator:
    """Zigbee2MQTT: `{base}/{friendly name}`, `.../availability` and `{base}/bridge/state`."""

    def __init__(self, base: str, devices: list[Device]) -> None:
        self._base = base
        self._devices = {device.address or device.id: device for device in devices}
        self._known = {device.id: Known() for device in devices}

    def subscriptions(self) -> list[str]:
        """Return the devices' topics, not the whole bus."""
        own = [f"{self._base}/{name}{end}" for name in self._devices for end in ("", "/availability")]
        return [*own, f"{self._base}/bridge/state"]

    def take(self, topic: str, payload: bytes) -> list[tuple[Device, Data]]:
        """Make events of a message."""
        name = topic.removeprefix(f"{self._base}/")
        if name == "bridge/state":
            state = _word(payload, "state")
            return [found for d in self._devices.values() for found in self._said(d, {"availability": state})]
        if device := self._devices.get(name):
            return self._said(device, _object(topic, payload))
        if device := self._devices.get(name.removesuffix("/availability")):
            return self._said(device, {"availability": _word(payload, "state")})
        return []

    def _said(self, device: Device, facts: dict[str, object]) -> list[tuple[Device, Data]]:
        self._known[device.id], events = sensors.observed(device, facts, self._known[device.id])
        return [(device, event) for event in events]


class FrigateTranslator:
    """Frigate: `{prefix}/events`, `reviews` and `available`."""

    def __init__(self, prefix: str, devices: list[Device]) -> None:
        self._prefix, self._devices, self._seen = prefix, devices, frigate.Seen()

    def subscriptions(self) -> list[str]:
        """Return Frigate's topics."""
        return frigate.topics(self._prefix)

    def take(self, topic: str, payload: bytes) -> list[tuple[Device, Data]]:
        """Make events of a message."""
        name = topic.removeprefix(f"{self._prefix}/")
        self._seen, found = frigate.observed(self._devices, name, payload, self._seen)
        return found


class BrokeredSource:
    """A broker of the owner's."""

    def __init__(self, spec: Zigbee2Mqtt | Frigate, translator: Translator, context: Context) -> None:
        # Every field is given: the environment's belong to the platform's broker.
        secret = SecretStr(spec.password) if spec.password else None
        self._settings = MqttSettings(
            mqtt_host=spec.host,
            mqtt_port=spec.port,
            mqtt_protocol=4,
            mqtt_username=spec.username,
            mqtt_password=secret,
            mqtt_ca=None,
            mqtt_cert=None,
            mqtt_key=None,
        )
        self._translator, self._context = translator, context

    async def run(self, put: Put) -> None:
        """Listen until cancelled."""
        loop, inbox = asyncio.get_running_loop(), asyncio.Queue[Any]()
        # Both projects publish at QoS 0: a session that outlives the connection would hold nothing.
        client = mqtt.client(self._settings, f"vigil-{uuid.uuid4().hex[:12]}", window=WINDOW, clean=True)
        client.on_connect = mqtt.guarded(self._subscribe)
        client.on_message = mqtt.guarded(_handing_over(loop, inbox))
        mqtt.connect(client, self._settings, window=WINDOW, clean=True)
        client.loop_start()
        try:
            while True:
                message = await inbox.get()
                await self._take(message.topic, bytes(message.payload), put)
                client.ack(message.mid, message.qos)
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._translator.subscriptions()])

    async def _take(self, topic: str, payload: bytes, put: Put) -> None:
        try:
            found = self._translator.take(topic, payload)
        except Rejected as error:
            _log.warning("a message was not understood", topic=topic, why=error.detail)
            return
        for device, data in found:
            await put(Reading(device.id, data, self._context.utc(), self._context.synthetic))


def zigbee(spec: Zigbee2Mqtt, devices: list[Device], context: Context) -> BrokeredSource:
    """Build the adapter for Zigbee2MQTT."""
    return BrokeredSource(spec, ZigbeeTranslator(spec.base, devices), context)


def frigate_source(spec: Frigate, devices: list[Device], context: Context) -> BrokeredSource:
    """Build the adapter for Frigate."""
    return BrokeredSource(spec, FrigateTranslator(spec.base, devices), context)


def _handing_over(loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue[Any]) -> Callable[..., None]:
    def on_message(_client: Any, _userdata: Any, message: Any) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, message)

    return on_message


def _object(topic: str, payload: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(payload, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise Rejected("malformed", f"{topic}: {error}") from None


def _word(payload: bytes, key: str) -> str:
    """Return a state that comes as a bare word from older versions, in an object from newer ones."""
    try:
        return str(msgspec.json.decode(payload, type=dict[str, str]).get(key, ""))
    except msgspec.DecodeError:
        return payload.decode(errors="replace")
