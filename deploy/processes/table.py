"""What runs, with what, and how much of it: the one list of an installation's processes; pure.

Neighbours: `units`, `kubernetes` and the tests of `compose.yaml` read it.  A process that is
missing here is missing everywhere, and a test says so (every room with a `__main__` stands here).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from vigil.settings import (
    ApiSettings,
    BackupSettings,
    EdgeSettings,
    FallbackSettings,
    IngestSettings,
    ProcessorSettings,
    StoreSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import BaseSettings


class Place(Enum):
    """Where a process stands."""

    PLATFORM = "platform"
    OUTSIDE = "outside"
    """On a host, a network and a name of its own: it watches the platform."""
    BOX = "box"


class Server(Enum):
    """A server that a process speaks to; nobody reaches another one."""

    MQTT = "mqtt"
    KAFKA = "kafka"
    DATABASE = "database"
    API = "api"


@dataclass(frozen=True, slots=True)
class Process:
    """One kind of process.

    Attributes:
        name: Of its unit (`vigil-NAME.service`), container and workload.
        module: What Python runs, with arguments.
        settings: What it reads from the environment.
        means: One sentence, for whoever lists the units.
        place: Where it stands.
        ops_port: Of `/metrics`, `/healthz`, `/readyz`.
        port: Where people or other processes reach it, None for nobody.
        speaks_to: Servers it needs.
        extra: Of `pyproject.toml`: the packages it needs beyond those of everybody.
        environment: What makes it this process and not another of the same module.
        secrets: Settings that are secret here.
        files: Settings that name a folder it writes, and the folder.
        members: How many there are at least, where there may be several.
        most: To how many it may grow; the log's partitions bound it.
        cpus: Cores it may take.
        memory_mb: Memory it may take; more than twice what was measured under load.
        stop_s: How long it may take to end: batches are committed, receipts passed down.
    """

    name: str
    module: str
    settings: type[BaseSettings]
    means: str
    place: Place
    ops_port: int
    extra: str
    cpus: float
    memory_mb: int
    speaks_to: frozenset[Server] = frozenset()
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    members: int = 1
    most: int = 1
    stop_s: int = 20

    @property
    def login(self) -> str:
        """Whose secrets it has: `python -m vigil.store logins` makes one folder for each of these."""
        return LOGINS.get(self.name, self.module.partition(" ")[0])


LOGINS: Final = {"wal": "backup", "migrate": "owner"}
"""Where it is not the room's own: who streams the log may read all of it, who migrates owns the schema."""
_DATABASE: Final = ("VIGIL_DATABASE_DSN",)
_BROKER: Final = ("VIGIL_MQTT_PASSWORD",)

PROCESSES: Final = (
    Process(
        "ingest", "ingest", IngestSettings, "carries events from MQTT to Kafka", Place.PLATFORM, 9101, "ingest",
        cpus=1, memory_mb=384, speaks_to=frozenset({Server.MQTT, Server.KAFKA, Server.DATABASE}),
        environment={"VIGIL_MQTT_USERNAME": "ingest"}, secrets=(*_DATABASE, *_BROKER), members=2, most=6,
    ),
    Process(
        "alarms", "processors", ProcessorSettings, "decides on alarms, which wait for nothing else",
        Place.PLATFORM, 9102, "processors", cpus=1, memory_mb=768,
        speaks_to=frozenset({Server.KAFKA, Server.DATABASE}),
        environment={"VIGIL_PROCESSOR_LANES": "alarm,state,dead"},
        secrets=_DATABASE, members=2, most=6,
    ),
    Process(
        "bulk", "processors", ProcessorSettings, "takes in telemetry, detections and health",
        Place.PLATFORM, 9103, "processors", cpus=1, memory_mb=768,
        speaks_to=frozenset({Server.KAFKA, Server.DATABASE}),
        environment={"VIGIL_PROCESSOR_LANES": "bulk"},
        secrets=_DATABASE, members=2, most=6,
    ),
    Process(
        "api", "api", ApiSettings, "serves the duty console, escalates and notifies", Place.PLATFORM, 9104, "api",
        cpus=1, memory_mb=768, speaks_to=frozenset({Server.DATABASE}), port=8000,
        secrets=(*_DATABASE, "VIGIL_API_SECRET"), members=2, most=8,
    ),
    Process(
        "wal", "deploy.backup wal", BackupSettings, "streams the database's log to the backups",
        Place.PLATFORM, 9106, "", cpus=0.5, memory_mb=256, speaks_to=frozenset({Server.DATABASE}),
        secrets=("VIGIL_BACKUP_DSN",), files={"VIGIL_BACKUP_FOLDER": "/var/lib/vigil/backup"},
    ),
    Process(
        "fallback", "fallback", FallbackSettings, "watches the platform from outside and hands over to people",
        Place.OUTSIDE, 9105, "fallback", cpus=1, memory_mb=384,
        speaks_to=frozenset({Server.MQTT, Server.API}), port=8090,
        environment={"VIGIL_MQTT_USERNAME": "fallback"},
        secrets=(*_BROKER, "VIGIL_FALLBACK_TOKEN", "VIGIL_FALLBACK_ROSTER_TOKEN", "VIGIL_FALLBACK_PASSPHRASE"),
        files={"VIGIL_FALLBACK_STATE": "/var/lib/vigil/watchdog.db"},
    ),
    Process(
        "edge", "edge", EdgeSettings, "watches one place", Place.BOX, 9107, "camera", cpus=2, memory_mb=512,
        speaks_to=frozenset({Server.MQTT}),
        files={"VIGIL_EDGE_SPOOL": "/var/lib/vigil/spool.db", "VIGIL_EDGE_CONFIG": "/etc/vigil/node.yaml"},
    ),
)  # fmt: skip

MIGRATE: Final = Process(
    "migrate", "vigil.store migrate", StoreSettings, "brings the schema up to date, before a new version starts",
    Place.PLATFORM, 0, "processors", cpus=1, memory_mb=256, speaks_to=frozenset({Server.DATABASE}),
    secrets=_DATABASE,
)  # fmt: skip
"""Runs once, as the owner of the schema, and before any of the others."""


def known(process: Process) -> set[str]:
    """Return the environment variables that a process understands."""
    return {f"VIGIL_{name.upper()}" for name in process.settings.model_fields} | {"VIGIL_SECRETS"}


def named(name: str) -> Process:
    """Return a process by its name.

    Raises:
        KeyError: There is none.
    """
    return {process.name: process for process in (*PROCESSES, MIGRATE)}[name]
