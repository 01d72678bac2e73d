"""The servers that production uses, side by side: mosquitto, Apache Kafka, PostgreSQL.

Same shape as `deploy.embedded.servers.EmbeddedStack`, so that every integration and story test
runs on either; the fixture `stack` chooses by `VIGIL_TEST_STACK`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.embedded.servers import HOST, Addresses
from tests.servers import kafka, mosquitto, postgres

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


def missing() -> list[str]:
    """Return what this machine lacks for the stack, a sentence each."""
    reasons = (mosquitto.missing(), kafka.missing(), postgres.missing())
    return [reason for reason in reasons if reason is not None]


class RealStack:
    """The three servers, each in a folder of its own below one folder.

    Args:
        folder: Their data and logs.
        fsync: Whether PostgreSQL's commits wait for the disk.
        jvm: Options of Kafka's Java machine.
    """

    def __init__(self, folder: Path, *, fsync: bool = False, jvm: str = kafka.QUICK) -> None:
        self.broker = mosquitto.Mosquitto(folder / "mqtt")
        self.kafka = kafka.ApacheKafka(folder / "kafka", jvm=jvm)
        self.postgres = postgres.DebianPostgres(folder / "postgres", fsync=fsync)

    @property
    def addresses(self) -> Addresses:
        """Where they are.  Kafka reports its incarnation (its cluster's id) itself."""
        return Addresses(
            mqtt_host=HOST,
            mqtt_port=self.broker.port,
            mqtt_protocol=5,
            mqtt_shared=True,
            kafka_bootstrap=kafka.bootstrap(self.kafka),
            kafka_idempotent=False,
            kafka_incarnation="",
            database_dsn=self.postgres.dsn,
        )

    def start(self) -> None:
        """Start all, side by side (PostgreSQL's and Kafka's preparations too).

        Raises:
            ServerError: One does not start; the others are stopped.
        """
        servers = (self.broker, self.kafka, self.postgres)
        try:
            with ThreadPoolExecutor(len(servers)) as pool:
                for started in [pool.submit(server.start) for server in servers]:
                    started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all, the database last."""
        for server in (self.broker, self.kafka, self.postgres):
            server.stop()

    def __enter__(self) -> Self:
        """Start all."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all."""
        self.stop()
