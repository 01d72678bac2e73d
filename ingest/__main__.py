"""`python -m ingest`: one member of the group that carries events from MQTT to Kafka.

Alarms have a connection and a producer of their own, so they never queue behind telemetry.
States and births are retained, and retained messages do not come through a shared
subscription, so every member takes those; processing them twice changes nothing.
`python -m ingest replay ...` puts dead letters back instead, and `python -m ingest gaps` says
which events never came.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from ingest.bridge import GATHER_S, Bridge
from ingest.configs import Configs
from ingest.downlink import Downlink
from ingest.inbox import Inbox
from ingest.replay import replay
from ingest.watch import Watch
from vigil import kafka
from vigil.clock import utc_now
from vigil.errors import Stop, Unavailable
from vigil.runtime import retrying, run_until_stopped
from vigil.settings import IngestSettings, load
from vigil.store.gaps import gaps
from vigil.store.pool import ProcessRole, open_pool
from vigil.telemetry import configure_logging, ops_server
from vigil.topics import Kind, every_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.progress import Progress

SHARED = (Kind.EVENT, Kind.TELEMETRY, Kind.HEALTH, Kind.REPLY)
RETAINED = (Kind.STATE, Kind.BIRTH)


def subscriptions(*, shared: bool) -> dict[str, list[str]]:
    """Return what each connection subscribes to.

    Args:
        shared: Whether the members have the messages between them, or each of them all.
    """
    prefix = "$share/ingest/" if shared else ""
    bulk = [prefix + every_node(kind) for kind in SHARED] + [every_node(kind) for kind in RETAINED]
    return {"alarm": [prefix + every_node(Kind.ALARM)], "bulk": bulk}


async def serve(settings: IngestSettings) -> None:
    """Carry messages until told to stop."""
    name = f"ingest-{settings.ingest_member}"
    async with AsyncExitStack() as stack:
        await retrying(lambda: kafka.create_topics(settings))
        incarnation = await retrying(lambda: kafka.incarnation(settings))
        pool = await stack.enter_async_context(
            open_pool(settings.database_dsn, name, 1, timeout_s=5, role=ProcessRole.INGEST)
        )
        downlink = await stack.enter_async_context(Downlink(settings, f"{name}-down"))
        watch = Watch(pool, downlink, incarnation, name, utc_now)
        consumer = await stack.enter_async_context(
            kafka.consumer(settings, name, "ingest-receipts", from_end=True)
        )
        bridges = []
        checks = {"receipts": downlink.trouble}
        progress: dict[str, Progress] = {}
        for lane, topics in subscriptions(shared=settings.ingest_shared).items():
            inbox = Inbox(settings, f"{name}-{lane}", topics, settings.ingest_window)
            producer = await stack.enter_async_context(kafka.producer(settings, f"{name}-{lane}"))
            await stack.enter_async_context(inbox)
            gather_s = 0.0 if lane == "alarm" else GATHER_S
            bridges.append(Bridge(inbox, producer, watch.registry, utc_now, gather_s=gather_s))
            checks[f"mqtt_{lane}"] = inbox.trouble
            progress[lane] = bridges[-1].work
        stack.enter_context(ops_server(settings.ops_host, settings.ops_port, checks, progress))
        structlog.get_logger().info("ingest is up", member=settings.ingest_member, kafka=incarnation)
        await run_until_stopped(
            *(bridge.run() for bridge in bridges),
            downlink.pass_receipts(consumer),
            watch.follow_log(lambda: kafka.incarnation(settings)),
            watch.follow_gaps(),
            Configs(pool, downlink, utc_now).run(),
            watch.run(lambda: {"carried": sum(bridge.carried for bridge in bridges)}),
        )


async def list_gaps(settings: IngestSettings) -> None:
    """Print what is missing, a line of JSON for each range of sequence numbers."""
    looking = open_pool(settings.database_dsn, "gaps", 1, role=ProcessRole.INGEST)
    async with looking as pool, pool.connection() as connection:
        for gap in await gaps(connection):
            print(json.dumps(asdict(gap)))


async def run(settings: IngestSettings, arguments: Sequence[str]) -> None:
    """Do what the command line asks for.

    Raises:
        Stop: It asks for something else.
    """
    match arguments:
        case []:
            await serve(settings)
        case ["gaps"]:
            await list_gaps(settings)
        case ["replay", *wanted]:
            print(json.dumps(await replay(settings, wanted, utc_now)))
        case _:
            raise Stop(f"there is no {' '.join(arguments)!r}; there are `replay` and `gaps`")


def main() -> int:
    """Run the process; an error that ends it is one line."""
    try:
        settings = load(IngestSettings)
        configure_logging("ingest", settings.log_format, settings.log_level)
        asyncio.run(run(settings, sys.argv[1:]))
    except (Stop, Unavailable) as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
