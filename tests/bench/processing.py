"""Keyed processors with the same detector and the same duty: ours, Quix Streams, Bytewax; each on one core.

The duty: whatever is read from Kafka is kept in PostgreSQL, once, however often it is read: the
event, what the model made of it, the alert that follows; what is known of each resident survives a
restart; an event that is sent again is decided once, and its sender is told up to which number all is
stored.  Ours has it in one transaction with the place in the log; the peers by idempotent sinks and
state stores of their own (decisions 0006 and 0045).  Quix decides once only what its broker sends once,
and tells nobody.  What Bytewax does when nothing has to be kept is shown beside it, as `bytewax-unkept`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.servers import free_port
from tests.bench.environments import python_of
from tests.bench.load import messages
from tests.bench.peers import accounting
from tests.bench.processes import CORES, ROOT, BenchError, Child, Took, python, wait_for
from tests.bench.servers import register
from vigil import kafka, topics
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.servers import Servers

DEVICES = 1000
WINDOWS = "bench.windows"


def measure(servers: Servers, count: int, rounds: int) -> dict[str, list[Took]]:
    """Return what each round took, by contender; one that cannot be had is absent."""
    register(servers, DEVICES)
    servers.run(_topics(servers))
    _tables(servers)
    children: dict[str, tuple[Child, Callable[[], int]]] = {}
    with ExitStack() as stack:
        for name, argv, env in _commands(servers):
            child = Child(argv, servers.folder / f"log/processor-{name}.log", env, core=CORES[-1])
            stack.callback(child.stop)
            progress = (lambda: servers.taken_in(topics.ALARM)) if name == "ours" else _progress(child)
            children[name] = (child, progress)
        took: dict[str, list[Took]] = {name: [] for name in children}
        _pass(servers, children, count, 0)  # warms up: partitions assigned, code and models loaded
        for number in range(1, rounds + 1):
            for name, one in _pass(servers, children, count, number).items():
                took[name].append(one)
    return took


async def _topics(servers: Servers) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, kafka.PARTITIONS, 1) for name in (WINDOWS, accounting.TOPIC)])
    await admin.close()


def _tables(servers: Servers) -> None:
    """Give the peers tables of their own with the same columns, keys and indexes."""
    for peer in ("quix", "bytewax"):
        servers.query(f"CREATE SCHEMA {peer}")
        for table in ("event", "detection", "alert"):
            servers.query(f"CREATE TABLE {peer}.{table} (LIKE {table} INCLUDING ALL)")


def _commands(servers: Servers) -> list[tuple[str, list[str], dict[str, str]]]:
    """Return how each contender that can be had is started."""
    found = [("ours", python("processors"), {**servers.environment, "VIGIL_OPS_PORT": str(free_port())})]
    quix = [servers.bootstrap, _empty(servers, "quix"), servers.dsn]
    peers: dict[str, tuple[str, Callable[[str], list[str]], dict[str, str]]] = {
        "quix": ("quix", lambda _: ["-m", "tests.bench.peers.quix", *quix], {}),
        "bytewax": ("bytewax", _recoverable(servers, "bytewax"), {"BENCH_DSN": servers.dsn}),
        "bytewax-unkept": ("bytewax", _recoverable(servers, "bytewax-unkept"), {}),
    }
    for name, (environment, arguments, more) in peers.items():
        try:
            interpreter = python_of(environment)
        except BenchError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        here = {"PYTHONPATH": str(ROOT), "BENCH_KAFKA": servers.bootstrap, **more}
        found.append((name, [interpreter, *arguments(interpreter)], here))
    return found


def _empty(servers: Servers, name: str) -> str:
    """Return an empty folder for a peer's state."""
    folder = servers.folder / f"state-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return str(folder)


def _recoverable(servers: Servers, name: str) -> Callable[[str], list[str]]:
    """Return the arguments of Bytewax with a recovery store, which is made first."""

    def arguments(interpreter: str) -> list[str]:
        folder = _empty(servers, name)
        subprocess.run([interpreter, "-m", "bytewax.recovery", folder, "1"], check=True)
        return ["-m", "bytewax.run", "tests.bench.peers.waxed", "-r", folder, "-s", "10", "-b", "0"]

    return arguments


def _progress(child: Child) -> Callable[[], int]:
    """Return how to read how far a peer says it has come."""

    def read() -> int:
        words = [line.split() for line in child.log.read_text(errors="replace").splitlines()]
        return max((int(w[1]) for w in words if len(w) == 2 and w[0] == "took"), default=0)

    return read


def _pass(
    servers: Servers, children: dict[str, tuple[Child, Callable[[], int]]], count: int, number: int
) -> dict[str, Took]:
    """Give every contender the same new windows, and let each in turn work through them alone."""
    fresh = list(messages("window", count, DEVICES, utc_now(), seed=number, boot=f"{number + 1}-0000abcd"))
    for child, _ in children.values():
        child.freeze()
    before = servers.taken_in(topics.ALARM)
    servers.produce(topics.ALARM, fresh, lambda m: m.node)
    servers.produce(WINDOWS, fresh, lambda m: m.topic.rpartition("/")[2])
    took = {}
    for name, (child, progress) in children.items():
        goal = before + count if name == "ours" else (number + 1) * count
        child.check()
        cpu, began = child.cpu_s(), time.monotonic()
        child.thaw()
        wait_for(f"{name} and its windows", lambda p=progress, g=goal: p() >= g, child, look_s=0.01)  # type: ignore[misc]
        took[name] = Took(time.monotonic() - began, child.cpu_s() - cpu, count)
        time.sleep(0.2)
    for child, _ in children.values():
        child.thaw()
    time.sleep(1)
    return took
