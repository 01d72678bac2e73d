"""The servers that all contenders share, and looks into them that cost little."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.servers import Broker, EmbeddedStack
from ingest.bridge import produce
from ingest.translate import Record
from tests.bench import load
from tests.bench.processes import CORES
from tests.household import migrate
from tests.making import EVERYTHING_ALERTS
from tests.servers import real
from tests.servers.mosquitto import Mosquitto
from tests.servers.real import RealStack
from vigil import kafka
from vigil.clock import utc_now
from vigil.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from tests.bench.load import Message

JVM: Final = "-Xms64m -Xmx512m -XX:+UseSerialGC"
"""As `deploy/kafka/start` runs it, both compilers on, with room for a backlog."""
PROBES: Final = 10_000
"""Devices that call for help, each once, so that each call is an alert of its own."""


class Servers:
    """A stack, its environment, and one loop for what is asked of Kafka."""

    def __init__(self, stack: RealStack | EmbeddedStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.environment = {**stack.addresses.environment(), "VIGIL_LOG_LEVEL": "warning"}
        self.kind = "apache" if isinstance(stack, RealStack) else "embedded"
        self._runner = asyncio.Runner()
        self._consumer: AIOKafkaConsumer | None = None
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def dsn(self) -> str:
        """Where PostgreSQL is."""
        return self.stack.addresses.database_dsn

    @property
    def bootstrap(self) -> str:
        """Where Kafka is."""
        return self.stack.addresses.kafka_bootstrap

    @property
    def kafka(self) -> KafkaSettings:
        """The settings of our Kafka clients."""
        addresses = self.stack.addresses
        return KafkaSettings(
            kafka_bootstrap=addresses.kafka_bootstrap, kafka_idempotent=addresses.kafka_idempotent
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something that waits."""
        return self._runner.run(work)

    def another_broker(self, name: str) -> Mosquitto | Broker:
        """Return a second MQTT broker like the first, not yet started."""
        make = Mosquitto if isinstance(self.stack, RealStack) else Broker
        return make(self.folder / f"mqtt-{name}")

    def end_of(self, topic: str) -> int:
        """Return how many records a topic has had."""
        return int(self.run(self._end_of(topic)))

    async def _end_of(self, topic: str) -> int:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
            await self._consumer.start()
        partitions = [TopicPartition(topic, number) for number in range(kafka.PARTITIONS)]
        ends = await self._consumer.end_offsets(partitions)
        return sum(ends.values())

    def produce(self, topic: str, messages: Sequence[Message], key: Callable[[Message], str]) -> None:
        """Put messages into a topic as ingest would."""
        records = [Record(topic, key(m).encode(), m.payload) for m in messages]
        self.run(self._produce(records))

    async def _produce(self, records: Sequence[Record]) -> None:
        async with kafka.producer(self.kafka, "bench") as producer:
            for start in range(0, len(records), 2000):
                await produce(producer, records[start : start + 2000], utc_now())

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL, or tell it; over one connection, since a new one costs the server 5 ms of CPU."""
        if self._connection is None:
            self._connection = psycopg.connect(self.dsn, autocommit=True)
        cursor = self._connection.execute(text.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def taken_in(self, topic: str) -> int:
        """Return how many records of a topic the processors have committed."""
        ((count,),) = self.query(
            "SELECT coalesce(sum(greatest(next_offset, 0)), 0)::int8 FROM checkpoint WHERE topic = %s",
            [topic],
        )
        return int(count)

    def close(self) -> None:
        """Let go of Kafka and PostgreSQL."""
        if self._connection is not None:
            self._connection.close()
        if self._consumer is not None:
            self.run(self._consumer.stop())
        self._runner.close()


@contextmanager
def started(folder: Path) -> Iterator[Servers]:
    """Start the servers on the first core, with the schema in place and Kafka's topics made."""
    os.sched_setaffinity(0, {CORES[0]})
    stack = (
        EmbeddedStack(folder / "servers")
        if real.missing()
        else RealStack(folder / "servers", fsync=True, jvm=JVM)
    )
    with stack:
        servers = Servers(stack, folder)
        migrate({**os.environ, **servers.environment})
        servers.run(kafka.create_topics(servers.kafka))
        try:
            yield servers
        finally:
            servers.close()


