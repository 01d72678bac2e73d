"""Keyed processors with the same detector: ours, Quix Streams, Bytewax; each on one core.

Ours stores every event and decision in PostgreSQL besides; the peers keep state and pass on
what was raised.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.servers import free_port
from tests.bench.environments import python_of
from tests.bench.load import messages
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
    children: dict[str, tuple[Child, Callable[[], int]]] = {}
    with ExitStack() as stack:
        for name, argv, env in _commands(servers, count):
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
    names = (WINDOWS, "bench.quix.alerts", "bench.bytewax.alerts")
    await admin.create_topics([NewTopic(name, kafka.PARTITIONS, 1) for name in names])
    await admin.close()


def _commands(servers: Servers, count: int) -> list[tuple[str, list[str], dict[str, str]]]:
    """Return how each contender that can be had is started."""
    here = {"PYTHONPATH": str(ROOT)}
    found = [("ours", python("processors"), {**servers.environment, "VIGIL_OPS_PORT": str(free_port())})]
    state = servers.folder / "quix-state"
    shutil.rmtree(state, ignore_errors=True)
    peers = {
        "quix": ["-m", "tests.bench.peers.quix", servers.bootstrap, str(count), str(state)],
        "bytewax": ["-m", "bytewax.run", "tests.bench.peers.waxed"],
    }
    for name, argv in peers.items():
        try:
            env = {**here, "BENCH_KAFKA": servers.bootstrap, "BENCH_EVERY": str(count)}
            found.append((name, [python_of(name), *argv], env))
        except BenchError as error:
            print(f"{name}: {error}")
    return found


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
        cpu, began = child.cpu_s(), time.monotonic()
        child.thaw()
        wait_for(f"{name} and its windows", lambda p=progress, g=goal: p() >= g, child, look_s=0.01)  # type: ignore[misc]
        took[name] = Took(time.monotonic() - began, child.cpu_s() - cpu, count)
        time.sleep(0.2)
    for child, _ in children.values():
        child.thaw()
    time.sleep(1)
    return took
