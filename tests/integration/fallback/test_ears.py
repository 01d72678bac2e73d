"""The watchdog hears the boxes on a real broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from fallback.ears import Ears
from fallback.senses import Heard, Listening
from tests.integration.fallback.test_canary_way import until
from vigil import events, mqtt
from vigil.events import DeviceHealth, NodeState, PlatformState
from vigil.settings import MqttSettings
from vigil.topics import Address, Kind, platform_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paho.mqtt.client as paho

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@pytest.fixture
def settings(stack: Any) -> MqttSettings:
    addresses = stack.addresses
    return MqttSettings(mqtt_port=addresses.mqtt_port, mqtt_protocol=addresses.mqtt_protocol)


@pytest.fixture
def ears(settings: MqttSettings, community: str) -> Iterator[Ears]:
    listening = Ears(settings, [community], lambda: NOW, "test")
    with listening.running():
        until(listening._client.is_connected)
        yield listening


@pytest.fixture
def box(settings: MqttSettings) -> Iterator[paho.Client]:
    client = mqtt.client(settings, "ears-box", window=10, clean=True)
    mqtt.connect(client, settings, window=10, clean=True)
    client.loop_start()
    until(client.is_connected)
    yield client
    client.disconnect()
    client.loop_stop()


def storing(*, yes: bool) -> bytes:
    return events.encode(PlatformState(up=True, storing=yes, at=NOW))


def test_states_and_health_of_boxes_are_heard(ears: Ears, box: paho.Client, community: str) -> None:
    address = Address(community, "e1", "box-1")
    health = events.envelope_of(
        address, "box-1", DeviceHealth(spool_depth=0), time=NOW, boot="1-0000abcd", seq=1, clock="synced"
    )

    def heard(online: bool) -> bool:
        # Sent until it is heard: the subscription may be younger than the connection.
        state = events.encode(NodeState(online=online, session="1"))
        box.publish(address.topic(Kind.STATE), state, 1)
        return Heard("box-1", online, NOW) in ears.facts

    until(lambda: heard(online=False))
    ears.facts.clear()
    box.publish(address.topic(Kind.HEALTH, "box-1"), events.encode(health), 1)
    until(lambda: Heard("box-1", online=True, at=NOW) in ears.facts)


def test_silence_means_something_while_the_platform_stores(
    ears: Ears, box: paho.Client, community: str
) -> None:
    box.publish(platform_state(community), storing(yes=True), 1, retain=True).wait_for_publish(10)
    until(lambda: Listening(on=True, at=NOW) in ears.facts)
    box.publish(platform_state(community), storing(yes=False), 1, retain=True).wait_for_publish(10)
    until(lambda: Listening(on=False, at=NOW) in ears.facts)


def test_whoever_has_lost_the_broker_holds_silence_against_nobody(
    ears: Ears, box: paho.Client, community: str
) -> None:
    box.publish(platform_state(community), storing(yes=True), 1, retain=True).wait_for_publish(10)
    until(lambda: Listening(on=True, at=NOW) in ears.facts)
    ears._client.disconnect()
    until(lambda: Listening(on=False, at=NOW) in ears.facts)
