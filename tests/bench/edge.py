"""`make bench-edge`: what a box can do on one core; the last line is JSON.

Measured here: the spool against plain SQLite on the same disk, the trigger, memory without
cameras, three days of telemetry and 500 alarms in the spool, and 24 hours without a platform
followed by the drain.  The cameras' figures come from `tests.bench.camera`.
QUICK=1 shortens all of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from deploy.embedded.servers import free_port
from edge import trigger
from edge.intake import Intake
from edge.reading import Reading
from edge.spool import Spool
from tests.unit.edge.parts import ADDRESS, START, Clocks, later
from tests.unit.edge.test_publisher import Bench
from vigil.events import FallSuspected, Readings, SensorChanged, encode, envelope_of
from vigil.topics import Lane

QUICK = bool(os.environ.get("QUICK"))
ROOT = Path(__file__).parents[2]


def a_window(rng: Random) -> FallSuspected:
    """A window whose numbers look like a sensor's: noise does not compress well."""
    samples = [round(rng.gauss(mean, 80)) for _ in range(200) for mean in (30, -980, 120)]
    return FallSuspected(accel_mg=samples, peak_g=3.1, placement="waist", episode=f"d1-{rng.random()}")


def a_minute(rng: Random, quantity: str = "temperature_c") -> Readings:
    return Readings(quantity=quantity, interval_s=1.0, values=[round(rng.gauss(21, 2), 2) for _ in range(60)])


def a_change(n: int) -> Reading:
    return Reading("d1", SensorChanged(sensor="door", state=n % 2 == 0, zone="z1"), START.utc)


def spool_events_s(folder: Path, count: int) -> float:
    """Durable events a second that 64 sources at once put in, one await each."""

    async def run() -> float:
        spool = Spool(folder / "spool.db", ADDRESS, START)
        intake = Intake(spool, lambda: START)
        writing = asyncio.create_task(intake.run())

        async def source(n: int) -> None:
            for k in range(count // 64):
                await intake.put(a_change(n + k))

        began = time.perf_counter()
        await asyncio.gather(*(source(n) for n in range(64)))
        took = time.perf_counter() - began
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await intake.close()
        spool.close()
        return count / took

    return asyncio.run(run())


def sqlite_events_s(folder: Path, count: int) -> float:
    """The same events in the same batches into a bare table of the same disk, made durable the same way."""
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, payload BLOB)")
    began = time.perf_counter()
    for first in range(1, count, 64):
        db.execute("BEGIN IMMEDIATE")
        for seq in range(first, first + 64):
            reading = a_change(seq)
            event = envelope_of(ADDRESS, "d1", reading.data, time=reading.time, boot="1-00000000", seq=seq)
            db.execute("INSERT INTO event VALUES (?, ?)", (seq, encode(event)))
        db.execute("COMMIT")
    took = time.perf_counter() - began
    db.close()
    return count / took


def trigger_msamples_s(seconds: int) -> float:
    """Million samples a second through the trigger, in chunks of half a second, an impact a minute."""
    rng = np.random.default_rng(1)
    samples = rng.normal((0, -1, 0), 0.05, (seconds * 50, 3)).astype(np.float32)
    samples[1500::3000] *= 3
    state = trigger.State()
    began = time.perf_counter()
    for at in range(0, len(samples), 25):
        state, _ = trigger.step(state, samples[at : at + 25])
    small = len(samples) / (time.perf_counter() - began)
    began = time.perf_counter()
    state = trigger.State()
    for at in range(0, len(samples), 3000):
        state, _ = trigger.step(state, samples[at : at + 3000])
    large = len(samples) / (time.perf_counter() - began)
    print(f"trigger: {small / 1e6:.2f} M samples/s in chunks of 0.5 s, {large / 1e6:.2f} in chunks of 60 s")
    return large / 1e6


def spool_mb(folder: Path, hours: int) -> tuple[float, int]:
    """Megabytes of `hours` of 20 readings a second, batched by the minute, and 500 alarms; and what was shed."""
    rng = Random(1)
    spool = Spool(folder / "days.db", ADDRESS, START)
    for minute in range(hours * 60):
        at = later(60.0 * minute)
        spool.put([Reading(f"d{n}", a_minute(rng), at.utc) for n in range(20)], at)
    for _ in range(10):
        spool.put([Reading("d1", a_window(rng), START.utc) for _ in range(50)], START)
    shed = len(spool.reports())
    used = spool.used_bytes()
    spool.close()
    return used / 2**20, shed


