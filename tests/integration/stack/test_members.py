"""Members of ingest that come and go at mosquitto, which has real shared subscriptions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.embedded.servers import HOST
from ingest.inbox import Inbox
from tests.conftest import lacking
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.asyncio]
SHARED = ["$share/ingest/t/+"]
COUNT = 20


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own."""
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(tmp_path / "mqtt")
    server.start()
    yield server
    server.stop()


def publish(broker: Mosquitto) -> None:
    """Publish numbers, each acknowledged by the broker."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "boxes")
    client.connect(HOST, broker.port)
    client.loop_start()
    for number in range(COUNT):
        client.publish(f"t/{number}", str(number).encode(), qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


async def ready(inbox: Inbox) -> None:
    """Wait until it is subscribed."""
    while inbox.trouble() is not None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def test_when_one_of_two_members_leaves_the_other_gets_everything_at_once(broker: Mosquitto) -> None:
    settings = MqttSettings(mqtt_port=broker.port, mqtt_protocol=5)
    async with Inbox(settings, "stays", SHARED, 100) as stays:
        await ready(stays)
        async with Inbox(settings, "leaves", SHARED, 100) as leaves:
            await ready(leaves)
        await asyncio.to_thread(publish, broker)
        got: set[str] = set()
        while len(got) < COUNT:
            messages = await stays.take(100)
            stays.acknowledge(messages)
            got |= {message.payload.decode() for message in messages}
