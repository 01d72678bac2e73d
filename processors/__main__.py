"""`python -m processors`: one member of the group that turns events into detections and alerts.

Pipelines with consumers and connections of their own, so that alarms never queue: alarms; the
other events; states and births; dead letters.  A process runs all of them or those it is told to.
Beside the alarms tickers for what was told to wait and for homes that are silent; beside all a sign
of life, and a look whether Kafka's log is still the same.
`python -m processors train falls ...` trains the models instead; `detectors`, `allow`, `shadow` and
`missed` are for people who answer for detectors (`processors.commands`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from processors import commands, loading
from processors.drift import DriftTicker, Watch
from processors.homes import HomeTicker
from processors.intake import DeadHandler, EventHandler, StateHandler
from processors.pipeline import Pipeline
from processors.ticker import Ticker
from vigil import kafka, topics
from vigil.clock import utc_now
from vigil.errors import Unavailable, VigilError
from vigil.registry import Registry
from vigil.runtime import retrying, run_until_stopped, together, watch_lag
from vigil.settings import ProcessorSettings, StoreSettings, load
from vigil.store import heartbeats
from vigil.store.pool import Pool, ProcessRole, open_pool
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from aiokafka import AIOKafkaConsumer

    from processors.intake import Handler

BEAT_S = 5.0
ALARM_HANDS = 2
"""Batches of alarms under way at once: while the one waits for the database the other is computed, and
an alarm waits for another box's batch half as often.  Readings have one: two would be smaller batches."""
ALARM_BATCH = 500
"""Most records in a batch of alarms: a larger one would keep the next for long, and gains nothing."""
BEHIND = 10
"""How far a process that takes no alarms steps back from those that do, in the kernel's eyes: a batch of
readings is work for tens of milliseconds, and whoever carries an alarm should not wait for its turn."""
_log = structlog.get_logger(__name__)


async def serve(settings: ProcessorSettings) -> None:
    """Take events in until told to stop."""
    name = f"processors-{socket.gethostname()}-{os.getpid()}"
    watch = Watch({})
    scorer = loading.scorer(watch, settings.candidate_models)
    lanes: dict[str, tuple[Handler, list[str]]] = {
        "alarm": (EventHandler(Registry(), scorer), [topics.ALARM]),
        "bulk": (EventHandler(Registry(), scorer), [topics.EVENT, topics.TELEMETRY, topics.HEALTH]),
        "state": (StateHandler(), [topics.STATE]),
        "dead": (DeadHandler(Registry()), [topics.DEAD]),
    }
    handlers = {lane: lanes[lane] for lane in settings.processor_lanes.split(",")}
    if "alarm" not in handlers:
        os.nice(BEHIND)
    await retrying(lambda: kafka.create_topics(settings))
    async with AsyncExitStack() as stack:
        producer, ticking, *ends = await stack.enter_async_context(_opened(settings, name, list(handlers)))
        pipelines = {
            lane: _pipeline(settings, lane, consumer, producer, pool, handler, subscribed)
            for (lane, (handler, subscribed)), consumer, pool in zip(
                handlers.items(), ends[::2], ends[1::2], strict=True
            )
        }
        checks = {lane: pipeline.trouble for lane, pipeline in pipelines.items()}
        progress = {lane: pipeline.work for lane, pipeline in pipelines.items()}
        stack.enter_context(ops_server(settings.ops_host, settings.ops_port, checks, progress))
        _log.info("processors are up", name=name)
        await run_until_stopped(
            *(pipeline.run(handlers[lane][1]) for lane, pipeline in pipelines.items()),
            *(_tickers(ticking) if "alarm" in handlers else ()),
            DriftTicker(ticking, watch, utc_now).run(),
            _beat(ticking, name, list(pipelines.values())),
            _watch_log(
                settings, [(pipelines[lane], subscribed) for lane, (_, subscribed) in handlers.items()]
            ),
            watch_lag(),
        )


def _tickers(pool: Pool) -> Sequence[Coroutine[Any, Any, None]]:
    """Return what raises alarms that no event brings."""
    return (Ticker(pool, utc_now).run(), HomeTicker(pool, Registry(), utc_now).run())


def _opened(
    settings: ProcessorSettings, name: str, lanes: Sequence[str]
) -> AbstractAsyncContextManager[list[Any]]:
    """Open what waits for others: the producer, the tickers' pool, and of each lane a consumer and a pool.

    Together, since each may take its whole time to part where its server stands still.
    """
    consumers = [
        kafka.consumer(
            settings, f"{name}-{lane}", f"{settings.processor_group}-{lane}", gather=lane == "bulk"
        )
        for lane in lanes
    ]
    ticking, *pools = [
        open_pool(settings.database_dsn, purpose, 1 + ALARM_HANDS, role=ProcessRole.PROCESSORS)
        for purpose in ("ticker", *lanes)
    ]
    ends = [end for lane in zip(consumers, pools, strict=True) for end in lane]
    return together(kafka.producer(settings, name), ticking, *ends)


def _pipeline(
    settings: ProcessorSettings,
    lane: str,
    consumer: AIOKafkaConsumer,
    producer: kafka.Producer,
    pool: Pool,
    handler: Handler,
    subscribed: Sequence[str],
) -> Pipeline:
    return Pipeline(
        lane,
        consumer,
        producer,
        pool,
        handler,
        lambda: kafka.incarnation(settings, subscribed),
        utc_now,
        batch=min(settings.batch_events, ALARM_BATCH) if lane == "alarm" else settings.batch_events,
        stall_s=settings.stall_s,
        hands=ALARM_HANDS if lane == "alarm" else 1,
    )


async def _beat(pool: Pool, name: str, pipelines: Sequence[Pipeline]) -> None:
    """Give a sign of life, with progress, for as long as the database takes it."""
    while True:
        progress = {pipeline.name: pipeline.progress.records for pipeline in pipelines}
        try:
            async with pool.connection() as connection:
                await heartbeats.beat(connection, name, utc_now(), progress)
        except Unavailable as error:
            _log.warning("no sign of life", error=str(error))
        await asyncio.sleep(BEAT_S)


async def _watch_log(
    settings: ProcessorSettings, pipelines: Sequence[tuple[Pipeline, Sequence[str]]]
) -> None:
    """Have every partition claimed anew when Kafka's log has been replaced by another one."""
    while True:
        for pipeline, subscribed in pipelines:
            try:
                pipeline.follow_log(await kafka.incarnation(settings, subscribed))
            except Unavailable as error:
                _log.warning("kafka does not answer", pipeline=pipeline.name, error=str(error))
        await asyncio.sleep(BEAT_S)


def main() -> int:
    """Run the process, or the command named; an error that ends it is one line."""
    if sys.argv[1:3] == ["train", "falls"]:
        from processors.falls import train  # noqa: PLC0415 - needs packages that serving does not

        train.main(sys.argv[3:])
        return 0
    try:
        if sys.argv[1:2] and sys.argv[1] in commands.COMMANDS:
            wanted = commands.parse(sys.argv[1:])
            print("\n".join(asyncio.run(commands.run(wanted, load(StoreSettings), utc_now()))))
            return 0
        settings = load(ProcessorSettings)
        configure_logging("processors", settings.log_format, settings.log_level)
        asyncio.run(serve(settings))
    except VigilError as error:
        print(f"processors: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
