"""Bridges from MQTT to Kafka: ours, one of the usual parts, and mq-bridge.

Each has a broker of its own, all alike.  A round freezes the contender, lets its broker fill
with the same events, thaws it, and waits until Kafka has them all.  The contender has one core,
the servers another.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from deploy.embedded.servers import HOST, free_port
from tests.bench.environments import python_of
from tests.bench.firehose import Firehose, packets
from tests.bench.load import messages
from tests.bench.processes import CORES, ROOT, BenchError, Child, Took, python, wait_for
from tests.bench.servers import register
from vigil.clock import utc_now
from vigil.topics import TELEMETRY

if TYPE_CHECKING:
    from deploy.embedded.servers import Broker
    from tests.bench.servers import Servers
    from tests.servers.mosquitto import Mosquitto

DEVICES = 100
WARM = 500


@dataclass(frozen=True, slots=True)
class Contender:
    """A bridge and its broker."""

    broker: Mosquitto | Broker
    child: Child


def measure(servers: Servers, count: int, rounds: int) -> dict[str, list[Took]]:
    """Return what each round took, by contender; one that cannot be had is absent."""
    register(servers, DEVICES)
    later = utc_now() + timedelta(hours=1)
    servers.query(  # somebody stores, so that our bridge trusts its registry and checks against it
        "INSERT INTO heartbeat (process, at, progress) VALUES ('processors-bench', %s, '{}')", [later]
    )
    at = utc_now()
    warm = packets(messages("telemetry", WARM, DEVICES, at, boot="1-00000001"))
    full = packets(messages("telemetry", count, DEVICES, at))
    with ExitStack() as stack:
        contenders = _start(servers, stack)
        for contender in contenders.values():
            _warm(servers, contender, warm)
        took: dict[str, list[Took]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contender in contenders.items():
                took[name].append(_round(servers, contender, full))
        for contender in contenders.values():
            contender.child.stop()
    servers.query("DELETE FROM heartbeat")
    return took


def _start(servers: Servers, stack: ExitStack) -> dict[str, Contender]:
    found = {}
    for name in ("ours", "usual", "mqbridge"):
        broker = servers.another_broker(name)
        try:
            argv = python("ingest") if name == "ours" else _peer(servers, name, broker.port)
        except BenchError as error:
            print(f"{name}: {error}")
            continue
        broker.start()
        stack.callback(broker.stop)
        env = {**servers.environment, "VIGIL_MQTT_PORT": str(broker.port), "VIGIL_OPS_PORT": str(free_port())}
        child = Child(argv, servers.folder / f"log/bridge-{name}.log", env, core=CORES[-1])
        stack.callback(child.stop)
        found[name] = Contender(broker, child)
    return found


def _peer(servers: Servers, name: str, port: int) -> list[str]:
    script = str(ROOT / f"tests/bench/peers/{name}.py")
    idempotent = str(servers.stack.addresses.kafka_idempotent).lower()
    return [python_of(name), script, str(port), servers.bootstrap, TELEMETRY, idempotent]


def _warm(servers: Servers, contender: Contender, warm: list[bytes]) -> None:
    """Publish a few until they come out at the other end: then it is subscribed and connected."""
    before = servers.end_of(TELEMETRY)
    hose = Firehose(HOST, contender.broker.port, "warm")

    def through() -> bool:
        hose.send(warm)
        return servers.end_of(TELEMETRY) >= before + len(warm)

    wait_for("the first messages", through, contender.child, limit_s=60, look_s=0.5)
    hose.close()
    time.sleep(2)


def _round(servers: Servers, contender: Contender, full: list[bytes]) -> Took:
    before = servers.end_of(TELEMETRY)
    contender.child.freeze()
    hose = Firehose(HOST, contender.broker.port, "load")
    hose.send(full)
    hose.close()
    cpu, began = contender.child.cpu_s(), time.monotonic()
    contender.child.thaw()
    wait_for(
        "the backlog", lambda: servers.end_of(TELEMETRY) >= before + len(full), contender.child, look_s=0.005
    )
    wall = time.monotonic() - began
    time.sleep(0.5)
    return Took(wall, contender.child.cpu_s() - cpu, len(full))
