"""`python -m tests.drill.record FOLDER [KIND ...]`: record what a watchdog sees while the platform is looked after.

Real servers and processes at real speed: calm minutes, polite restarts, kills that a supervisor
mends, a member that joins and leaves its group, a rolling deployment that waits until each new
member is ready, broker and database started anew.  (A Kafka of one broker is not among them: its
restart is an outage.)  None of it may become a fallback.  The canaries' stamps come from the watchdog's own memory, the
looks from the same `fallback.probes` that it uses; tests/unit/fallback/test_replay.py composes days
of them.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from deploy.embedded.servers import EmbeddedStack, free_port
from fallback import liveness, probes
from tests.drill import residents
from tests.drill.course import READY_S, Drill, say, until, wall
from tests.drill.running import PLATFORM, Running, platform
from tests.drill.trace import STAGES, SeenLook, SeenRun, Trace
from tests.servers import real
from tests.servers.real import RealStack
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fallback.probes import Looked

SETTLE_S: Final = 40.0
"""After each disturbance: a fallback that comes of it comes within that."""
CALM_S: Final = 90.0
SEED: Final = 20260302


class Looker:
    """Looks every 5 s, as the watchdog does, and keeps what it saw."""

    def __init__(self, running: Running) -> None:
        probed = running.environment["VIGIL_FALLBACK_PROBES"].split(",")
        self.services = {url: name for name, url in (entry.split("=", 1) for entry in probed)}
        self.seen: list[Looked] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look while the context lasts."""
        thread = threading.Thread(target=lambda: asyncio.run(self._look()))
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    async def _look(self) -> None:
        async with httpx.AsyncClient() as client:
            while not self._stop.is_set():
                began = time.monotonic()
                self.seen += await probes.look(client, list(self.services), utc_now())
                spent = time.monotonic() - began
                await asyncio.sleep(max(0.0, liveness.PERIOD.total_seconds() - spent))


class Recorder:
    """One recording."""

    def __init__(self, running: Running, looker: Looker) -> None:
        self.traces: list[Trace] = []
        self._running = running
        self._looker = looker

    def record(self, kind: str, disturb: Callable[[], None], seconds: float = SETTLE_S) -> None:
        """Disturb, wait until all is quiet, and keep what was seen."""
        say(kind)
        began = wall()
        time.sleep(5)
        disturb()
        time.sleep(seconds)
        # A canary that is still on its way is none that came back late.
        self.traces.append(self._seen(kind, began, wall() - 9))

    def _seen(self, kind: str, began: float, ended: float) -> Trace:
        looks = [
            SeenLook(
                self._looker.services[look.url],
                round(look.at.timestamp() - began, 2),
                look.wrong,
                look.answers,
                dict(look.progress),
            )
            for look in self._looker.seen
            if began <= look.at.timestamp() < ended
        ]
        return Trace(kind, round(ended - began, 2), self._runs(began, ended), looks)

    def _runs(self, began: float, ended: float) -> list[SeenRun]:
        with closing(sqlite3.connect(f"file:{self._running.state}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(
                "SELECT * FROM run WHERE made_at >= ? AND made_at < ? ORDER BY made_at", [began, ended]
            ).fetchall()
        return [
            SeenRun(
                list(residents.ESTATES).index(row["estate"]),
                round(row["made_at"] - began, 2),
                {
                    stage: round(row[f"{stage}_at"] - row["made_at"], 3)
                    for stage in STAGES
                    if row[f"{stage}_at"] is not None
                },
            )
            for row in rows
        ]

    # -- disturbances -----------------------------------------------------------------------

    def restart(self, name: str, how: signal.Signals) -> None:
        """End a process and start it again at once, as a supervisor or a deployment does."""
        self._running.end(name, how)
        self._running.start(name)

    def rebalance(self) -> None:
        """Let a second member join the processors' groups, work for a while, and leave."""
        self.join("processors")
        time.sleep(15)
        self.leave("processors")

    def rolling(self) -> None:
        """Deploy: processors with a new member ready before the old one ends, then ingest and api.

        A second member of ingest is not among it: after its polite end mosquitto goes on giving its
        session half of the alarms for 30 s, which is an outage (seen: 12 s and more for each second one).
        """
        self.join("processors")
        for name in PLATFORM:
            self.restart(name, signal.SIGTERM)
            until(partial(_ready, self._running.ops[name]), READY_S, f"{name} is ready")
            time.sleep(10)
        self.leave("processors")

    def join(self, name: str) -> None:
        """Start a second member, and wait until it is ready."""
        port = free_port()
        more = {"VIGIL_INGEST_MEMBER": "2", "VIGIL_OPS_PORT": str(port)}
        self._running.start(name, member=f"{name}-2", **more)
        until(partial(_ready, port), READY_S, f"a second member of {name} is ready")

    def leave(self, name: str) -> None:
        """End the second member politely."""
        self._running.end(f"{name}-2", signal.SIGTERM)

    def server(self, part: str) -> None:
        """Start a server anew, politely."""
        server = getattr(self._running.stack, part)
        server.stop()
        server.start()
        self._running.keep_up()


def _ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success


def record(running: Running, looker: Looker, kinds: Sequence[str]) -> list[Trace]:
    """Record each kind once; without any named, all of them."""
    recorder = Recorder(running, looker)
    courses = courses_of(recorder)
    for kind in kinds or courses:
        disturb, seconds = courses[kind]
        recorder.record(kind, disturb, seconds)
    return recorder.traces


def courses_of(recorder: Recorder) -> dict[str, tuple[Callable[[], None], float]]:
    """Return what is done for each kind, and how long is waited after it."""
    courses: dict[str, tuple[Callable[[], None], float]] = {"calm": (lambda: None, CALM_S)}
    for name in PLATFORM:
        courses[f"restart of {name}"] = (partial(recorder.restart, name, signal.SIGTERM), SETTLE_S)
        courses[f"kill of {name}"] = (partial(recorder.restart, name, signal.SIGKILL), SETTLE_S)
    courses["rebalance"] = (recorder.rebalance, SETTLE_S)
    courses["rolling deployment"] = (recorder.rolling, SETTLE_S)
    for part in ("broker", "postgres"):
        courses[f"restart of {part}"] = (partial(recorder.server, part), SETTLE_S)
    return courses


def main() -> int:
    """Record, and write each trace into a file of its own."""
    folder = Path(sys.argv[1])
    rng = Random(SEED)
    with tempfile.TemporaryDirectory(prefix="vigil-record-") as scratch:
        tables = residents.rows(60, rng)
        servers = EmbeddedStack if real.missing() else RealStack
        with platform(Path(scratch), tables, 5, servers) as running:
            drill, looker = Drill(running, 60, 5, rng), Looker(running)
            until(drill.modes, READY_S, "the watchdog's page")
            drill.calm()
            with looker.running():
                traces = record(running, looker, sys.argv[2:])
    folder.mkdir(parents=True, exist_ok=True)
    for trace in traces:
        (folder / f"{trace.kind.replace(' ', '-')}.json").write_bytes(msgspec.json.encode(trace) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