async def offline(folder: Path, hours: int) -> dict[str, Any]:
    """Hours without a platform on a clock that is moved, then the drain: what was lost, and what came first."""
    clocks = Clocks()
    bench = Bench(folder / "offline.db", clocks)
    bench.link.up = False
    rng = Random(2)
    for minute in range(hours * 60):
        clocks.move(60)
        at = clocks.utc()
        readings = [Reading(f"d{n}", a_minute(rng), at) for n in range(20)]
        readings += [a_change(minute), *([Reading("d1", a_window(rng), at)] if minute % 30 == 0 else [])]
        await bench.intake.put_all(readings)
        await bench.publisher.step()
    accepted = dict(bench.spool._last)
    bench.link.up = True
    bench.publisher.connected("back")
    first: list[Lane] = []
    arrived: dict[Lane, set[int]] = {lane: set() for lane in Lane}
    began = time.perf_counter()
    while sum(bench.spool.depth().values()):
        for event in await bench.step():
            first.append(event.lane)
            arrived[event.lane].add(event.seq)
        for lane, seqs in arrived.items():
            bench.store(lane, _watermark(seqs))
        clocks.move(0.1)
        assert time.perf_counter() - began < 600, "the drain does not end"
    lost = sum(last - len(arrived[lane]) for lane, last in accepted.items())
    alarms = accepted[Lane.ALARM]
    took = time.perf_counter() - began
    await bench.end()
    in_order = all(lane is Lane.ALARM for lane in first[:alarms])
    return {
        "lost": lost,
        "rows": sum(accepted.values()),
        "alarms_first": in_order,
        "rows_s": len(first) / took,
    }


def _watermark(seqs: set[int]) -> int:
    # Rows of a lane go out in order, so that what has come is a range from 1.
    return len(seqs)


def rss_plain_mb(folder: Path, seconds: int) -> float:
    """Resident memory of a node without cameras, with ten wearables at 50 Hz and fifty sensors."""
    port, webhook = free_port(), free_port()
    wearables = [{"id": f"p{n}", "kind": "pendant", "zone": f"z{n}", "source": "udp"} for n in range(10)]
    kinds = ("door", "motion", "bed", "appliance", "water_use")
    sensors = [
        {"id": f"{k}{n}", "kind": k, "zone": f"z{n}", "source": "http"} for n in range(10) for k in kinds
    ]
    node = {
        "community": "c1",
        "estate": "e1",
        "node": "n1",
        "devices": wearables + sensors,
        "sources": {"udp": {"kind": "udp", "port": port}, "http": {"kind": "http", "port": webhook}},
    }
    (folder / "node.json").write_text(json.dumps(node))
    environment = {
        **os.environ,
        "VIGIL_EDGE_CONFIG": str(folder / "node.json"),
        "VIGIL_EDGE_SPOOL": str(folder / "rss.db"),
        "VIGIL_MQTT_PORT": "9",
        "VIGIL_LOG_LEVEL": "error",
    }
    # A box installs no developers' tools; structlog would load one of them if it were there.
    as_installed = (
        "import runpy, sys; sys.modules['rich'] = None; runpy.run_module('edge', run_name='__main__')"
    )
    process = subprocess.Popen([sys.executable, "-c", as_installed], cwd=ROOT, env=environment)
    try:
        _wear(port, seconds)
        with urllib.request.urlopen(
            urllib.request.Request(
                f"http://127.0.0.1:{webhook}/devices/door1", b'{"contact": false}', method="POST"
            ),
            timeout=10,
        ) as answer:
            assert json.load(answer) == {"accepted": 1}
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.terminate()
        process.wait(20)
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def _wear(port: int, seconds: int) -> None:
    """Send what ten wearers send in so many seconds; each falls down once."""
    rng = Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for half in range(2 * seconds):
            time.sleep(0.5)
            for n in range(10):
                hit = 3000 if half == seconds + n else 0
                lines = [
                    f"A p{n} {500 * half + 20 * k} {rng.gauss(0, 50):.0f} {rng.gauss(-1000 - hit * (k == 12), 50):.0f} 0"
                    for k in range(25)
                ]
                out.sendto("\n".join(lines).encode(), ("127.0.0.1", port))


def camera() -> dict[str, Any]:
    """The cameras' figures, where their benchmark and its recordings are at hand."""
    if find_spec("tests.bench.camera") is None:
        return {}
    return dict(import_module("tests.bench.camera").measure())


def main() -> None:
    count = 6_400 if QUICK else 32_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("VIGIL_BENCH_FOLDER")) as name:
        folder = Path(name)
        ours, plain = spool_events_s(folder, count), sqlite_events_s(folder, count)
        print(f"spool: {ours:.0f} durable events/s from 64 sources; plain SQLite, batches of 64: {plain:.0f}")
        samples = trigger_msamples_s(60 if QUICK else 3600)
        hours = 6 if QUICK else 72
        size, shed = spool_mb(folder, hours)
        print(f"spool: {hours} h of 20 readings/s and 500 alarms take {size:.0f} MB; sheds: {shed}")
        drained = asyncio.run(offline(folder, 2 if QUICK else 24))
        print(f"offline: {drained}")
        rss = rss_plain_mb(folder, 10 if QUICK else 30)
    figures = {
        "spool_events_s": round(ours),
        "spool_vs_sqlite": round(ours / plain, 2),
        "trigger_msamples_s": round(samples, 2),
        "spool_mb_72h": round(size * 72 / hours, 1),
        "spool_shed": shed,
        "offline_lost": drained["lost"],
        "alarms_first": drained["alarms_first"],
        "rss_plain_mb": round(rss, 1),
    }
    print(json.dumps({**figures, **camera()}))


if __name__ == "__main__":
    main()
