"""`make faults`: rounds of load and faults on the real processes, and an independent count.

ONLY="rolling restart" plays one of the catalogue, three times a round.
QUICK=1: the embedded servers, one round, every fault once.  Otherwise mosquitto, Apache Kafka
and PostgreSQL, twenty rounds and more than 100,000 events.  SEED chooses another course.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.embedded.servers import EmbeddedStack
from tests.faults.checker import check
from tests.faults.cluster import Cluster
from tests.faults.disk import SmallDisk
from tests.faults.plan import catalogue, schedule
from tests.servers import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.checker import Account

PATIENCE_S = 240.0
"""Longest wait for the spools to drain: a row that the broker lost is sent again after 75 s."""


SEEN_S = 15.0
"""A trouble seen later than this after a fault is another fault's."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    rounds: int
    boxes: int
    events: int
    rate: float
    faults: int
    factor: float

    @classmethod
    def chosen(cls) -> Size:
        """Return the size that the environment asks for."""
        if os.environ.get("QUICK"):
            return cls(rounds=1, boxes=4, events=1400, rate=18.0, faults=26, factor=1 / 75)
        return cls(rounds=20, boxes=4, events=1300, rate=30.0, faults=9, factor=1 / 20)


@dataclass(slots=True)
class Times:
    """How long each fault went unseen, and until what had been accepted by then was stored."""

    detected: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    recovered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    count: Counter[str] = field(default_factory=Counter)

    def report(self) -> list[dict[str, Any]]:
        """Return the list that the last line carries."""
        return [
            {
                "fault": name,
                "times": times,
                "detect_p95_s": _p95(self.detected[name]),
                "recover_p95_s": _p95(self.recovered[name]),
                "recover_max_s": round(max(self.recovered[name], default=0), 1),
            }
            for name, times in sorted(self.count.items())
        ]


def _p95(values: list[float]) -> float | None:
    """Return the 95th percentile by nearest rank: a value that was measured."""
    if not values:
        return None
    return round(sorted(values)[math.ceil(0.95 * len(values)) - 1], 1)


