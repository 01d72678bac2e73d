"""The box as its owner's Home Assistant sees it: the documented payloads, at a real broker."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import Device, HomeAssistant, Node
from edge.home_assistant import ENTITIES, Companion, discovery, state
from tests.integration.edge.test_node import Edge
from tests.integration.edge.test_sources import Taken
from vigil.events import DeviceHealth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Stack

pytestmark = pytest.mark.integration

WAIT_S = 20


def a_node(name: str = "riverside.3") -> Node:
    devices = [Device(id=name, kind="hub"), Device(id="cam-bath", kind="camera", zone="flat-12")]
    return Node(community="c1", estate="e1", node=name, devices=devices)


def test_the_discovery_is_as_home_assistant_documents_it() -> None:
    topic, payload = discovery(a_node(), "homeassistant")
    assert topic == "homeassistant/device/vigil_riverside_3/config"
    assert payload["device"]["identifiers"] == ["vigil_riverside_3"]
    assert payload["origin"]["name"]
    assert len(payload["components"]) == len(ENTITIES)
    for name, entity in payload["components"].items():
        assert entity["platform"] in ("sensor", "binary_sensor")
        assert entity["unique_id"] == name
    assert payload["state_topic"] == "vigil_edge/riverside.3/state"


def test_every_entity_finds_its_value_and_shows_what_is_wrong() -> None:
    health = DeviceHealth(spool_depth=7, disk_free_mb=900.0, trouble=["clock unsynced", "x" * 300])
    shown = state(health, connected=True)
    assert shown.keys() == ENTITIES.keys()
    assert (shown["connected"], shown["problem"], shown["waiting"]) == ("ON", "ON", 7)
    assert shown["trouble"].startswith("clock unsynced; x")
    assert len(shown["trouble"]) == 255
    assert state(DeviceHealth(), connected=False)["problem"] == "OFF"
    assert state(None, connected=False)["waiting"] is None


def test_nothing_is_shown_of_whom_the_box_watches_over() -> None:
    assert "cam-bath" not in json.dumps(discovery(a_node(), "homeassistant"))
    assert "flat-12" not in json.dumps(discovery(a_node(), "homeassistant"))


class Hub:
    """Home Assistant's side of the broker."""

    def __init__(self, host: str, port: int, node: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        subscribed: queue.Queue[None] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda *a: self.heard.put((a[2].topic, bytes(a[2].payload)))
        self.client.on_subscribe = lambda *_: subscribed.put(None)
        self.client.connect(host, port)
        self.client.loop_start()
        self.client.subscribe([(f"ha-{node}/device/#", 1), (f"vigil_edge/{node}/#", 1)])
        subscribed.get(timeout=WAIT_S)

    def until(self, topic: str) -> Any:
        """Return the next payload of a topic."""
        while True:
            found, payload = self.heard.get(timeout=WAIT_S)
            if found == topic:
                return payload.decode() if topic.endswith("availability") else json.loads(payload)


@pytest.fixture
def hub(stack: Stack, community: str) -> Iterator[Hub]:
    hub = Hub(stack.addresses.mqtt_host, stack.addresses.mqtt_port, f"n-{community}")
    yield hub
    hub.client.disconnect()
    hub.client.loop_stop()


@pytest.mark.asyncio
async def test_a_box_shows_itself_again_when_home_assistant_starts_and_says_goodbye(
    stack: Stack, community: str, hub: Hub
) -> None:
    name = f"n-{community}"
    spec = HomeAssistant(host=stack.addresses.mqtt_host, port=stack.addresses.mqtt_port, prefix=f"ha-{name}")
    companion = Companion(spec, a_node(name), lambda: (DeviceHealth(spool_depth=3), True))
    running = asyncio.create_task(companion.run(Taken().put))
    config = f"ha-{name}/device/vigil_{name}/config"
    first = await asyncio.to_thread(hub.until, config)
    assert await asyncio.to_thread(hub.until, f"vigil_edge/{name}/availability") == "online"
    assert (await asyncio.to_thread(hub.until, first["state_topic"]))["waiting"] == 3
    hub.client.publish(f"ha-{name}/status", b"online", qos=1)
    assert await asyncio.to_thread(hub.until, config) == first
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    said = ""
    while said != "offline":
        said = await asyncio.to_thread(hub.until, f"vigil_edge/{name}/availability")


def test_the_box_s_own_process_shows_what_it_reports_of_itself(
    stack: Stack, community: str, hub: Hub, tmp_path: Path
) -> None:
    name, broker = f"n-{community}", stack.addresses
    edge = Edge(tmp_path, community, broker.mqtt_port)
    shown = {"host": broker.mqtt_host, "port": broker.mqtt_port, "prefix": f"ha-{name}"}
    edge.write(community=community, estate="e1", node=name, home_assistant=shown)
    with edge.running():
        said: dict[str, Any] = {}
        while said.get("waiting") is None or said["connected"] != "ON":
            said = hub.until(f"vigil_edge/{name}/state")
    assert said["disk_free"] > 0
