"""The connection itself: sessions, the window, and what the broker or paho does not take."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from deploy.embedded.servers import Broker
from edge.link import WINDOW, Incoming, Link
from tests.conftest import lacking
from tests.integration.edge.platform import Platform
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from vigil import mqtt
from vigil.events import PlatformState, Receipt, Sos, encode, envelope_of
from vigil.settings import MqttSettings
from vigil.topics import Address, Kind, Lane, platform_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

WAIT_S = 20
EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


class Told:
    """What the link has told its listener."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.kept: bool | None = None
        self.messages: list[Incoming] = []
        self.acknowledgements = 0
        self._changed = asyncio.Event()

    def connected(self, session: str, *, kept: bool) -> None:
        self.sessions.append(session)
        self.kept = kept
        self._changed.set()

    def acknowledged(self) -> None:
        self.acknowledgements += 1
        self._changed.set()

    def received(self, message: Incoming) -> None:
        self.messages.append(message)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    server = Broker(tmp_path / "mqtt")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(broker: Broker) -> MqttSettings:
    return MqttSettings(mqtt_host="127.0.0.1", mqtt_port=broker.port)


@pytest.fixture
def address(community: str) -> Address:
    return Address(community, "e1", f"n-{community}")


@pytest.fixture
def platform(settings: MqttSettings, community: str) -> Iterator[Platform]:
    with Platform(settings, community).running() as platform:
        yield platform


class Connected:
    def __init__(self, settings: MqttSettings, address: Address) -> None:
        numbers = itertools.count(1)
        self.told = Told()
        self.link = Link(settings, address, lambda: f"s{next(numbers)}", Random(1))
        self.link.start(self.told)

    def publish_alarm(self, address: Address, seq: int) -> bool:
        event = envelope_of(
            address, "d1", Sos(by="button"), time=EPOCH, boot="1-00000000", seq=seq, synthetic="drill"
        )
        return self.link.publish(address.topic(Kind.ALARM, "d1"), encode(event))


@pytest_asyncio.fixture
async def connected(settings: MqttSettings, address: Address) -> AsyncIterator[Connected]:
    connected = Connected(settings, address)
    await connected.told.until(lambda: connected.told.sessions)
    yield connected
    await connected.link.stop(1.0)


async def test_each_connection_has_a_session_of_its_own_in_state_and_will(
    broker: Broker, platform: Platform, settings: MqttSettings, address: Address
) -> None:
    connected = Connected(settings, address)
    await connected.told.until(lambda: connected.told.sessions)
    broker.kill()
    await asyncio.to_thread(broker.start)
    await connected.told.until(lambda: len(connected.told.sessions) > 1)
    first, second = connected.told.sessions[0], connected.told.sessions[-1]
    assert first != second
    await asyncio.to_thread(
        platform.wait, lambda: any(s.session == second and s.online for s in platform.states)
    )
    await connected.link.stop(1.0)
    await asyncio.to_thread(platform.wait, lambda: not platform.states[-1].online)
    assert platform.states[-1].session == second


async def test_a_broker_that_does_not_take_the_password_is_remembered_by_its_word(
    tmp_path: Path, address: Address
) -> None:
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(tmp_path / "guarded", users={"n1": "a secret"}, community=address.community)
    server.start()
    wrong = MqttSettings.model_validate(
        {"mqtt_port": server.port, "mqtt_username": "n1", "mqtt_password": "a guess"}
    )
    connected = Connected(wrong, address)
    async with asyncio.timeout(WAIT_S):
        while connected.link.refused is None:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    assert connected.link.refused == "Not authorized"
    assert not connected.link.up
    await connected.link.stop(1.0)
    server.stop()


async def test_a_broker_that_was_made_anew_does_not_know_the_node(
    broker: Broker, settings: MqttSettings, address: Address
) -> None:
    connected = Connected(settings, address)
    await connected.told.until(lambda: connected.told.sessions)
    broker.kill()
    await asyncio.to_thread(broker.start)
    await connected.told.until(lambda: len(connected.told.sessions) > 1)
    assert connected.told.kept is False
    await connected.link.stop(1.0)


async def test_a_place_in_the_window_is_free_again_when_the_broker_has_the_message(
    connected: Connected, address: Address
) -> None:
    await connected.told.until(lambda: connected.link.free() == WINDOW)
    assert connected.publish_alarm(address, 1)
    assert connected.link.free() == WINDOW - 1
    await connected.told.until(lambda: connected.link.free() == WINDOW)


async def test_what_paho_s_queue_does_not_take_is_not_counted_as_sent(
    connected: Connected, address: Address
) -> None:
    await connected.told.until(lambda: connected.link.free() == WINDOW)
    connected.link._client._max_queued_messages = 1  # its setter refuses while it is connected
    taken = [connected.publish_alarm(address, seq) for seq in range(1, 60)]
    assert not all(taken)
    await connected.told.until(lambda: connected.link.free() == WINDOW)


async def test_nothing_is_handed_to_paho_while_the_connection_is_down(
    broker: Broker, connected: Connected, address: Address
) -> None:
    await connected.told.until(lambda: connected.link.free() == WINDOW)
    broker.kill()
    async with asyncio.timeout(WAIT_S):
        while connected.link.up:  # noqa: ASYNC110 - the listener is not told, it asks
            await asyncio.sleep(0.01)
    assert not connected.publish_alarm(address, 1)
    assert not connected.link._client._out_messages
    await asyncio.to_thread(broker.start)


async def test_a_node_hears_its_own_receipts_commands_and_the_platform_s_state(
    connected: Connected, settings: MqttSettings, address: Address
) -> None:
    platform = mqtt.client(settings, "talker", window=20, clean=True)
    mqtt.connect(platform, settings, window=20, clean=True)
    platform.loop_start()
    state = PlatformState(up=True, storing=True, at=EPOCH)
    other = Address(address.community, address.estate, "somebody-else")
    messages: dict[str, PlatformState | Receipt] = {
        other.topic(Kind.RECEIPT): Receipt(boot="1-00000000", lane=Lane.ALARM, stored=9),
        address.topic(Kind.RECEIPT): Receipt(boot="1-00000000", lane=Lane.ALARM, stored=1),
        platform_state(address.community): state,
    }
    for topic, message in messages.items():
        platform.publish(topic, encode(message), qos=1)
    await connected.told.until(lambda: len(connected.told.messages) >= 2)
    heard = {message.topic for message in connected.told.messages}
    assert heard == {address.topic(Kind.RECEIPT), platform_state(address.community)}
    for incoming in connected.told.messages:
        connected.link.acknowledge(incoming)
    platform.disconnect()
    platform.loop_stop()
