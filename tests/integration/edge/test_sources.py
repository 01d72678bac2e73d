"""Sources with what they really talk to: sockets, a broker, the recordings."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge import config
from edge.config import Device, Frigate, HomeLog, Http, Recordings, Simulator, Udp, Zigbee2Mqtt
from edge.reading import Reading, Source, check
from edge.sources import Context, build
from edge.sources.brokered import frigate_source, zigbee
from edge.sources.home_log import HomeLogSource
from edge.sources.http import HttpSource
from edge.sources.recordings import RecordingsSource
from edge.sources.simulator import SimulatorSource
from edge.sources.udp import UdpSource
from vigil.clock import utc_now
from vigil.errors import Misconfigured, Rejected
from vigil.events import DeviceHealth, FallSuspected, Hazard, Readings, SensorChanged, Sos, Stillness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

WAIT_S = 20
CONTEXT = Context(utc_now, time.monotonic)


class Taken:
    """What a source has handed over."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self._came = asyncio.Event()

    async def put(self, reading: Reading) -> None:
        check(reading)
        self.readings.append(reading)
        self._came.set()

    def of(self, kind: type) -> list[Reading]:
        return [reading for reading in self.readings if isinstance(reading.data, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[Taken]:
    taken = Taken()
    task = asyncio.create_task(source.run(taken.put))
    try:
        yield taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def bound(source: UdpSource | HttpSource) -> int:
    """Its port, once it listens."""
    async with asyncio.timeout(WAIT_S):
        while not source.port:  # noqa: ASYNC110 - the system chooses it, and tells nobody
            await asyncio.sleep(0.01)
    return source.port


class TestUdp:
    async def test_samples_a_press_and_a_battery_become_readings(self) -> None:
        source = UdpSource(Udp(), [Device(id="p1", kind="pendant", zone="z1", address="pendant-7")], CONTEXT)
        async with running(source) as taken:
            port = await bound(source)
            samples = [(0, -3000 if n == 300 else -1000, 0) for n in range(1500)]
            lines = [f"A pendant-7 {20 * n} {x} {y} {z}" for n, (x, y, z) in enumerate(samples)]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                for at in range(0, len(lines), 25):
                    out.sendto("\n".join(lines[at : at + 25]).encode(), ("127.0.0.1", port))
                    await asyncio.sleep(0)
                out.sendto(b"nonsense\nS nobody\nS pendant-7\nB pendant-7 87", ("127.0.0.1", port))
            await taken.until(lambda: taken.of(DeviceHealth))
        assert [r.data.peak_g for r in taken.of(FallSuspected) if isinstance(r.data, FallSuspected)] == [3.0]
        assert len(taken.of(Stillness)) == 1
        assert [r.data for r in taken.of(Sos)] == [Sos(by="button", zone="z1")]
        assert [r.data for r in taken.of(DeviceHealth)] == [DeviceHealth(battery_pct=87.0, zone="z1")]


class TestHttp:
    DOOR = Device(id="door1", kind="door", zone="z1", address="front door")

    def post(self, port: int, path: str, body: bytes, token: str = "") -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", body, {"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310 - our own server
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    async def test_a_sensor_posts_what_it_knows(self) -> None:
        source = HttpSource(Http(token="secret"), [self.DOOR], CONTEXT)
        async with running(source) as taken:
            port = await bound(source)
            said = await asyncio.to_thread(
                self.post, port, "/devices/front%20door", b'{"contact": false}', "secret"
            )
        assert said == (200, {"accepted": 1})
        assert [r.data for r in taken.readings] == [SensorChanged(sensor="door", state=True, zone="z1")]

    async def test_a_hub_posts_batched_readings(self) -> None:
        source = HttpSource(Http(), [self.DOOR], CONTEXT)
        body = b'{"quantity": "temperature_c", "interval_s": 1, "values": [21.5, 21.6]}'
        async with running(source) as taken:
            port = await bound(source)
            said = await asyncio.to_thread(self.post, port, "/devices/front%20door", body)
        assert said == (200, {"accepted": 1})
        assert [r.data for r in taken.readings] == [
            Readings(quantity="temperature_c", interval_s=1.0, values=[21.5, 21.6], zone="z1")
        ]

    @pytest.mark.parametrize(
        ("path", "body", "token", "status"),
        [
            ("/devices/front%20door", b"{", "secret", 400),
            ("/devices/front%20door", b'{"quantity": "No!", "interval_s": 1, "values": [1]}', "secret", 400),
            ("/devices/front%20door", b'{"values": []}', "secret", 400),
            ("/devices/back%20door", b"{}", "secret", 404),
            ("/", b"{}", "secret", 404),
            ("/devices/front%20door", b"{}", "guessed", 401),
            ("/devices/front%20door", b" " * 70_000, "secret", 413),
        ],
    )
    async def test_anything_else_is_refused_with_a_reason(
        self, path: str, body: bytes, token: str, status: int
    ) -> None:
        source = HttpSource(Http(token="secret"), [self.DOOR], CONTEXT)
        async with running(source) as taken:
            port = await bound(source)
            code, said = await asyncio.to_thread(self.post, port, path, body, token)
        assert code == status
        assert said["error"]
        assert taken.readings == []


class TestBrokered:
    @asynccontextmanager
    async def owner(self, stack: Stack, source: Source, *messages: tuple[str, bytes]) -> AsyncIterator[Taken]:
        """A source on the owner's broker, where each message is retained as these projects may do."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect(stack.addresses.mqtt_host, stack.addresses.mqtt_port)
        client.loop_start()
        try:
            for topic, payload in messages:
                await asyncio.to_thread(
                    client.publish(topic, payload, qos=1, retain=True).wait_for_publish, WAIT_S
                )
            async with running(source) as taken:
                yield taken
        finally:
            for topic, _ in messages:
                await asyncio.to_thread(
                    client.publish(topic, b"", qos=1, retain=True).wait_for_publish, WAIT_S
                )
            client.disconnect()
            client.loop_stop()

    async def test_smoke_reported_by_zigbee2mqtt_becomes_a_hazard(self, stack: Stack, community: str) -> None:
        base = f"z2m-{community}"
        spec = Zigbee2Mqtt(host=stack.addresses.mqtt_host, port=stack.addresses.mqtt_port, base=base)
        device = Device(id="smoke1", kind="smoke", zone="z1", address="kitchen/smoke")
        message = (f"{base}/kitchen/smoke", b'{"smoke": true, "battery": 97, "linkquality": 120}')
        async with self.owner(stack, zigbee(spec, [device], CONTEXT), message) as taken:
            await taken.until(lambda: taken.of(DeviceHealth))
        assert [r.data for r in taken.of(Hazard)] == [Hazard(hazard="smoke", zone="z1")]

    async def test_a_person_tracked_by_frigate_becomes_presence_and_nonsense_is_passed_over(
        self, stack: Stack, community: str
    ) -> None:
        base = f"frigate-{community}"
        spec = Frigate(host=stack.addresses.mqtt_host, port=stack.addresses.mqtt_port, base=base)
        device = Device(id="cam1", kind="presence", zone="z1", address="yard")
        item = {"id": "1.5-abc", "camera": "yard", "label": "person", "current_zones": []}
        event = json.dumps({"type": "new", "before": item, "after": item}).encode()
        messages = [(f"{base}/reviews", b"nonsense"), (f"{base}/events", event)]
        async with self.owner(stack, frigate_source(spec, [device], CONTEXT), *messages) as taken:
            await taken.until(lambda: taken.readings)
        assert [r.data for r in taken.readings] == [SensorChanged(sensor="presence", state=True, zone="z1")]


class TestSimulator:
    async def test_a_community_falls_moves_and_calls_and_all_of_it_is_marked(self) -> None:
        devices = [Device(id=f"p{n}", kind="pendant", zone=f"z{n}") for n in range(3)]
        devices += [Device(id=f"motion{n}", kind="motion", zone=f"z{n}") for n in range(3)]
        devices += [Device(id="sos", kind="sos_button", zone="z9")]
        spec = Simulator(seed=3, speed=200.0, first_fall_s=20, fall_every_s=120)
        async with running(SimulatorSource(spec, devices, CONTEXT)) as taken:
            await taken.until(
                lambda: all(
                    taken.of(kind) for kind in (FallSuspected, Stillness, Readings, DeviceHealth, Sos)
                )
            )
        assert {reading.synthetic for reading in taken.readings} == {"demo"}


class TestRecordings:
    async def test_a_recorded_fall_is_played_soon_and_every_reading_is_valid(self, data_dir: Path) -> None:
        spec = Recordings(path=str(data_dir / "weda"), dataset="weda", speed=20.0, first_fall_s=1.0, seed=4)
        devices = [Device(id="b1", kind="wrist_band", zone="z1", address="U01")]
        async with running(RecordingsSource(spec, devices, CONTEXT)) as taken:
            await taken.until(lambda: taken.of(Stillness))
        (fall, *_) = taken.of(FallSuspected)
        assert isinstance(fall.data, FallSuspected)
        assert fall.data.placement == "wrist"
        assert fall.synthetic is None

    async def test_a_subject_that_nobody_recorded_is_named(self, data_dir: Path) -> None:
        spec = Recordings(path=str(data_dir / "weda"), dataset="weda")
        with pytest.raises(Misconfigured, match="U99"):
            RecordingsSource(spec, [Device(id="b1", kind="wrist_band", address="U99")], CONTEXT)

    async def test_recordings_that_are_not_there_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match=r"sisfall_index\.csv"):
            RecordingsSource(Recordings(path=str(tmp_path), dataset="sisfall"), [], CONTEXT)

    async def test_a_recorded_home_comes_to_life(self, data_dir: Path) -> None:
        spec = HomeLog(path=str(data_dir / "kasteren_mit" / "houseB.sensors"), speed=50_000.0)
        device = Device(id="door", kind="door", zone="z1", address="1")
        async with running(HomeLogSource(spec, [device], CONTEXT)) as taken:
            await taken.until(lambda: len(taken.readings) >= 2)
        states = [r.data.state for r in taken.readings if isinstance(r.data, SensorChanged)]
        assert states[:2] in ([True, False], [False, True])


async def test_every_kind_of_source_in_a_file_has_a_builder() -> None:
    kinds = ("udp", "serial", "ble", "http", "zigbee2mqtt", "frigate", "simulator", "cameras")
    raw = {
        "community": "c1",
        "estate": "e1",
        "node": "n1",
        "sources": {
            kind: {"kind": kind} | ({"path": "/dev/ttyUSB0"} if kind == "serial" else {}) for kind in kinds
        },
    }
    node = config.parse(json.dumps(raw).encode())
    assert set(build(node, kinds, utc_now, time.monotonic)) == set(kinds)


async def test_a_reading_that_no_platform_would_take_is_found_by_the_check() -> None:
    with pytest.raises(Rejected):
        check(Reading("", Sos(by="button"), utc_now()))
