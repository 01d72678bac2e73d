"""A real Prometheus and Alertmanager with the shipped files look at the running rooms."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.embedded.servers import HOST
from deploy.grafana.__main__ import queries
from deploy.prometheus.__main__ import declared
from fallback.monitoring import look
from tests.conftest import lacking
from tests.household import ROOT
from tests.servers import monitoring
from tests.servers.monitoring import Monitoring
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.story.conftest import Platform

pytestmark = [pytest.mark.story, pytest.mark.integration, pytest.mark.stack, pytest.mark.slow]

ROOMS = ("ingest", "processors", "api")


class Told(BaseHTTPRequestHandler):
    """Takes what Alertmanager tells, and remembers where it was told."""

    paths: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).paths.add(self.path)
        self.send_response(HTTPStatus.OK)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def told() -> Iterator[tuple[str, set[str]]]:
    """Where Alertmanager tells, and what has been told."""
    paths: set[str] = set()
    server = HTTPServer((HOST, 0), type("Taking", (Told,), {"paths": paths}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://{HOST}:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


def served(port: int) -> set[str]:
    """The metrics that a process has, whether they have samples or not."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as answer:
        found = re.findall(r"^# TYPE (vigil_\w+) (\w+)$", answer.read().decode(), re.MULTILINE)
    return {name for name, _ in found}


def checked(platform: Platform, ports: Mapping[str, int]) -> list[str]:
    """What `python -m deploy.check` says of the running platform, a line each."""
    listed = ",".join(f"{room}={HOST}:{port}" for room, port in ports.items())
    own = {"VIGIL_CHECK_COMMUNITY": "c1", "VIGIL_CHECK_PROCESSES": listed, "VIGIL_DATABASE_DSN": platform.dsn}
    command = [sys.executable, "-m", "deploy.check"]
    environment = {**platform.household.environment, **own}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


async def as_the_watchdog_sees_it(alertmanager: str) -> str | None:
    async with httpx.AsyncClient() as client:
        return await look(client, alertmanager, utc_now())


def test_prometheus_sees_every_room_and_its_alerts_and_heartbeat_arrive(
    platform: Platform, tmp_path: Path, told: tuple[str, set[str]]
) -> None:
    if reason := monitoring.missing():
        lacking(reason)
    sink, paths = told
    ports = {room: platform.household.ports[room] for room in ROOMS}
    for room, port in ports.items():
        wanted = {metric.name for metric in declared() if metric.room == room}
        assert wanted - served(port) == set(), f"{room} does not have what its code declares"
    said = checked(platform, ports)
    assert {f"ok  {room} is ready" for room in ROOMS} <= set(said)
    # The platform of a story has a broker that lets anybody in: that is all there is against it here.
    wrong = [line for line in said if line.startswith("BAD") and "clock is not synchronised" not in line]
    assert [line[4:14] for line in wrong] == ["the broker", "the broker"], said
    targets = {room: [f"{HOST}:{port}"] for room, port in ports.items()}
    with Monitoring(tmp_path / "monitoring", targets, sink) as seen:
        seen.wait(lambda: len(seen.query('up{job=~"vigil-(ingest|processors|api)"} == 1')) == len(ROOMS))
        seen.wait(lambda: bool(seen.query("vigil_gauges_timestamp_seconds > 0")))
        for query in queries():
            seen.query(query)  # whatever a board asks is understood
        seen.wait(lambda: "/heartbeat" in paths)
        assert asyncio.run(as_the_watchdog_sees_it(seen.alertmanager)) is None
        assert "VigilRoomDown" not in seen.alerts()

        platform.household.processes["ingest"].stop(10)
        seen.wait(lambda: "VigilRoomDown" in seen.alerts())
        platform.household.start("ingest", "ingest")