def watermarks(spools: dict[str, Path]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return the last number given out and the last one stored, by node, boot and lane."""
    found = {}
    for node, path in list(spools.items()):  # boxes are added meanwhile
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1) as db:
                for boot, lane, last, stored in db.execute("SELECT boot, lane, last, stored FROM accepted"):
                    found[node, boot, lane] = (last, stored)
        except sqlite3.OperationalError:
            continue  # the box has not made its spool yet
    return found


def drained(spools: dict[str, Path]) -> bool:
    """Return whether the platform has accounted for all that was accepted."""
    marks = watermarks(spools)
    return bool(marks) and all(stored >= last for last, stored in marks.values())


def follow(cluster: Cluster, name: str, began: float, times: Times) -> threading.Thread:
    """Wait, beside the rest, until what was accepted up to now is stored."""
    wanted = {key: last for key, (last, _) in watermarks(cluster.spools).items()}

    def wait() -> None:
        while time.monotonic() < began + PATIENCE_S:
            marks = watermarks(cluster.spools)
            if all(marks.get(key, (0, 0))[1] >= last for key, last in wanted.items()):
                times.recovered[name].append(time.monotonic() - began)
                break
            time.sleep(0.2)
        seen = cluster.signs.first_after(began)
        if seen is not None and seen < began + SEEN_S:
            times.detected[name].append(seen - began)

    thread = threading.Thread(target=wait, name=f"follow {name}", daemon=True)
    thread.start()
    return thread


def inject(cluster: Cluster, name: str, fault: Any, rng: random.Random, times: Times) -> threading.Thread:
    """Break something, and note when that was seen."""
    began = time.monotonic()
    times.count[name] += 1
    fault(cluster, rng)
    return follow(cluster, name, began, times)


def chosen(faults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the faults to play: all, or the one that ONLY names."""
    only = os.environ.get("ONLY")
    return faults if only is None else {only: faults[only]}


def play(cluster: Cluster, number: int, seed: int, size: Size, disk: SmallDisk, times: Times) -> None:
    """Play one round: boxes with their load, faults beside it, then wait for the spools to drain."""
    rng = random.Random(seed * 1000 + number)
    for box in range(size.boxes):
        small = disk.spool(f"b{number}-{box}") if box == 0 else None
        cluster.add_box(f"b{number}-{box}", rng.randrange(2**31), size.events, size.rate, spool=small)
    faults = chosen(catalogue(size.factor))
    followers = []
    count = size.faults if len(faults) > 1 else 3
    for name in schedule(sorted(faults), rng, count):
        time.sleep(rng.uniform(0.3, 1.5))
        print(f"  round {number}: {name}", file=sys.stderr, flush=True)
        followers.append(inject(cluster, name, faults[name], rng, times))
    if len(faults) > 1:
        followers.append(inject(cluster, "disk full on the spool", disk.fill, rng, times))
    wait_for_boxes(cluster, size)
    for thread in followers:
        thread.join(1)


def wait_for_boxes(cluster: Cluster, size: Size) -> None:
    """End each box when it has offered its load and all of it is accounted for.

    A box that is not done when patience ends goes on beside the next round.
    """
    deadline = time.monotonic() + PATIENCE_S
    while cluster.boxes and time.monotonic() < deadline:
        for name in [name for name in cluster.boxes if load_done(cluster.spools[name], size)]:
            end_if_drained(cluster, name)
        time.sleep(0.5)
    for name in cluster.boxes:
        print(
            f"  {name} is not done: {watermarks({name: cluster.spools[name]})}", file=sys.stderr, flush=True
        )


def end_if_drained(cluster: Cluster, name: str) -> None:
    """End a box that has nothing left to send.

    It tells of its health until it ends: what it accepted in that moment is in its spool alone, and so
    it is started again to send it.
    """
    spool, box = {name: cluster.spools[name]}, cluster.boxes[name]
    if drained(spool):
        cluster.drop_boxes([name])
        if not drained(spool):
            cluster.boxes[name] = box
            box.wanted = True


def load_done(spool: Path, size: Size) -> bool:
    """Return whether a box has offered its whole load."""
    note = spool.with_name(spool.name + ".load")
    return note.exists() and int(note.read_text() or 0) >= size.events


def last_line(account: Account, times: Times, size: Size, seed: int, servers: str) -> dict[str, Any]:
    """Return what others read."""
    return {
        "accepted": account.accepted,
        **account.ends,
        "lost": len(account.lost),
        "duplicates": len(account.twice) + account.effects_twice,
        "unknown": len(account.unknown),
        "seeds": size.rounds,
        "seed": seed,
        "servers": servers,
        "postgres_away_factor": round(size.factor, 4),
        "faults": times.report(),
    }


def main() -> int:
    """Play all rounds; return 0 if nothing was lost and nothing done twice."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    size, seed, times = Size.chosen(), int(os.environ.get("SEED", "1")), Times()
    embedded = bool(os.environ.get("QUICK")) or bool(real.missing())
    with tempfile.TemporaryDirectory(prefix="vigil-faults-") as name, SmallDisk(Path(name) / "disk") as disk:
        folder = Path(name)
        stack = EmbeddedStack(folder / "stack") if embedded else real.RealStack(folder / "stack", fsync=True)
        cluster = Cluster(folder, stack)
        try:
            cluster.start()
            for number in range(size.rounds):
                play(cluster, number, seed, size, disk, times)
            wait_for_boxes(cluster, size)
            account = check(cluster.spools, stack.addresses.database_dsn)
        finally:
            cluster.stop()
    for kind in ("lost", "twice", "unknown"):
        for row in getattr(account, kind)[:20]:
            print(f"{kind}: {row}", file=sys.stderr)
    print(
        json.dumps(
            last_line(account, times, size, seed, "embedded" if embedded else "mosquitto, Apache Kafka")
        )
    )
    return 0 if account.adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
