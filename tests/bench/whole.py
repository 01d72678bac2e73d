"""The whole way, with real processes on all cores: to the screen, at scale, and after an outage.

broker -> ingest -> Kafka -> processors (alarms and the rest each a process) -> PostgreSQL -> api ->
server-sent events.  An alarm is
a call for help of a device of its own, so that each is raised; its time is taken when it is
published and when the stream's line arrives.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from api.access import Role
from api.passwords import Passwords
from deploy.embedded.servers import HOST, accepts, free_port
from ingest.held import HOLD_S
from tests.bench import load
from tests.bench.firehose import Firehose, packets
from tests.bench.load import Message, messages
from tests.bench.processes import Child, Took, cpu_s, python, wait_for
from tests.bench.servers import PROBES, forget, register, spread
from tests.household import _answers
from tests.officer import Officer
from vigil.clock import utc_now
from vigil.events import Sos, derived_id, encode, envelope_of
from vigil.store import accounts
from vigil.store.accounts import EVERY_ESTATE, NewAccount
from vigil.store.pool import open_pool
from vigil.topics import TELEMETRY, Address, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.servers import Servers

PASSWORD: Final = "bench-password-1"
BACKGROUND: Final = 1000
"""Events a second beside the alarms; also what counts as the live rate."""
ALARMS_S: Final = 20
"""So many that the 99th percentile of a round is not merely its slowest alarm."""
FEW, MANY = 100, 100_000
TURNS: Final = 2
_numbers = iter(range(1, PROBES))


@dataclass(slots=True)
class Screen:
    """An officer's live stream, read by a thread: when each alert was shown first."""

    host: str
    port: int
    path: str
    cookie: str | None = None
    seen: dict[str, float] = field(default_factory=dict)
    following: bool = False

    def open(self) -> None:
        """Begin to follow; return when the stream has said something."""
        threading.Thread(target=self._follow, daemon=True).start()
        wait_for("the live stream", lambda: self.following, limit_s=30)

    def _follow(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=600)
        connection.request("GET", self.path, headers={"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        while line := answer.readline():
            self.following = True
            if line.startswith(b'data: {"id":'):
                self.seen.setdefault(json.loads(line[6:])["id"], time.monotonic())


@dataclass(slots=True)
class Way:
    """The platform's processes, and the way in and out."""

    servers: Servers
    ingest: Child
    alarms: Child
    processors: Child
    api: Child
    screen: Screen

    def cpu(self) -> float:
        """Return the CPU time of those that events go through."""
        return self.ingest.cpu_s() + self.alarms.cpu_s() + self.processors.cpu_s()

    def state_mb(self) -> float:
        """Return the memory of those that decide; each has the registry."""
        return self.alarms.rss_mb() + self.processors.rss_mb()

    def freeze(self) -> None:
        """Stop everything where it stands."""
        for room in (self.ingest, self.alarms, self.processors, self.api):
            room.freeze()

    def thaw(self) -> None:
        """Let everything go on."""
        for room in (self.ingest, self.alarms, self.processors, self.api):
            room.thaw()


@contextmanager
def running(servers: Servers) -> Iterator[Way]:
    """Run the processes until the end of the context."""
    servers.run(_put_officer(servers.dsn))
    console = free_port()
    started: list[tuple[Child, int]] = []
    with ExitStack() as stack:

        def start(room: str, name: str, **more: str) -> Child:
            port = free_port()
            env = {**servers.environment, "VIGIL_OPS_PORT": str(port), **more}
            child = Child(python(room), servers.folder / f"log/{name}.log", env)
            stack.callback(child.stop)
            started.append((child, port))
            return child

        alarm = start("processors", "alarms", VIGIL_PROCESSOR_LANES="alarm,state,dead")
        bulk = start("processors", "processors", VIGIL_PROCESSOR_LANES="bulk")
        ingest, api = start("ingest", "ingest"), start("api", "api", VIGIL_API_PORT=str(console))
        for child, port in started:
            url = f"http://{HOST}:{port}/readyz"
            wait_for(f"{child.log.stem} to be ready", lambda url=url: _answers(url), child, limit_s=60)  # type: ignore[misc]
        time.sleep(7)  # the first sign of life, after which ingest trusts its registry
        screen = Screen(HOST, console, "/api/v1/stream", _cookie(console))
        screen.open()
        alarms(screen, servers.stack.broker.port, 2)  # the very first one finds everything cold: 0.3 s
        yield Way(servers, ingest, alarm, bulk, api, screen)


async def _put_officer(dsn: str) -> None:
    async with open_pool(SecretStr(dsn), "bench", 1) as pool, pool.transaction() as connection:
        officer = NewAccount("bench", "Bench", Role.SUPERVISOR, (EVERY_ESTATE,), None)
        await accounts.put_account(connection, officer, Passwords().hash(PASSWORD))


def _cookie(port: int) -> str:
    officer = Officer(f"http://{HOST}:{port}", "bench", PASSWORD)
    return "; ".join(f"{name}={value}" for name, value in officer._client.cookies.items())


def help_wanted() -> tuple[Message, str]:
    """Return the next call for help, and the id of the alert that it becomes."""
    number = next(_numbers)
    address, device = Address(load.COMMUNITY, load.ESTATE, "probe"), f"p{number}"
    made = envelope_of(
        address, device, Sos(by="button"), time=utc_now(), boot=load.BOOT, seq=number, clock="synced"
    )
    alert = derived_id("alert", derived_id("detection", "sos", made.id))
    return Message(address.topic(Kind.ALARM, device), encode(made), "probe"), str(alert)


def alarms(screen: Screen, port: int, seconds: float) -> list[float]:
    """Publish alarms at their rate; return how long each took to the screen, in ms, shortest first."""
    hose = Firehose(HOST, port, "alarms")
    published: dict[str, float] = {}
    for _ in range(int(seconds * ALARMS_S)):
        message, alert = help_wanted()
        published[alert] = time.monotonic()
        hose.send(packets([message]))
        time.sleep(1 / ALARMS_S)
    wait_for("the last alarm", lambda: published.keys() <= screen.seen.keys(), limit_s=120)
    hose.close()
    return sorted((screen.seen[alert] - at) * 1000 for alert, at in published.items())


def quantile(ordered: list[float], share: float) -> float:
    """Return a quantile of ordered values."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextmanager
def background(port: int, seconds: float, boot: str) -> Iterator[None]:
    """Publish telemetry beside, at the live rate."""
    encoded = packets(messages("telemetry", int(seconds * BACKGROUND), FEW, utc_now(), boot=boot))
    hose = Firehose(HOST, port, f"background-{boot}")
    thread = threading.Thread(target=hose.send, args=(encoded, BACKGROUND), daemon=True)
    thread.start()
    time.sleep(1)
    try:
        yield
    finally:
        thread.join()
        hose.close()


def to_screen(way: Way, seconds: float, boot: str) -> list[float]:
    """Return the alarms' latencies through the whole way, beside the background."""
    port = way.servers.stack.broker.port
    with background(port, seconds + 2, boot):
        return alarms(way.screen, port, seconds)


def floor(servers: Servers, seconds: float) -> list[float]:
    """Return the same alarms' latencies on the shortest way there is, beside the same background."""
    servers.query("CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, data jsonb NOT NULL)")
    port, mqtt = free_port(), servers.another_broker("floor")
    module = "tests.bench.peers.floor"
    with ExitStack() as stack:
        mqtt.start()
        stack.callback(mqtt.stop)
        for name, address in (("store", mqtt.port), ("show", port)):
            child = Child(
                python(module, name, str(address), servers.dsn), servers.folder / f"log/floor-{name}.log"
            )
            stack.callback(child.stop)
        wait_for("the floor's stream", lambda: accepts(port), limit_s=30)
        time.sleep(1)
        screen = Screen(HOST, port, "/stream")
        screen.open()
        with background(mqtt.port, seconds + 2, "1-0000f100"):
            return alarms(screen, mqtt.port, seconds)


def cost(way: Way, devices: int, count: int, boot: str) -> tuple[Took, float]:
    """Carry telemetry of so many devices at three times the live rate.

    What comes before the measured events makes ready: the boxes' rows are there, and as many receipts
    are held when they begin as when they end.

    Returns:
        What ingest and the processors took, and PostgreSQL's CPU in us an event.
    """
    servers = way.servers
    before = 3 * BACKGROUND * int(HOLD_S + 1)
    encoded = packets(messages("telemetry", before + count, devices, utc_now(), boot=boot))
    start = servers.taken_in(TELEMETRY) + before
    hose = Firehose(HOST, servers.stack.broker.port, f"cost-{boot}")
    sending = threading.Thread(target=hose.send, args=(encoded, 3 * BACKGROUND), daemon=True)
    sending.start()
    wait_for("the first events", lambda: servers.taken_in(TELEMETRY) >= start, way.processors, limit_s=120)
    first = servers.taken_in(TELEMETRY)
    cpu, database, began = way.cpu(), cpu_s(servers.stack.postgres.pid), time.monotonic()
    end = start + count
    wait_for("the events", lambda: servers.taken_in(TELEMETRY) >= end, way.processors, limit_s=120)
    took = Took(time.monotonic() - began, way.cpu() - cpu, servers.taken_in(TELEMETRY) - first)
    sending.join()
    hose.close()
    return took, (cpu_s(servers.stack.postgres.pid) - database) / took.events * 1e6


def costs(way: Way, devices: int, rounds: int, boot: int) -> list[tuple[Took, float]]:
    """Return the cost of each round; the one before them finds everything cold, and does not count."""
    return [cost(way, devices, 9000, f"{boot + n}-0000c057") for n in range(rounds + 1)][1:]


def capacity(way: Way, count: int, boot: str) -> float:
    """Return the events a second that go the whole way when the broker always has more."""
    servers = way.servers
    encoded = packets(messages("telemetry", count, FEW, utc_now(), boot=boot))
    before = servers.taken_in(TELEMETRY)
    hose = Firehose(HOST, servers.stack.broker.port, f"capacity-{boot}")
    began = time.monotonic()
    hose.send(encoded)
    wait_for("the events", lambda: servers.taken_in(TELEMETRY) >= before + count, way.processors)
    took = time.monotonic() - began
    hose.close()
    return count / took


def fill(servers: Servers, count: int) -> None:
    """Put a backlog into the log, as an outage of the processors leaves it."""
    at, chunk = utc_now(), 50_000
    for number, start in enumerate(range(0, count, chunk)):
        some = list(
            messages("telemetry", min(chunk, count - start), FEW, at, boot=f"{number + 100}-0000d1a1")
        )
        servers.produce(TELEMETRY, some, lambda m: m.node)


def drain(servers: Servers, count: int, alarm_s: float) -> tuple[float, list[float], list[float]]:
    """Let the processors come back to a backlog.

    Returns:
        Events a second, the alarms' latencies when nothing else happens, and while draining.
    """
    with running(servers) as way:
        idle = alarms(way.screen, servers.stack.broker.port, alarm_s)
        way.processors.freeze()  # away; thawed below, it finds the backlog
        before = servers.taken_in(TELEMETRY)
        fill(servers, count)
        began = time.monotonic()
        done: list[float] = []
        watch = threading.Thread(target=_note_end, args=(servers.dsn, before + count, done), daemon=True)
        way.processors.thaw()
        watch.start()
        time.sleep(1)
        busy = []
        while not done:
            busy += alarms(way.screen, servers.stack.broker.port, 2)
            way.processors.check()
        time.sleep(1)
        idle += alarms(way.screen, servers.stack.broker.port, alarm_s)  # the machine may have changed
    return count / (done[0] - began), sorted(idle), sorted(busy)


def _note_end(dsn: str, goal: int, done: list[float]) -> None:
    asyncio.run(_reached(dsn, goal))
    done.append(time.monotonic())


async def _reached(dsn: str, goal: int) -> None:
    async with open_pool(SecretStr(dsn), "watch", 1) as pool:
        count = 0
        while count < goal:
            await asyncio.sleep(0.1)
            async with pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT coalesce(sum(greatest(next_offset, 0)), 0)::int8 FROM checkpoint WHERE topic = %s",
                    [TELEMETRY],
                )
                ((count,),) = await cursor.fetchall()


def measure(servers: Servers, *, quick: bool) -> dict[str, Any]:
    """Return every figure of the whole way."""
    spread(servers)
    seconds, rounds, many = (4, 2, 20_000) if quick else (15, 5, MANY)
    register(servers, FEW)
    figures: dict[str, Any] = {}
    with running(servers) as way:
        ways, floors = [], []
        for number in range(rounds):
            ways.append(to_screen(way, seconds, f"{number + 10}-0000e2e0"))
            way.freeze()  # the floor alone
            floors.append(floor(servers, seconds))
            way.thaw()
            time.sleep(3)
        figures["way"], figures["floor"] = ways, floors
        figures["whole_way"] = [
            capacity(way, 10_000 if quick else 60_000, f"{n + 50}-0000cafa") for n in range(rounds)
        ]
        small_mb = way.state_mb()
    figures["cost"], many_mb = in_turns(servers, many, rounds)
    figures["state"] = (many_mb - small_mb) / (many - FEW) * 10_000
    figures["devices"] = many
    return figures


def in_turns(servers: Servers, many: int, rounds: int) -> tuple[dict[str, list[tuple[Took, float]]], float]:
    """Return the costs with few and with many devices, in turns of half the rounds, each with its register.

    Also the memory of those that decide, with many.
    """
    found: dict[str, list[tuple[Took, float]]] = {"few": [], "many": []}
    memory = 0.0
    for turn in range(TURNS):
        for name, devices in (("few", FEW), ("many", many)):
            forget(servers, FEW)
            register(servers, devices)
            with running(servers) as way:
                boot = (300 if name == "few" else 700) + 50 * turn
                found[name] += costs(way, devices, -(-rounds // TURNS), boot)
                memory = way.state_mb()
    return found, memory
