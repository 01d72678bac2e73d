"""The servers that production uses, side by side: mosquitto, Apache Kafka, PostgreSQL.

Same shape as `deploy.embedded.servers.EmbeddedStack`, so that every integration and story test
runs on either; the fixture `stack` chooses by `VIGIL_TEST_STACK`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.embedded.servers import HOST, Addresses, ServerStack
from tests.servers import kafka, mosquitto, postgres
from tests.servers.kafka import QUICK, ApacheKafka, bootstrap
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import DebianPostgres

if TYPE_CHECKING:
    from pathlib import Path


def missing() -> list[str]:
    """Return what this machine lacks for the stack, a sentence each."""
    reasons = (mosquitto.missing(), kafka.missing(), postgres.missing())
    return [reason for reason in reasons if reason is not None]


class RealStack(ServerStack):
    """The three servers, each in a folder of its own below one folder.

    Args:
        folder: Their data and logs.
        fsync: Whether PostgreSQL's commits wait for the disk.
        jvm: Options of Kafka's Java machine.
    """

    kafka: ApacheKafka
    postgres: DebianPostgres

    def __init__(self, folder: Path, *, fsync: bool = False, jvm: str = QUICK) -> None:
        self.broker = Mosquitto(folder / "mqtt")
        self.kafka = ApacheKafka(folder / "kafka", jvm=jvm)
        self.postgres = DebianPostgres(folder / "postgres", fsync=fsync)

    @property
    def addresses(self) -> Addresses:
        """Where they are.  Kafka reports its incarnation (its cluster's id) itself."""
        return Addresses(
            mqtt_host=HOST,
            mqtt_port=self.broker.port,
            mqtt_protocol=5,
            mqtt_shared=True,
            kafka_bootstrap=bootstrap(self.kafka),
            kafka_idempotent=False,
            kafka_incarnation="",
            database_dsn=self.postgres.dsn,
        )

    def _start(self) -> None:
        """Start each in a thread: PostgreSQL's and Kafka's preparations take long too."""
        with ThreadPoolExecutor(len(self.servers)) as pool:
            for started in [pool.submit(server.start) for server in self.servers]:
                started.result()
