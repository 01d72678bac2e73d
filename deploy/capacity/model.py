"""What 1 to 1,000 communities need, by what was measured on two cores; pure.

Place in the flow: `deploy.capacity.__main__` reads the last line of `make bench` and writes the
answer down.  A *shard* is one installation (broker, Kafka, database, processes) for as many
communities as half of what was measured carries at their peak; a community lies in exactly one.
Everything that was not measured is in `Assumed`, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from vigil.kafka import PARTITIONS
from vigil.topics import KAFKA_TOPICS

DAY_S: Final = 86_400
YEAR_S: Final = 365 * DAY_S
MEASURED_CORES_SHARE: Final = 0.5
"""Of what was measured, at the peak: the other half catches up after an outage while life goes on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of `make bench` that growth rests on (keys of its last line).

    Attributes:
        whole_way_events_s: Readings from the broker into the database; everything on `cores`.
        cpu_100k_vs_100: What an event of one of 100,000 devices costs, against one of 100.
        state_mb_per_10k: Memory of those that decide, for 10,000 devices, in MB.
        drain_vs_live: How much faster than 1,000 events a second a backlog goes.
        cores: Of the machine.
        quick: Whether it was the short form.
    """

    whole_way_events_s: float
    cpu_100k_vs_100: float
    state_mb_per_10k: float
    drain_vs_live: float
    cores: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A lane's rows: how often, and their bytes with indexes (docs/measurements.md, Store)."""

    per_device_day: float
    devices: int
    raw: int
    compressed: int

    @property
    def per_s(self) -> float:
        """Rows a second of one community, over a day."""
        return self.per_device_day * self.devices / DAY_S


@dataclass(frozen=True, slots=True)
class Assumed:
    """What was not measured here; a site puts its own in.

    Attributes:
        residents: Of a community (the study's).
        devices: Sensors, wearables and cameras of a community.
        nodes: Boxes of a community: MQTT connections.
        peak: Of the day's mean: mornings, and boxes that come back together.
        event_bytes: On the wire, as the bridge was measured with.
        broker_mb_s: What one Kafka broker takes in with its copies, far below what vendors state.
        replicas: Copies of the log (3) and of the database (2: one stands by).
        kafka_days: How long the log keeps (14; pitfall 19).
        connections: What one mosquitto holds without care.
        database_gb: What one database node holds and still comes back within 15 min from a backup at 280 MB/s.
        core_month, gb_month, tb_month: Prices in CNY of a core, a GB of memory and a TB of disk.
    """

    residents: int = 9_000
    devices: int = 8_200
    nodes: int = 300
    peak: float = 3.0
    event_bytes: int = 440
    broker_mb_s: float = 20.0
    replicas: int = 3
    database_copies: int = 2
    kafka_days: int = 14
    connections: int = 10_000
    database_gb: float = 250.0
    core_month: float = 60.0
    gb_month: float = 15.0
    tb_month: float = 200.0


ROWS: Final = {
    "telemetry": Row(1_440, 2_000, 670, 134),
    "event": Row(100, 6_000, 285, 32),
    "alarm": Row(20, 2_000, 2_105, 1_737),
    "health": Row(288, 8_200, 285, 32),
}
"""A wearable's batch a minute, a sensor's hundred changes a day, twenty windows of a wearable, and each
device's health every five minutes.  Health's rows were not measured: as large as a sensor's."""
KEPT_DAYS: Final = {"telemetry": 30, "event": 90, "alarm": 90, "health": 30}
"""As the table `retention` has it (docs/reference/schema.md)."""
COMPRESSED_AFTER: Final = 7
"""Days; what is younger lies there as it came."""
MEMBERS: Final = {"ingest": 2, "alarms": 2, "bulk": 2, "api": 2}
"""Processes of a shard that events go through: two of each, so that one may go."""
CORES_OF_SERVERS: Final = 6
"""Of a shard, beside the processes: broker, Kafka's three and the database's two, a core each."""
MEMORY_GB: Final = 24.0
"""Of a shard: the machine that was measured on; its registry comes on top."""


