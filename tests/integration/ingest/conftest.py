"""Both buses as a test sees them: a node that publishes, a listener, and what is in the log."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from aiokafka import TopicPartition
from paho.mqtt.enums import CallbackAPIVersion

from tests.making import event
from vigil import kafka
from vigil.settings import IngestSettings
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import Stack
    from vigil.events import Envelope


def telling(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[..., None]:
    """Return a callback of paho's thread that sets an event of the loop."""

    def tell(*_told: object) -> None:
        loop.call_soon_threadsafe(event.set)

    return tell


class Buses:
    """The servers, and a community of the test's own."""

    def __init__(self, stack: Stack, community: str) -> None:
        self.stack, self.community = stack, community
        self.node = Address(community, "e1", f"node-{community}")

    @property
    def settings(self) -> IngestSettings:
        at = self.stack.addresses
        return IngestSettings(
            mqtt_host=at.mqtt_host,
            mqtt_port=at.mqtt_port,
            mqtt_protocol=at.mqtt_protocol,  # type: ignore[arg-type]  # pydantic checks it
            kafka_bootstrap=at.kafka_bootstrap,
            kafka_idempotent=at.kafka_idempotent,
            ingest_member=self.community,
        )

    @property
    def shares(self) -> bool:
        """Whether members can have the messages between them (docs/decisions/0001)."""
        return self.stack.addresses.mqtt_shared

    @property
    def alarms(self) -> str:
        """The subscription to this community's alarms."""
        prefix = f"$share/ingest-{self.community}/" if self.shares else ""
        return f"{prefix}vigil/v1/{self.community}/+/+/alarm/+"

    def event(self, data: Any = None, seq: int = 1, **changes: Any) -> Envelope:
        return event(data, seq, address=self.node, **changes)

    @contextmanager
    def client(self, name: str) -> Iterator[paho.Client]:
        at = self.stack.addresses
        client = paho.Client(CallbackAPIVersion.VERSION2, f"{name}-{self.community}")
        client.connect(at.mqtt_host, at.mqtt_port)
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def restart_kafka(self) -> None:
        """Start Kafka with its topics, while the loop stands still.

        The embedded one, whose log is gone, confirms what is produced to a topic that it does not have
        yet, and forgets it when the topic is made.
        """
        self.stack.kafka.start()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, kafka.create_topics(self.settings)).result()

    async def publish(self, *messages: tuple[str, bytes]) -> None:
        """Publish as a node, until the broker has them."""

        def work() -> None:
            with self.client("publisher") as client:
                for sent in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
                    sent.wait_for_publish(30)

        await asyncio.to_thread(work)

    @asynccontextmanager
    async def heard(self, topic: str) -> AsyncIterator[asyncio.Queue[tuple[str, bytes]]]:
        """Listen on a topic, as an edge does."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[str, bytes]]()
        subscribed = asyncio.Event()
        with self.client("listener") as client:

            def note(_client: object, _data: object, m: paho.MQTTMessage) -> None:
                loop.call_soon_threadsafe(queue.put_nowait, (m.topic, bytes(m.payload)))

            client.on_message = note
            client.on_subscribe = telling(loop, subscribed)
            client.subscribe(topic, 1)
            await subscribed.wait()
            yield queue

    async def in_log(self, topic: str, count: int) -> list[Any]:
        """Return at least so many records of a Kafka topic, waiting for them."""
        async with kafka.consumer(self.settings, "reader") as consumer:
            partitions = [TopicPartition(topic, n) for n in range(kafka.PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[Any] = []
            for _ in range(400):
                for some in (await consumer.getmany(timeout_ms=200)).values():
                    found += some
                if len(found) >= count:
                    return found
        pytest.fail(f"{len(found)} of {count} records came to {topic}")


@pytest.fixture
def buses(stack: Stack, topics: tuple[str, ...], community: str) -> Buses:
    assert topics
    return Buses(stack, community)
