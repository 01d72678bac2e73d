"""The real processes on real servers, with somebody who restarts what dies; nothing is simulated."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from deploy.embedded.children import OwnedProcess
from deploy.embedded.servers import HOST, EmbeddedStack, free_port
from tests.faults.load import Devices
from tests.faults.proxy import Proxy
from tests.making import EVERYTHING_ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.servers.real import RealStack

ROOT: Final = Path(__file__).parents[2]
COMMUNITY, ESTATE = "c-faults", "e-faults"
LOOK_S: Final = 0.1
RESTART_S: Final = 0.3
"""How long the one who restarts dead processes waits before it does."""


@dataclass(slots=True)
class Managed:
    """A process of ours: how it is started, and the one that runs now."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path
    ops_port: int
    process: OwnedProcess | None = None
    wanted: bool = True
    turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self, **extra: str) -> None:
        """Start it, with settings for this start alone."""
        self.process = OwnedProcess((sys.executable, *self.argv), self.log, {**self.env, **extra}, ROOT)

    def revive(self) -> None:
        """Start it if it is dead and ought not to be."""
        with self.turn:
            if self.wanted and self.dead:
                self.start()

    def restart(self, **extra: str) -> None:
        """End it gracefully and start it with settings for this start alone; nobody revives it yet."""
        with self.turn:
            self.wanted = False
            if self.process is not None:
                self.process.stop(10)
            self.start(**extra)

    def kill(self) -> None:
        """SIGKILL it."""
        if self.process is not None:
            self.process.kill()

    @property
    def ready(self) -> bool:
        """Whether its `/readyz` says so."""
        return self.why_not_ready() is None

    def why_not_ready(self) -> str | None:
        """Return what its `/readyz` says against it, None if nothing."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ops_port}/readyz", timeout=0.5) as answer:
                return None if answer.status == 200 else f"status {answer.status}"
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode(errors="replace")
        except OSError as error:
            return repr(error)

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self.process is None or self.process.exit_status() is not None

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.process.tail() if self.process else "was never started"


@dataclass(slots=True)
class Signs:
    """What can be seen from outside: when anything was last seen not to work."""

    troubles: list[float] = field(default_factory=list)

    def first_after(self, at: float) -> float | None:
        """Return the first moment from `at` on at which something was seen not to work."""
        return next((moment for moment in self.troubles if moment >= at), None)


class Cluster:
    """Servers, rooms and boxes, and a thread that restarts what has died."""

    def __init__(self, folder: Path, stack: EmbeddedStack | RealStack, *, members: int = 2) -> None:
        self.folder, self.stack, self.members = folder, stack, members
        self.signs = Signs()
        self.rooms: dict[str, Managed] = {}
        self.boxes: dict[str, Managed] = {}
        self.spools: dict[str, Path] = {}
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        """Start everything but the boxes."""
        self.stack.start()
        self.proxy = Proxy(self.stack.addresses.mqtt_port)
        self.proxy.start()
        environment = {**self.stack.addresses.environment(), "VIGIL_LOG_LEVEL": "warning"}
        subprocess.run(
            [sys.executable, "-m", "vigil.store", "migrate"],
            env={**environment, "PATH": "/usr/bin:/bin"},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        self._register_estate()
        for number in range(1, self.members + 1):
            self._room(f"ingest-{number}", "ingest", {**environment, "VIGIL_INGEST_MEMBER": str(number)})
            self._room(f"processors-{number}", "processors", environment)
        self._room("api", "api", {**environment, "VIGIL_API_PORT": str(free_port())})
        self._watcher.start()
        self.wait_ready()

    def _room(self, name: str, module: str, env: Mapping[str, str]) -> None:
        port = free_port()
        own = {**env, "VIGIL_OPS_PORT": str(port)}
        self.rooms[name] = Managed(name, ("-m", module), own, self.folder / "log" / f"{name}.log", port)
        self.rooms[name].start()

    def wait_ready(self, limit_s: float = 60) -> None:
        """Return when every room is ready."""
        deadline = time.monotonic() + limit_s
        while missing := [room.name for room in self.rooms.values() if not room.ready]:
            if time.monotonic() > deadline:
                tails = "; ".join(
                    f"{name}: {self.rooms[name].why_not_ready()} ({self.rooms[name].last_words()})"
                    for name in missing
                )
                raise RuntimeError(f"not ready within {limit_s:.0f} s: {tails}")
            time.sleep(0.2)

    def add_box(
        self, name: str, seed: int, count: int, rate: float, *, spool: Path | None = None, mb: int = 64
    ) -> None:
        """Register a box and start it through the proxy."""
        devices = Devices(f"{name}-sensor", f"{name}-worn", f"{name}-refused", f"{name}-unknown")
        self._register_box(name, devices)
        folder = self.folder / "boxes"
        folder.mkdir(exist_ok=True)
        config = folder / f"{name}.json"
        config.write_text(
            json.dumps({"community": COMMUNITY, "estate": ESTATE, "node": name, "spool_max_mb": mb})
        )
        self.spools[name] = spool or folder / f"{name}.db"
        port = free_port()
        env = {
            **self.stack.addresses.environment(),
            "VIGIL_MQTT_PORT": str(self.proxy.port),
            "VIGIL_EDGE_CONFIG": str(config),
            "VIGIL_EDGE_SPOOL": str(self.spools[name]),
            "VIGIL_OPS_PORT": str(port),
            "VIGIL_LOG_LEVEL": "warning",
        }
        encoded = json.dumps({field: getattr(devices, field) for field in Devices.__dataclass_fields__})
        argv = ("-m", "tests.faults.box", str(seed), str(count), str(rate), encoded)
        self.boxes[name] = Managed(name, argv, env, self.folder / "log" / f"{name}.log", port)
        self.boxes[name].start()

    def drop_boxes(self, names: Iterable[str]) -> None:
        """End boxes; their spools stay where they are."""
        for box in [self.boxes.pop(name) for name in names]:
            box.wanted = False
            if box.process is not None:
                box.process.stop(10)

    def stop(self) -> None:
        """End everything."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()  # or it would revive what is ended here
        self.drop_boxes(list(self.boxes))
        for room in self.rooms.values():
            if room.process is not None:
                room.process.stop(10)
        self.proxy.stop()
        self.stack.stop()

    def _watch(self) -> None:
        """Restart what has died, and note when anything is seen not to work."""
        while not self._ended.wait(LOOK_S):
            for managed in [*self.rooms.values(), *self.boxes.values()]:
                if managed.wanted and managed.dead:
                    self.signs.troubles.append(time.monotonic())
                    time.sleep(RESTART_S)
                    managed.revive()
            if not all(room.ready for room in list(self.rooms.values())):
                self.signs.troubles.append(time.monotonic())

    def _register_estate(self) -> None:
        with psycopg.connect(self.stack.addresses.database_dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO community (id, name) VALUES (%s, 'Faults') ON CONFLICT DO NOTHING", [COMMUNITY]
            )
            connection.execute(
                "INSERT INTO estate (id, community, name) VALUES (%s, %s, 'Faults') ON CONFLICT DO NOTHING",
                [ESTATE, COMMUNITY],
            )
            connection.execute(EVERYTHING_ALERTS)

    def _register_box(self, name: str, devices: Devices) -> None:
        with psycopg.connect(self.stack.addresses.database_dsn) as connection:
            connection.execute(
                "INSERT INTO zone (id, estate, name) VALUES (%s, %s, %s)", [f"z-{name}", ESTATE, name]
            )
            connection.execute(
                "INSERT INTO node (id, estate, zone) VALUES (%s, %s, %s)", [name, ESTATE, f"z-{name}"]
            )
            kinds = [
                (name, "hub"),
                (devices.sensor, "motion"),
                (devices.wearable, "pendant"),
                (devices.refusing, "pendant"),
            ]
            for device, kind in kinds:
                connection.execute(
                    "INSERT INTO device (id, node, zone, kind) VALUES (%s, %s, %s, %s)",
                    [device, name, f"z-{name}", kind],
                )
            for device, granted in ((devices.wearable, True), (devices.refusing, False)):
                resident = f"r-{device}"
                connection.execute(
                    "INSERT INTO resident (id, estate, home, name, flagged) VALUES (%s, %s, %s, 'N', true)",
                    [resident, ESTATE, f"z-{name}"],
                )
                connection.execute(
                    "INSERT INTO assignment (device, resident) VALUES (%s, %s)", [device, resident]
                )
                connection.execute(
                    """
                    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
                    VALUES (%s, 'fall_detection', %s, '1', 'self')
                    """,
                    [resident, granted],
                )