@dataclass(frozen=True, slots=True)
class Need:
    """What so many communities need.

    Attributes:
        events_s: Over a day; `peak_s` at its peak.
        shards: Installations.
        processes: Ingest, processors, api of all shards, and a watchdog for each community.
        partitions: Of all topics of all shards; `brokers` Kafka's.
        databases: Nodes, with those that stand by.
        raw_tb, packed_tb: Rows of a year before and after compression, one copy.
        kept_tb: What retention leaves lying, one copy.
        cost: CNY a resident and year.
        load: Of each part of the fullest shard, the share of what it carries.
    """

    communities: int
    events_s: float
    peak_s: float
    shards: int
    processes: int
    partitions: int
    brokers: int
    databases: int
    raw_tb: float
    packed_tb: float
    kept_tb: float
    cost: float
    load: dict[str, float]

    @property
    def first(self) -> str:
        """What breaks first."""
        return max(self.load, key=lambda part: self.load[part])


def shard_events_s(measured: Measured) -> float:
    """Return what one shard is given at its peak: half of what was measured, as many devices cost."""
    return measured.whole_way_events_s / measured.cpu_100k_vs_100 * MEASURED_CORES_SHARE


def a_year_tb(*, packed: bool) -> float:
    """Return the rows of one community and year in TB, before or after compression."""
    return sum(row.per_s * YEAR_S * (row.compressed if packed else row.raw) for row in ROWS.values()) / 1e12


def kept_gb() -> float:
    """Return what retention leaves of one community in GB: a week as it came, the rest compressed."""
    return sum(
        row.per_s * DAY_S * (row.raw * COMPRESSED_AFTER + row.compressed * (KEPT_DAYS[lane] - COMPRESSED_AFTER))
        for lane, row in ROWS.items()
    ) / 1e9  # fmt: skip


def a_shard(measured: Measured, assumed: Assumed) -> int:
    """Return how many communities one shard takes: the scarcest part decides, one at least."""
    one = shard_load(measured, assumed, 1)
    return max(1, int(1 / max(one.values())))


def shard_load(measured: Measured, assumed: Assumed, communities: int) -> dict[str, float]:
    """Return each part's share of what it carries, in a shard of so many communities."""
    events_s = sum(row.per_s for row in ROWS.values()) * communities
    peak_s = events_s * assumed.peak
    log_mb_s = peak_s * assumed.event_bytes / 1e6
    return {
        "the whole way's processor time": peak_s / shard_events_s(measured),
        "the database's disk and its way back": kept_gb() * communities / assumed.database_gb,
        "Kafka's brokers": log_mb_s / assumed.broker_mb_s,
        "the broker's connections": assumed.nodes * communities / assumed.connections,
    }


def need(communities: int, measured: Measured, assumed: Assumed) -> Need:
    """Return what so many communities need."""
    events_s = sum(row.per_s for row in ROWS.values()) * communities
    each = a_shard(measured, assumed)
    shards = ceil(communities / each)
    kept = kept_gb() * communities / 1e3
    brokers = assumed.replicas * shards
    return Need(
        communities=communities,
        events_s=events_s,
        peak_s=events_s * assumed.peak,
        shards=shards,
        processes=sum(MEMBERS.values()) * shards + communities,
        partitions=PARTITIONS * len(KAFKA_TOPICS) * shards,
        brokers=brokers,
        databases=assumed.database_copies * shards,
        raw_tb=a_year_tb(packed=False) * communities,
        packed_tb=a_year_tb(packed=True) * communities,
        kept_tb=kept,
        cost=_cost(communities, shards, events_s, kept, measured, assumed),
        load=shard_load(measured, assumed, min(each, communities)),
    )


def _cost(
    communities: int, shards: int, events_s: float, kept_tb: float, measured: Measured, assumed: Assumed
) -> float:
    """Return CNY a resident and year: cores, memory and disk at the assumed prices, nobody's work."""
    cores = shards * (CORES_OF_SERVERS + sum(MEMBERS.values())) + communities
    registry_gb = assumed.devices * communities / 10_000 * measured.state_mb_per_10k / 1e3
    log_tb = events_s * assumed.event_bytes * assumed.kafka_days * DAY_S * assumed.replicas / 1e12
    disk_tb = kept_tb * assumed.database_copies + log_tb
    month = (
        cores * assumed.core_month
        + (shards * MEMORY_GB + registry_gb + communities) * assumed.gb_month
        + disk_tb * assumed.tb_month
    )
    return month * 12 / (communities * assumed.residents)
