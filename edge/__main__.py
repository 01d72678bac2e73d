"""`python -m edge`: one node, from its sources to the broker.

Sources put readings into the intake, the intake makes them durable in the spool, the
publisher sends them and lets them go when the platform has them.

`python -m edge doctor` says what is wrong; `claim` and `renew` get the box's certificate;
`fetch-pose` fetches the cameras' pose model.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import structlog

from edge.box import Box
from edge.notify import Notify
from edge.timesync import TimeKeeper, kernel_clock, machine_start
from vigil.clock import utc_now
from vigil.errors import Stop, VigilError
from vigil.settings import EdgeSettings, load
from vigil.telemetry import configure_logging, ops_server

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = structlog.get_logger(__name__)


COMMANDS = "run (what it does without a word), doctor, claim, renew, fetch-pose"


def main(arguments: Sequence[str]) -> int:
    """Carry out a command; return the exit status."""
    command, *rest = arguments or ["run"]
    try:
        match command:
            case "run":
                return run()
            case "doctor":
                return diagnose()
            case "claim" | "renew":
                return provision(command, rest)
            case "fetch-pose":
                return fetch_pose(rest)
    except Stop as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    print(f"edge: there is no {command}; the commands are {COMMANDS}", file=sys.stderr)
    return 2


def run() -> int:
    """Run one node until SIGTERM or SIGINT."""
    settings = load(EdgeSettings)
    configure_logging("edge", settings.log_format, settings.log_level)
    asyncio.run(serve(settings))
    return 0


def diagnose() -> int:
    """Print what is well and what is wrong; return 1 if something is."""
    # Imported here, as below: a running box does not carry what only the installer needs.
    from edge import doctor  # noqa: PLC0415

    findings = list(doctor.examine(load(EdgeSettings), _clocks().now()))
    print(doctor.told(findings))
    return 0 if all(finding.well for finding in findings) else 1


def provision(command: str, arguments: Sequence[str]) -> int:
    """Get this box's certificate, or its next one."""
    from edge import claim  # noqa: PLC0415 - cryptography is nothing for a box that runs

    try:
        print(claim.carry_out(command, arguments, utc_now()))
    except VigilError as error:
        raise Stop(str(error)) from None
    return 0


def fetch_pose(arguments: Sequence[str]) -> int:
    """Fetch the cameras' pose model."""
    from edge import fetch  # noqa: PLC0415

    return fetch.main(arguments)


async def serve(settings: EdgeSettings) -> None:
    """Run one node until the process is told to end."""
    box = Box(settings, _clocks().now, utc_now, Random(os.urandom(8)), Notify(os.environ))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with ops_server(settings.ops_host, settings.ops_port, box.checks()) as port:
        _log.info("edge begins", node=box.node.node, boot=box.spool.boot, ops_port=port)
        await box.run(stopping)
    _log.info("edge ends")


def _clocks() -> TimeKeeper:
    return TimeKeeper(utc_now, _since_start, machine_start(), kernel_clock)


def _since_start() -> float:
    """Return seconds since the machine started, its sleep included."""
    with suppress(AttributeError):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
