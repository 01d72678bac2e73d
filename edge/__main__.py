"""`python -m edge`: one node, from its sources to the broker.

Sources put readings into the intake, the intake makes them durable in the spool, the
publisher sends them and lets them go when the platform has them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from random import Random

import structlog

from edge.box import Box
from edge.timesync import TimeKeeper, kernel_clock, machine_start
from vigil.clock import utc_now
from vigil.errors import Stop
from vigil.settings import EdgeSettings, load
from vigil.telemetry import configure_logging, ops_server

_log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    try:
        settings = load(EdgeSettings)
        configure_logging("edge", settings.log_format, settings.log_level)
        asyncio.run(serve(settings))
    except Stop as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(settings: EdgeSettings) -> None:
    """Run one node until the process is told to end."""
    clock = TimeKeeper(utc_now, _since_start, machine_start(), kernel_clock)
    box = Box(settings, clock.now, utc_now, Random(os.urandom(8)))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with ops_server(settings.ops_host, settings.ops_port, box.checks()) as port:
        _log.info("edge begins", node=box.node.node, boot=box.spool.boot, ops_port=port)
        await box.run(stopping)
    _log.info("edge ends")


def _since_start() -> float:
    """Return seconds since the machine started, its sleep included."""
    with suppress(AttributeError):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
