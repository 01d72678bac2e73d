"""What breaks when: the catalogue of faults, and a seeded order of them.

Each fault is a function of the cluster and a source of chance; it returns when what it broke
works again, or is about to be restarted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from deploy.embedded.servers import HOST
from tests.faults.cluster import COMMUNITY, ESTATE
from vigil.failpoints import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.faults.cluster import Cluster, Managed

    Fault = Callable[[Cluster, Random], None]

AWAY_S: Final = 600.0
"""PostgreSQL stays away this long, times the factor that is printed."""
COPIES: Final = 100


def _kill_room(prefix: str) -> Fault:
    def fault(cluster: Cluster, rng: Random) -> None:
        rng.choice([room for name, room in cluster.rooms.items() if name.startswith(prefix)]).kill()

    return fault


def _kill_box(cluster: Cluster, rng: Random) -> None:
    rng.choice(list(cluster.boxes.values())).kill()


def _kill_server(name: str) -> Fault:
    def fault(cluster: Cluster, rng: Random) -> None:
        server = getattr(cluster.stack, name)
        server.kill()
        time.sleep(rng.uniform(0.2, 1.5))
        server.start()

    return fault


def _restart_server(name: str, times: int) -> Fault:
    def fault(cluster: Cluster, rng: Random) -> None:
        server = getattr(cluster.stack, name)
        for _ in range(times):
            server.stop()
            server.start()
            time.sleep(rng.uniform(0.2, 0.6))

    return fault


def _postgres_away(factor: float) -> Fault:
    def fault(cluster: Cluster, _rng: Random) -> None:
        cluster.stack.postgres.stop()
        time.sleep(AWAY_S * factor)
        cluster.stack.postgres.start()

    return fault


def _rolling_restart(cluster: Cluster, _rng: Random) -> None:
    """Replace every room gracefully, one after another, as an upgrade does."""
    for room in cluster.rooms.values():
        room.restart()
        room.wanted = True
        cluster.wait_ready()


def _failpoint(place: str) -> Fault:
    """Restart a process so that it kills itself when it passes a place for the n-th time."""

    def fault(cluster: Cluster, rng: Random) -> None:
        victims = cluster.boxes if place.startswith("edge.") else cluster.rooms
        prefix = "" if place.startswith("edge.") else place.partition(".")[0]
        victim = rng.choice([m for name, m in victims.items() if name.startswith(prefix)])
        _restart_with(victim, f"{place}:{rng.randint(1, 5)}")

    return fault


def _restart_with(victim: Managed, failpoint: str) -> None:
    victim.restart(VIGIL_FAILPOINT=failpoint)
    deadline = time.monotonic() + 20
    while not victim.dead and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.wanted = True  # what has died is restarted without the failpoint


def _cut_network(cluster: Cluster, rng: Random) -> None:
    cluster.proxy.cut()
    time.sleep(rng.uniform(2, 5))
    cluster.proxy.heal()


def _flap_network(cluster: Cluster, rng: Random) -> None:
    for _ in range(6):
        cluster.proxy.cut()
        time.sleep(rng.uniform(0.1, 0.5))
        cluster.proxy.heal()
        time.sleep(rng.uniform(0.2, 1.5))


def _duplicates(cluster: Cluster, rng: Random) -> None:
    """Send events that were seen on the bus a hundred times more, shuffled."""
    seen: list[tuple[str, bytes]] = []
    client = _client(cluster)
    client.on_message = lambda _c, _d, m: seen.append((m.topic, bytes(m.payload)))
    client.subscribe([(f"vigil/v1/+/+/+/{kind}/+", 0) for kind in ("alarm", "event", "telemetry")])
    time.sleep(3)
    client.unsubscribe([f"vigil/v1/+/+/+/{kind}/+" for kind in ("alarm", "event", "telemetry")])
    copies = rng.sample(seen, min(len(seen), 20)) * COPIES
    rng.shuffle(copies)
    _publish(client, copies)


def _malformed(cluster: Cluster, rng: Random) -> None:
    """Send what nobody can read, in the name of a registered box, and ten megabytes of it."""
    node = rng.choice(list(cluster.boxes))
    own = f"vigil/v1/{COMMUNITY}/{ESTATE}/{node}"
    client = _client(cluster)
    _publish(
        client,
        [
            (f"{own}/event/{node}-sensor", b"{"),
            (f"{own}/event/{node}-sensor", b"\xff\xfe" * 100),
            (f"{own}/alarm/{node}-worn", b'{"specversion":"1.0"}'),
            (f"{own}/alarm", b"{}"),
            (f"{own}/nonsense/{node}-sensor", b"{}"),
            ("vigil/v1/elsewhere/e/n/event/d", b"{}"),
            (f"{own}/event/{node}-sensor", rng.randbytes(100_000)),
        ],
    )
    huge = _client(cluster)
    huge.publish(f"{own}/event/{node}-sensor", bytes(10 * 1024 * 1024), qos=1)
    time.sleep(1)
    huge.disconnect()
    huge.loop_stop()


def _client(cluster: Cluster) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, f"faults-{time.monotonic_ns()}")
    client.max_queued_messages_set(0)
    client.connect(HOST, cluster.stack.addresses.mqtt_port)
    client.loop_start()
    return client


def _publish(client: paho.Client, messages: list[tuple[str, bytes]]) -> None:
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def catalogue(factor: float) -> dict[str, Fault]:
    """Return every fault by its name.

    Args:
        factor: By which PostgreSQL's ten minutes are multiplied.
    """
    return {
        "kill edge": _kill_box,
        "kill ingest": _kill_room("ingest"),
        "kill processors": _kill_room("processors"),
        "kill api": _kill_room("api"),
        "kill broker": _kill_server("broker"),
        "kill kafka": _kill_server("kafka"),
        "kill postgres": _kill_server("postgres"),
        "restart broker 10 times": _restart_server("broker", 10),
        "restart kafka 10 times": _restart_server("kafka", 10),
        "postgres away": _postgres_away(factor),
        "rolling restart": _rolling_restart,
        "network cut": _cut_network,
        "network flapping": _flap_network,
        "duplicates x100, shuffled": _duplicates,
        "malformed and 10 MB": _malformed,
        **{f"failpoint {place}": _failpoint(place) for place in PLACES},
    }


def schedule(names: list[str], rng: Random, count: int) -> list[str]:
    """Return `count` faults, shuffled; every one comes before any comes twice."""
    order: list[str] = []
    while len(order) < count:
        order += rng.sample(names, len(names))
    return order[:count]
