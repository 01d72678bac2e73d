"""What the drill breaks, and how it is put right again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.drill.running import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.drill.running import Running


@dataclass(frozen=True)
class Fault:
    """One thing that breaks."""

    name: str
    break_: Callable[[Running], None]
    repair: Callable[[Running], None]


def _killed(name: str) -> Fault:
    return Fault(name, lambda running: running.end(name), lambda running: running.start(name))


def _server(name: str, part: str) -> Fault:
    return Fault(
        name,
        lambda running: getattr(running.stack, part).kill(),
        lambda running: getattr(running.stack, part).start(),
    )


def _frozen(running: Running, how: signal.Signals) -> None:
    """Stop the servers without ending them: packets vanish, as on a network that is cut."""
    for server in (running.stack.broker, running.stack.kafka, running.stack.postgres):
        if server.pid is not None:
            _signal_tree(server.pid, how)


def _signal_tree(pid: int, how: signal.Signals) -> None:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 - not a path of ours
        children = [int(child) for child in file.read().split()]
    for child in children:
        _signal_tree(child, how)
    os.kill(pid, how)


def _host_down(running: Running) -> None:
    for name in PLATFORM:
        running.end(name)
    for server in (running.stack.broker, running.stack.kafka, running.stack.postgres):
        server.kill()


def _host_up(running: Running) -> None:
    running.stack.start()
    for name in PLATFORM:
        running.start(name)


def _disk(running: Running, *, full: bool) -> None:
    """Let the database refuse every write, as it does when its disk is full."""
    running.sql(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if full else 'off'}", superuser=True)
    running.sql("SELECT pg_reload_conf()", superuser=True)


FAULTS = (
    _killed("processors"),
    _server("mqtt", "broker"),
    Fault("host", _host_down, _host_up),
    _killed("ingest"),
    _killed("api"),
    _server("kafka", "kafka"),
    _server("postgres", "postgres"),
    Fault("network", lambda r: _frozen(r, signal.SIGSTOP), lambda r: _frozen(r, signal.SIGCONT)),
    Fault("disk", lambda r: _disk(r, full=True), lambda r: _disk(r, full=False)),
)
"""The first three are the short form."""
