"""What goes down to the edges: receipts, the platform's state, configs and commands.

Place in the flow: `processors` publish receipts on `vigil.receipt.v1` after each commit, and
whichever member of ingest is alive passes them on: through `ingest.held`, over an `ingest.link` of
its own.  As many as the broker may have unacknowledged go in one write.  A receipt that gets lost
costs a re-send, nothing else; what was under way when a connection ended is published again.
`ingest.configs` says which configs and commands there are, and says them again until a box answers.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import structlog
from prometheus_client import Counter

from ingest import wire
from ingest.held import HOLD_S, Held
from ingest.link import LEAVE_S, hello, opened, stay_connected
from vigil import mqtt, receipts
from vigil.events import UNREADABLE, PlatformState, encode
from vigil.receipts import StoredReceipt
from vigil.topics import RECEIPT, Kind, platform_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

    from ingest.link import Link
    from ingest.wire import Message, Puback
    from vigil.settings import MqttSettings

    Sent: TypeAlias = StoredReceipt | str
    """A receipt, or what else was told: the community whose state it was, or a topic."""

WINDOW: Final = 500
"""Most publishes that the broker has not acknowledged; less where it says so."""
LETTERS: Final = 50
"""Configs and commands in one write: a thousand boxes' configs do not keep alarms' receipts waiting."""
LOOK_S: Final = 1.0
"""Longest wait for receipts while none is held."""

passed = Counter("vigil_ingest_receipts_total", "Receipts passed down to edges: their broker has them.")
dropped = Counter("vigil_ingest_receipts_dropped_total", "Receipts there was no room for; asked for again.")
refused = Counter("vigil_ingest_downlink_refused_total", "Publishes that the broker will not deliver.")
_log = structlog.get_logger(__name__)


class Downlink:
    """Publishes to edges; an async context manager around its own connection.

    Attributes:
        connections: How often it has connected; a broker may have lost what it retained before.
    """

    def __init__(self, settings: MqttSettings, client_id: str, *, hold_s: float = HOLD_S) -> None:
        self._settings = settings
        self._client_id = client_id
        self._held = Held(hold_s)
        self.connections = 0
        self._states: dict[str, PlatformState] = {}
        self._letters: dict[str, tuple[bytes, bool]] = {}
        self._in_flight: dict[int, Sent] = {}
        self._mids = cycle(range(1, 65536))
        self._link: Link | None = None
        self._window = 0
        self._stopping = False
        self._empty = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Start connecting; it goes on trying for ever."""
        keeping = stay_connected(self._client_id, self._connect, self._part)
        self._task = asyncio.create_task(keeping, name=f"mqtt {self._client_id}")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Pass down what is held, for as long as a broker is quick to take it, and disconnect."""
        self._stopping = True
        self._pump()
        if self._in_flight:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), LEAVE_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def trouble(self) -> str | None:
        """Return what keeps this connection from working, for `/readyz`."""
        return None if self._link is not None else "MQTT connection for receipts is down"

    async def _connect(self) -> Link:
        reader = wire.Reader(self._settings.mqtt_protocol, publishes=True)
        link = await opened(self._settings, reader, _not_subscribed, self._acknowledged)
        try:
            introduction = hello(self._settings, self._client_id, session_s=0, window=WINDOW, clean=True)
            answer = await link.greet(introduction, mqtt.KEEPALIVE_S)
        except BaseException:
            link.abort("not welcome")
            raise
        self._window = min(WINDOW, answer.window or WINDOW)
        self._link = link
        self.connections += 1
        self._pump()
        return link

    async def _part(self, link: Link) -> None:
        """Keep what the broker has not acknowledged for the next connection."""
        self._link = None
        for sent in self._in_flight.values():
            if isinstance(sent, StoredReceipt):
                self._held.put([sent], _now())
        self._in_flight.clear()
        self._empty.set()
        await link.leave()

    async def pass_receipts(self, consumer: AIOKafkaConsumer) -> None:
        """Pass receipts down for ever."""
        consumer.subscribe([RECEIPT])
        while True:
            wait_s = self._held.wait_s(_now())
            # Alarms that the broker has no room for go when it has acknowledged others.
            timeout_ms = LOOK_S * 1000 if not wait_s else math.ceil(wait_s * 1000)
            batches = await consumer.getmany(timeout_ms=int(timeout_ms), max_records=5000)
            self.put(record for batch in batches.values() for record in batch)

    def put(self, records: Iterable[ConsumerRecord[Any, Any]]) -> None:
        """Take in what Kafka gives, and pass down what is due."""
        dropped.inc(self._held.put(chain.from_iterable(map(_read, records)), _now()))
        self._pump()

    def announce(self, community: str, state: PlatformState) -> None:
        """Publish, retained, whether the platform is up and storing."""
        self._states[community] = state
        self._pump()

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish a config or a command; of several on a topic that wait, the last one."""
        self._letters[topic] = (payload, retain)
        self._pump()

    def _pump(self) -> None:
        """Write what may go in one piece: states, some configs, alarms' receipts, and the others that are due."""
        if self._link is not None and (packets := list(self._packets())):
            self._empty.clear()
            self._link.write(b"".join(packets))

    def _packets(self) -> Iterator[bytes]:
        while self._states and self._room():
            community, state = self._states.popitem()
            yield self._packet(community, platform_state(community), encode(state), retain=True)
        for topic in [*self._letters][: min(LETTERS, (self._room() + 1) // 2)]:
            payload, retain = self._letters.pop(topic)
            yield self._packet(topic, topic, payload, retain=retain)
        for receipt in self._held.take(self._room(), math.inf if self._stopping else _now()):
            yield self._packet(receipt, receipt.address.topic(Kind.RECEIPT), encode(receipt.receipt))

    def _room(self) -> int:
        return self._window - len(self._in_flight)

    def _packet(self, sent: Sent, topic: str, payload: bytes, *, retain: bool = False) -> bytes:
        mid = next(mid for mid in self._mids if mid not in self._in_flight)
        self._in_flight[mid] = sent
        return wire.publish(self._settings.mqtt_protocol, topic, payload, mid, retain=retain)

    def _acknowledged(self, answers: Iterable[Puback]) -> None:
        """Make room for others."""
        for answer in answers:
            sent = self._in_flight.pop(answer.mid, None)
            if answer.reason >= wire.REFUSED:
                refused.inc()
                _log.warning("broker does not deliver", to=sent, reason=wire.explained(answer.reason))
            elif isinstance(sent, StoredReceipt):
                passed.inc()
        self._pump()
        if not self._in_flight:
            self._empty.set()


def _not_subscribed(messages: list[Message]) -> None:
    """Take what nobody asked for; not acknowledged, it does not come for ever."""
    _log.warning("broker sends what nobody asked for", topics={message.topic for message in messages})


def _read(record: ConsumerRecord[Any, Any]) -> list[StoredReceipt]:
    try:
        return receipts.decode(record.value or b"")
    except UNREADABLE as error:
        _log.warning("receipts skipped", error=str(error))
        return []


def _now() -> float:
    return asyncio.get_running_loop().time()
