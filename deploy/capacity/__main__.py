"""`python -m deploy.capacity`: write docs/capacity.md from what `make bench` said last; a test compares.

`make bench | tail -1 > deploy/capacity/bench.json` takes in another machine's figures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.capacity.model import (
    COMPRESSED_AFTER,
    KEPT_DAYS,
    MEASURED_CORES_SHARE,
    ROWS,
    Assumed,
    Measured,
    Need,
    a_shard,
    kept_gb,
    need,
    shard_events_s,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FIGURES: Final = Path(__file__).with_name("bench.json")
DOCUMENT: Final = Path(__file__).parents[2] / "docs/capacity.md"
SIZES: Final = (1, 10, 100, 1000)

_WHAT_TO_DO: Final = """
## What breaks first, and what to do

In the order in which a growing shard meets them; each has its alert and runbook (docs/runbooks).

| sign | what it is | what to do |
|---|---|---|
| base backups take longer, the disk fills | the database's rows | shorten `retention` of telemetry and health (rows of the table, no deployment); larger disks; a second shard, to which whole communities move |
| lag of `vigil.telemetry.v1` that does not go back | one process of bulk is at its core | another member: up to one for each of the 6 partitions; past that more partitions (at a new topic, since keys move) |
| alarms wait for alarms | one database raises alerts under one lock, a few ms each | another shard: alerts of communities never meet |
| the broker drops, or accepts slowly | connections and offline queues | EMQX in mosquitto's place (an address and a protocol), or another shard |
| a board is slow to follow | sessions of officers on one api | another member of api: each reads the changes itself |

**Sharding is by community.** Topics, Kafka's keys, registry and row-level security all begin with it, and no event, alert or
duty joins two communities, so a shard shares nothing with another: broker, Kafka (the topics' names are fixed) and database
are its own. A street's centre sees the communities of one shard; put a street's into the same. Moving a community is not a
command: register it in the new shard, point its boxes at the new broker (their spools bridge the gap), and keep the old
shard for its history until retention has emptied it.

## What this is not

An extrapolation from one machine. Rates grow by addition of shards that share nothing, which is why it is linear; a shard
beyond one machine (three brokers on three hosts, networks between) was not measured, nor a broker with 10,000 connections,
nor TimescaleDB's compression on a native server (in WebAssembly its sizes are its own and its times are not).
`python -m tests.load` plays up to 100,000 devices at a site's own installation (docs/howto/load.md): believe that.
"""


def read(text: str) -> Measured:
    """Read the last line of `make bench`.

    Raises:
        ValueError: A figure that growth rests on is missing or was not measured.
    """
    said: Mapping[str, Any] = json.loads(text)
    lacking = [field.name for field in fields(Measured) if said.get(field.name) is None]
    if lacking:
        raise ValueError(f"make bench did not measure {', '.join(lacking)}")
    return Measured(**{field.name: said[field.name] for field in fields(Measured)})


def render(measured: Measured, assumed: Assumed) -> str:
    """Return the document."""
    needs = [need(size, measured, assumed) for size in SIZES]
    return "\n".join([_head(measured, assumed), *_table(needs), "", *_loads(needs), _WHAT_TO_DO.rstrip(), ""])


def _head(measured: Measured, assumed: Assumed) -> str:
    form = "the short form" if measured.quick else "the full form"
    return f"""# What growth takes

Written by `python -m deploy.capacity` from what `make bench` measured (`deploy/capacity/bench.json`) and from assumptions
that stand here by name; a test compares.

**Measured**, {form}, {measured.cores} cores for everything, Apache Kafka, PostgreSQL with fsync, mosquitto:
{measured.whole_way_events_s:,.0f} readings a second from the broker into the database; an event of one of 100,000 devices
costs {measured.cpu_100k_vs_100} times that of one of 100; {measured.state_mb_per_10k} MB for 10,000 devices; a backlog goes
{measured.drain_vs_live:g} times as fast as 1,000 a second. (The figures of several runs: docs/measurements.md.)

**Assumed**, a community: {assumed.residents:,} residents, {assumed.devices:,} devices at {assumed.nodes} boxes, a peak of
{assumed.peak:g} times the mean. {_rows()} A broker of Kafka takes {assumed.broker_mb_s:g} MB/s and keeps {assumed.kafka_days} days
in {assumed.replicas} copies; a database node holds {assumed.database_gb:g} GB (more does not come back within 15 minutes at
280 MB/s) and has one that stands by; mosquitto holds {assumed.connections:,} boxes. Retention as shipped:
{", ".join(f"{lane} {days} days" for lane, days in KEPT_DAYS.items())}; compressed after {COMPRESSED_AFTER}. Prices: a core
{assumed.core_month:g}, a GB of memory {assumed.gb_month:g}, a TB of disk {assumed.tb_month:g} CNY a month; hardware alone,
without boxes, devices, messages and people.

**A shard** is one installation. It is given {MEASURED_CORES_SHARE:.0%} of what was measured at its peak
({shard_events_s(measured):,.0f} events/s), and takes {a_shard(measured, assumed)} communities of {kept_gb():.1f} GB kept each.
"""


def _rows() -> str:
    said = [
        f"{lane} {row.per_device_day:g} a day of {row.devices:,} devices, {row.raw:,} and compressed {row.compressed:,} bytes"
        for lane, row in ROWS.items()
    ]
    return f"Rows: {'; '.join(said)}."


def _table(needs: list[Need]) -> list[str]:
    lines = {
        "events/s, mean": [f"{n.events_s:,.0f}" for n in needs],
        "events/s, peak": [f"{n.peak_s:,.0f}" for n in needs],
        "shards": [f"{n.shards:,}" for n in needs],
        "processes (a watchdog for each community among them)": [f"{n.processes:,}" for n in needs],
        "Kafka's partitions": [f"{n.partitions:,}" for n in needs],
        "Kafka's brokers": [f"{n.brokers:,}" for n in needs],
        "database nodes": [f"{n.databases:,}" for n in needs],
        "rows of a year, before compression, TB": [f"{n.raw_tb:,.2f}" for n in needs],
        "rows of a year, after compression, TB": [f"{n.packed_tb:,.2f}" for n in needs],
        "kept at any time under retention, one copy, TB": [f"{n.kept_tb:,.2f}" for n in needs],
        "cost of a resident and year, CNY": [f"{n.cost:,.2f}" for n in needs],
        "what breaks first": [n.first for n in needs],
    }
    return _lines("communities", [f"{n.communities:,}" for n in needs], lines)


def _loads(needs: list[Need]) -> list[str]:
    lines = {part: [f"{n.load[part]:.0%}" for n in needs] for part in needs[0].load}
    return [
        "How full a shard is at its peak:",
        "",
        *_lines("communities", [f"{n.communities:,}" for n in needs], lines),
    ]


def _lines(title: str, heads: list[str], lines: Mapping[str, list[str]]) -> list[str]:
    body = [f"| {name} | {' | '.join(values)} |" for name, values in lines.items()]
    return [f"| {title} | {' | '.join(heads)} |", "|---|" + "---|" * len(heads), *body]


def main() -> int:
    """Write the document."""
    DOCUMENT.write_text(render(read(FIGURES.read_text(encoding="utf-8")), Assumed()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
