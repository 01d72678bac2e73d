"""What goes down to the edges: receipts, and the platform's state.

Place in the flow: `processors` publish receipts on `vigil.receipt.v1` after each commit, and
whichever member of ingest is alive passes them on.  A receipt that gets lost costs a
re-send, nothing else.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Final, Self

import structlog
from prometheus_client import Counter

from vigil import mqtt, receipts
from vigil.events import UNREADABLE, PlatformState, encode
from vigil.topics import RECEIPT, Kind, platform_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    import paho.mqtt.client as paho
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

    from vigil.receipts import StoredReceipt
    from vigil.settings import MqttSettings

WINDOW: Final = 100
QUEUE: Final = 20_000
"""Receipts that wait for the broker; more are dropped, and their events sent again."""

passed = Counter("vigil_ingest_receipts_total", "Receipts passed down to edges.")
_log = structlog.get_logger(__name__)


class Downlink:
    """Publishes to edges; an async context manager around its own connection."""

    def __init__(self, settings: MqttSettings, client_id: str) -> None:
        self._settings = settings
        self.client: paho.Client = mqtt.client(settings, client_id, window=WINDOW, clean=True)
        self.client.max_queued_messages_set(QUEUE)

    async def __aenter__(self) -> Self:
        """Start connecting; it goes on trying for ever."""
        mqtt.connect(self.client, self._settings, window=WINDOW, clean=True)
        self.client.loop_start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Disconnect."""
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)

    def trouble(self) -> str | None:
        """Return what keeps this connection from working, for `/readyz`."""
        return None if self.client.is_connected() else "MQTT connection for receipts is down"

    async def pass_receipts(self, consumer: AIOKafkaConsumer) -> None:
        """Pass receipts down for ever."""
        consumer.subscribe([RECEIPT])
        while True:
            batches = await consumer.getmany(timeout_ms=1000, max_records=5000)
            for receipt in newest(record for batch in batches.values() for record in batch):
                self.client.publish(receipt.address.topic(Kind.RECEIPT), encode(receipt.receipt), qos=1)
                passed.inc()

    def announce(self, community: str, state: PlatformState) -> None:
        """Publish, retained, whether the platform is up and storing."""
        self.client.publish(platform_state(community), encode(state), qos=1, retain=True)


def newest(records: Iterable[ConsumerRecord]) -> list[StoredReceipt]:
    """Return the highest receipt of each node, boot and lane: it says all that the lower ones say."""
    latest: dict[tuple[str, str, str], StoredReceipt] = {}
    for receipt in chain.from_iterable(map(_read, records)):
        key = (receipt.node, receipt.boot, receipt.lane)
        if key not in latest or latest[key].stored < receipt.stored:
            latest[key] = receipt
    return list(latest.values())


def _read(record: ConsumerRecord) -> list[StoredReceipt]:
    try:
        return receipts.decode(record.value or b"")
    except UNREADABLE as error:
        _log.warning("receipts skipped", error=str(error))
        return []
