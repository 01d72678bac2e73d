"""`python -m deploy.check`: say of a running installation what is well, what is not, and what helps.

Place in the flow: after an installation and after every change of it, by whoever made it; the settings
are those of the processes (docs/howto/check.md).  Ends with 1 if anything is wrong.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from deploy.check import judge, look
from deploy.check.judge import Finding, absent
from edge.timesync import kernel_clock
from vigil.clock import utc_now
from vigil.errors import Stop, Unavailable
from vigil.settings import CheckSettings, load
from vigil.store.visit import visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vigil.clock import Clock

BROKER: Final = "is mosquitto running, and is VIGIL_MQTT_HOST its host?"


def broker(settings: CheckSettings, now: Clock) -> Iterator[Finding]:
    """Look at the broker: strangers, the access list, and the boxes' door."""
    try:
        yield judge.strangers(look.anonymous(settings))
        yield judge.access(came_back=look.denied_topic_comes_back(settings, settings.check_community))
    except Unavailable as error:
        yield absent("the MQTT broker", error, BROKER)
    if settings.check_boxes and settings.check_boxes_ca is not None:
        yield from _door(settings, settings.check_boxes_ca, now)


def _door(settings: CheckSettings, ca: Path, now: Clock) -> Iterator[Finding]:
    host, _, port = settings.check_boxes.rpartition(":")
    try:
        ends = look.certificate_ends(host, int(port), ca)
        bare = look.comes_in_without_certificate(settings, host, int(port), ca)
        yield from judge.boxes_door(without_certificate=bare, ends=ends, now=now())
    except (Unavailable, OSError) as error:
        yield absent(
            "the boxes' listener", error, "is boxes.conf appended, and VIGIL_CHECK_BOXES_CA its authority?"
        )


async def log(settings: CheckSettings) -> list[Finding]:
    """Look at Kafka: topics, copies, retention."""
    try:
        found, kept = await look.copies(settings)
    except Unavailable as error:
        return [
            absent("Kafka", error, "is it running, and is VIGIL_KAFKA_BOOTSTRAP an address it advertises?")
        ]
    return [*judge.topics(found, settings.check_replicas), judge.retention(kept)]


async def database(settings: CheckSettings, now: Clock) -> list[Finding]:
    """Look at PostgreSQL: who we are there, its clock, schema, extension, retention, policies."""
    before = now()
    try:
        found, theirs = await visit(settings.database_dsn, now)
    except Unavailable as error:
        return [
            absent("PostgreSQL", error, "is it running, and does VIGIL_DATABASE_DSN name the schema's owner?")
        ]
    clock = judge.clocks("PostgreSQL", theirs, before, now())
    remedy = "python -m vigil.store check says it again; docs/reference/schema.md"
    return [clock, *(Finding(f.good, f.says, "" if f.good else remedy) for f in found)]


def processes(settings: CheckSettings, now: Clock) -> Iterator[Finding]:
    """Look at each process; of the watchdog and the backups also at what they measure."""
    for item in filter(None, settings.check_processes.split(",")):
        name, _, address = item.strip().partition("=")
        try:
            yield judge.ready(name, look.readiness(address))
            if name == "fallback":
                yield from _watchdog(address, settings.check_canary_s, now)
            if name == "wal":
                yield from judge.backups(look.page(address, "/metrics"), now())
        except Unavailable as error:
            yield absent(name, error, f"systemctl status vigil-{name}: its last line names what it lacks")


def _watchdog(address: str, wait_s: float, now: Clock) -> Iterator[Finding]:
    before, began = look.page(address, "/metrics"), time.monotonic()
    while True:
        time.sleep(1)
        after, waited_s = look.page(address, "/metrics"), time.monotonic() - began
        canary = judge.canaries(before, after, waited_s)
        if canary.good or waited_s >= wait_s:
            break
    yield from (canary, judge.modes(after), judge.papers(after, now()))


def everything(settings: CheckSettings, now: Clock) -> Iterator[Finding]:
    """Look at everything, servers first: what they lack explains the processes."""
    yield judge.own_clock(synchronised=kernel_clock().synced)
    yield from broker(settings, now)
    yield from asyncio.run(log(settings))
    yield from asyncio.run(database(settings, now))
    yield from processes(settings, now)


def main() -> int:
    """Say it line by line; return 1 if anything is wrong, 2 if it could not be looked."""
    wrong = 0
    try:
        for finding in everything(load(CheckSettings), utc_now):
            wrong += not finding.good
            for line in judge.told([finding]):
                print(line, flush=True)
    except Stop as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{wrong or 'nothing'} to put right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
