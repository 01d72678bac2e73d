"""Shows the box to its owner in Home Assistant: how it is, and nothing of whom it watches over.

Place in the flow: beside it, and off unless the node's file asks for it; `edge.box` runs it like a
source and gives it the health that the box reports anyway.  It speaks Home Assistant's MQTT discovery
(device-based, since 2024.11): one retained message describes the box and its entities, and is sent
again when Home Assistant says that it has started.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import SecretStr

from vigil import mqtt
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import paho.mqtt.client as paho

    from edge.config import HomeAssistant, Node
    from edge.reading import Put
    from vigil.events import DeviceHealth

EVERY_S: Final = 10.0
ENTITIES: Final[dict[str, dict[str, Any]]] = {
    "connected": {"platform": "binary_sensor", "name": "Platform", "device_class": "connectivity"},
    "problem": {"platform": "binary_sensor", "name": "Problem", "device_class": "problem"},
    "trouble": {"platform": "sensor", "name": "Trouble"},
    "waiting": {"platform": "sensor", "name": "Events waiting", "state_class": "measurement"},
    "disk_free": {
        "platform": "sensor",
        "name": "Disk free",
        "device_class": "data_size",
        "unit_of_measurement": "MB",
        "state_class": "measurement",
    },
    "temperature": {
        "platform": "sensor",
        "name": "Temperature",
        "device_class": "temperature",
        "unit_of_measurement": "°C",
        "state_class": "measurement",
    },
}
"""By what the state calls them."""
LONGEST: Final = 255
"""Characters of a state that Home Assistant takes."""


def discovery(node: Node, prefix: str) -> tuple[str, dict[str, Any]]:
    """Return the topic and the payload that tell Home Assistant what this box is."""
    own = identifier(node)
    entities = {
        f"{own}_{key}": {
            **entity,
            "unique_id": f"{own}_{key}",
            "value_template": f"{{{{ value_json.{key} }}}}",
            "entity_category": "diagnostic",
        }
        for key, entity in ENTITIES.items()
    }
    return f"{prefix}/device/{own}/config", {
        "device": {
            "identifiers": [own],
            "name": f"Vigil {node.node}",
            "manufacturer": "Vigil",
            "model": "Edge box",
        },
        "origin": {"name": "vigil"},
        "components": entities,
        "state_topic": topic(node, "state"),
        "availability_topic": topic(node, "availability"),
        "qos": 1,
    }


def state(health: DeviceHealth | None, *, connected: bool) -> dict[str, Any]:
    """Return what the entities show; what was not measured is unknown there."""
    trouble = "; ".join(health.trouble) if health else ""
    return {
        "connected": "ON" if connected else "OFF",
        "problem": "ON" if trouble else "OFF",
        "trouble": trouble[:LONGEST] or "none",
        "waiting": health.spool_depth if health else None,
        "disk_free": health.disk_free_mb if health else None,
        "temperature": health.temperature_c if health else None,
    }


def identifier(node: Node) -> str:
    """Return the box's name in topics of discovery, which take letters, digits, `_` and `-` only."""
    return "vigil_" + node.node.replace(".", "_")


def topic(node: Node, what: str) -> str:
    """Return a topic of the box at the owner's broker."""
    return f"vigil_edge/{node.node}/{what}"


class Companion:
    """The box as its owner's Home Assistant sees it."""

    def __init__(
        self, spec: HomeAssistant, node: Node, seen: Callable[[], tuple[DeviceHealth | None, bool]]
    ) -> None:
        """Prepare.

        Args:
            spec: The owner's broker.
            node: The box.
            seen: The health that was last reported, and whether the platform's broker is connected.
        """
        self._spec, self._node, self._seen = spec, node, seen

    async def run(self, _put: Put) -> None:
        """Show the box until cancelled."""
        client = self._client()
        mqtt.connect(client, self._settings(), window=1, clean=True)
        client.loop_start()
        try:
            while True:
                self._publish(client, topic(self._node, "state"), self._state())
                await asyncio.sleep(EVERY_S)
        finally:
            client.publish(topic(self._node, "availability"), "offline", qos=1, retain=True)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _client(self) -> paho.Client:
        client = mqtt.client(self._settings(), f"vigil-{uuid.uuid4().hex[:12]}", window=20, clean=True)
        client.will_set(topic(self._node, "availability"), "offline", qos=1, retain=True)
        client.on_connect = mqtt.guarded(self._connected)
        client.on_message = mqtt.guarded(self._started)
        return client

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"{self._spec.prefix}/status", 1)
        self._announce(client)

    def _started(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        if message.payload == b"online":
            self._announce(client)

    def _announce(self, client: paho.Client) -> None:
        self._publish(client, *discovery(self._node, self._spec.prefix))
        client.publish(topic(self._node, "availability"), "online", qos=1, retain=True)
        self._publish(client, topic(self._node, "state"), self._state())

    def _state(self) -> dict[str, Any]:
        health, connected = self._seen()
        return state(health, connected=connected)

    def _publish(self, client: paho.Client, to: str, what: dict[str, Any]) -> None:
        if client.is_connected():
            client.publish(to, msgspec.json.encode(what), qos=1, retain=True)

    def _settings(self) -> MqttSettings:
        # Every field is given: the environment's belong to the platform's broker.
        spec = self._spec
        return MqttSettings(
            mqtt_host=spec.host,
            mqtt_port=spec.port,
            mqtt_protocol=4,
            mqtt_username=spec.username,
            mqtt_password=SecretStr(spec.password) if spec.password else None,
            mqtt_ca=None,
            mqtt_cert=None,
            mqtt_key=None,
        )
