"""`python -m edge` as a process, with a real broker, killed and stopped."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from deploy.embedded.servers import Broker
from tests.integration.edge.platform import WAIT_S, Platform, eventually
from vigil.events import Birth, FallSuspected, decode_data
from vigil.settings import MqttSettings
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own: it will be killed."""
    server = Broker(tmp_path / "mqtt")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def platform(broker: Broker, community: str) -> Iterator[Platform]:
    settings = MqttSettings(mqtt_host="127.0.0.1", mqtt_port=broker.port)
    with Platform(settings, community).running() as platform:
        yield platform


class Edge:
    """One node as a process of its own; what it is made of stays in a folder."""

    def __init__(self, folder: Path, community: str, mqtt_port: int, **simulator: float) -> None:
        self.spool = folder / "spool.db"
        self.file = folder / "node.json"
        self._environment = {
            **os.environ,
            "VIGIL_MQTT_HOST": "127.0.0.1",
            "VIGIL_MQTT_PORT": str(mqtt_port),
            "VIGIL_EDGE_CONFIG": str(self.file),
            "VIGIL_EDGE_SPOOL": str(self.spool),
        }
        day = {"kind": "simulator", "speed": 5.0, "first_fall_s": 0.5, "fall_every_s": 600, **simulator}
        pendants = [{"id": f"p{n}", "kind": "pendant", "zone": "z1", "source": "day"} for n in range(2)]
        self.write(community=community, estate="e1", node="n1", devices=pendants, sources={"day": day})

    def write(self, **node: Any) -> None:
        self.file.write_text(json.dumps(node))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "edge"]
        with subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def rows(self, lane: Lane) -> int:
        """How many rows of a lane are in its spool, as seen from outside."""
        look = sqlite3.connect(f"file:{self.spool}?mode=ro", uri=True)
        try:
            (count,) = look.execute("SELECT count(*) FROM spooled WHERE lane = ?", (lane,)).fetchone()
        finally:
            look.close()
        return int(count)

    def accepted(self) -> list[tuple[str, Lane, int]]:
        look = sqlite3.connect(f"file:{self.spool}?mode=ro", uri=True)
        try:
            found = look.execute("SELECT boot, lane, last FROM accepted").fetchall()
        finally:
            look.close()
        return [(boot, Lane(lane), last) for boot, lane, last in found]


@pytest.fixture
def edge(tmp_path: Path, community: str, broker: Broker) -> Edge:
    return Edge(tmp_path, community, broker.port)


def alarms(platform: Platform) -> int:
    return sum(event.lane is Lane.ALARM for event in platform.events)


def test_a_simulated_fall_reaches_the_platform_and_leaves_the_spool_on_its_receipt(
    edge: Edge, platform: Platform
) -> None:
    with edge.running():
        platform.wait(lambda: alarms(platform) > 0)
        (fall, *_) = [event for event in platform.events if event.lane is Lane.ALARM]
        assert isinstance(decode_data(fall), FallSuspected)
        assert fall.synthetic == "demo"
        assert fall.age is not None
        eventually(lambda: edge.rows(Lane.ALARM) == 0)


def test_births_and_state_carry_the_connection_s_session(edge: Edge, platform: Platform) -> None:
    with edge.running():
        platform.wait(lambda: platform.births.keys() >= {"n1", "p0", "p1"})
        births = [msgspec.json.decode(raw, type=Birth) for raw in platform.births.values()]
        assert {birth.session for birth in births} == {platform.states[0].session}
        assert platform.states[0].online


def test_a_node_that_is_told_to_end_says_goodbye(edge: Edge, platform: Platform) -> None:
    with edge.running() as process:
        platform.wait(lambda: bool(platform.states))
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    platform.wait(lambda: not platform.states[-1].online)


def test_a_killed_node_is_reported_by_its_will_and_takes_up_what_it_had_accepted(
    edge: Edge, platform: Platform
) -> None:
    platform.storing = False
    with edge.running() as process:
        platform.wait(lambda: alarms(platform) > 0)
        process.send_signal(signal.SIGKILL)
    platform.wait(lambda: not platform.states[-1].online)
    assert platform.states[-1].session == platform.states[0].session
    accepted = edge.accepted()
    platform.events.clear()
    platform.storing = True
    with edge.running():
        for boot, lane, last in accepted:
            platform.wait(lambda b=boot, of=lane, n=last: platform.seqs(b, of) == set(range(1, n + 1)))  # type: ignore[misc]  # defaults bind the loop's variables
    again = [event for event in platform.events if event.boot == accepted[0][0]]
    assert all(event.replayed for event in again)


def test_nothing_accepted_while_the_broker_is_away_is_lost(
    edge: Edge, broker: Broker, platform: Platform
) -> None:
    with edge.running() as process:
        platform.wait(lambda: bool(platform.events))
        broker.kill()
        before = edge.accepted()
        eventually(lambda: edge.accepted() != before)
        broker.start()
        platform.wait(lambda: len(platform.states) > 1)
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)
    accepted = edge.accepted()
    with edge.running():
        for boot, lane, last in accepted:
            platform.wait(lambda b=boot, of=lane, n=last: platform.seqs(b, of) >= set(range(1, n + 1)))  # type: ignore[misc]  # defaults bind the loop's variables


def test_a_bad_file_ends_the_process_with_one_line_that_names_the_field(edge: Edge) -> None:
    edge.write(community="c1", estate="e1", node="n1", devices=[{"id": "d1", "kind": "toaster"}])
    with edge.running() as process:
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert "VIGIL_EDGE_CONFIG" in said
    assert "$.devices[0].kind" in said