def spread(servers: Servers) -> None:
    """Let us and the servers use every core from now on: the whole way is measured on all of them."""
    import psutil

    pids = [os.getpid(), servers.stack.broker.pid, servers.stack.kafka.pid, servers.stack.postgres.pid]
    for pid in filter(None, pids):
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, CORES)


def register(servers: Servers, devices: int) -> None:
    """Register devices, five to a resident who agrees to everything, fifty to a node; and probes."""
    nodes = (devices - 1) // load.DEVICES_A_NODE
    values = {
        "devices": devices - 1,
        "nodes": nodes,
        "a_node": load.DEVICES_A_NODE,
        "estate": load.ESTATE,
        "probes": PROBES - 1,
    }
    with psycopg.connect(servers.dsn) as connection:
        connection.execute(
            "INSERT INTO community (id, name) VALUES (%s, 'B') ON CONFLICT DO NOTHING", [load.COMMUNITY]
        )
        connection.execute(
            "INSERT INTO estate (id, community, name) VALUES (%s, %s, 'B') ON CONFLICT DO NOTHING",
            [load.ESTATE, load.COMMUNITY],
        )
        connection.execute(EVERYTHING_ALERTS)
        for statement in _REGISTRY:
            connection.execute(statement.encode(), values)


def forget(servers: Servers, devices: int) -> None:
    """Take devices from the register again, down to so many."""
    values = {"devices": devices, "nodes": devices // load.DEVICES_A_NODE}
    with psycopg.connect(servers.dsn) as connection:
        for statement in _FORGET:
            connection.execute(statement.encode(), values)


_FORGET: Final = (
    "DELETE FROM assignment WHERE device ~ '^d[0-9]+$' AND substr(device, 2)::int >= %(devices)s",
    "DELETE FROM device WHERE id ~ '^d[0-9]+$' AND substr(id, 2)::int >= %(devices)s",
    "DELETE FROM node WHERE id ~ '^n[0-9]+$' AND substr(id, 2)::int >= %(nodes)s",
)
_REGISTRY: Final = (
    "INSERT INTO node (id, estate) SELECT 'n' || i, %(estate)s FROM generate_series(0, %(nodes)s) i ON CONFLICT DO NOTHING",
    "INSERT INTO node (id, estate) VALUES ('probe', %(estate)s) ON CONFLICT DO NOTHING",
    """INSERT INTO device (id, node, kind, placement) SELECT 'd' || i, 'n' || i / %(a_node)s, 'pendant', 'waist'
       FROM generate_series(0, %(devices)s) i ON CONFLICT DO NOTHING""",
    """INSERT INTO device (id, node, kind) SELECT 'p' || i, 'probe', 'button'
       FROM generate_series(0, %(probes)s) i ON CONFLICT DO NOTHING""",
    """INSERT INTO resident (id, estate, name, flagged) SELECT 'r' || i, %(estate)s, 'N', true
       FROM generate_series(0, %(devices)s / 5) i ON CONFLICT DO NOTHING""",
    """INSERT INTO consent (resident, purpose, granted, text_version, given_by)
       SELECT 'r' || i, purpose, true, '1', 'self'
       FROM generate_series(0, %(devices)s / 5) i, unnest(ARRAY['fall_detection', 'routine_monitoring']) AS purpose
       ON CONFLICT DO NOTHING""",
    """INSERT INTO assignment (device, resident) SELECT 'd' || i, 'r' || i / 5
       FROM generate_series(0, %(devices)s) i ON CONFLICT DO NOTHING""",
)
