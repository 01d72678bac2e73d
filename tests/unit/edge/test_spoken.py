"""Wearables' lines as a serial port and a radio deliver them."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Ble, Device, SerialLine
from edge.sources import Context, ble
from edge.sources.ble import AWAY_S, BleSource
from edge.sources.serial_line import SerialSource
from edge.sources.spoken import LONGEST, Pieces
from vigil.errors import Unavailable
from vigil.events import Data, DeviceHealth, FallSuspected, Sos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.reading import Reading

PENDANT = Device(id="p1", kind="pendant", zone="z1", address="AA:BB:CC:DD:EE:FF")
WAIT_S = 20


class Taken:
    """What a source has handed over, and seconds that stand until they are moved."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.mono = 0.0
        self._came = asyncio.Event()

    @property
    def context(self) -> Context:
        return Context(lambda: datetime(2026, 3, 1, tzinfo=UTC), lambda: self.mono)

    async def put(self, reading: Reading) -> None:
        self.readings.append(reading)
        self._came.set()

    def of(self, kind: type[Data]) -> list[Data]:
        return [reading.data for reading in self.readings if isinstance(reading.data, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._came.clear()
                await self._came.wait()


def a_fall(name: str) -> bytes:
    """Half a minute of a pendant, with an impact of 3 g in it."""
    return b"".join(f"A {name} {20 * n} 0 {-3000 if n == 300 else -1000} 0\r\n".encode() for n in range(1500))


@given(
    lines=st.lists(st.text("AS p7-0123456789", min_size=1, max_size=60).map(str.strip).filter(bool)),
    cuts=st.lists(st.integers(1, 20), min_size=1),
)
def test_lines_are_whole_however_they_are_cut_into_pieces(lines: list[str], cuts: list[int]) -> None:
    stream = "".join(f"{line}\r\n" for line in lines).encode()
    pieces, found, at = Pieces(), [], 0
    for turn in range(len(stream)):
        size = cuts[turn % len(cuts)]
        found += pieces.add(stream[at : at + size])
        at += size
    assert found == lines


def test_noise_without_an_end_is_dropped_and_what_follows_is_understood() -> None:
    pieces = Pieces()
    for _ in range(100):
        assert pieces.add(b"\xff" * LONGEST) == []
    assert pieces.add(b"noise\nS p7\n")[-1] == "S p7"


class TestASerialPort:
    @pytest.fixture
    def port(self) -> Iterator[tuple[int, str]]:
        """A pseudo terminal: the receiver's end, and the path of ours."""
        receiver, ours = os.openpty()
        yield receiver, os.ttyname(ours)
        os.close(ours)
        os.close(receiver)

    @pytest.mark.asyncio
    async def test_brings_a_fall_and_a_press(self, port: tuple[int, str]) -> None:
        taken = Taken()
        source = SerialSource(
            SerialLine(path=port[1]), [msgspec.structs.replace(PENDANT, address="p7")], taken.context
        )
        running = asyncio.create_task(source.run(taken.put))
        await asyncio.sleep(0)
        for piece in (a_fall("p7"), b"nonsense\nS nobody\nS p7\nB p7 87\n"):
            await asyncio.to_thread(os.write, port[0], piece)
        await taken.until(lambda: taken.of(DeviceHealth))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(taken.of(FallSuspected)) == 1
        assert taken.of(Sos) == [Sos(by="button", zone="z1")]
        assert taken.of(DeviceHealth) == [DeviceHealth(battery_pct=87.0, zone="z1")]

    @pytest.mark.asyncio
    async def test_that_is_not_there_is_named(self) -> None:
        source = SerialSource(SerialLine(path="/dev/nowhere"), [], Taken().context)
        with pytest.raises(Unavailable, match="/dev/nowhere"):
            await source.run(Taken().put)

    @pytest.mark.asyncio
    async def test_that_is_no_port_is_named(self) -> None:
        source = SerialSource(SerialLine(path=os.devnull), [], Taken().context)
        with pytest.raises(Unavailable, match=os.devnull):
            await source.run(Taken().put)

    @pytest.mark.asyncio
    async def test_that_is_pulled_out_ends_the_source_which_is_then_started_again(self) -> None:
        receiver, ours = os.openpty()
        path = os.ttyname(ours)
        running = asyncio.create_task(
            SerialSource(SerialLine(path=path), [], Taken().context).run(Taken().put)
        )
        await asyncio.sleep(0)
        os.close(ours)
        os.close(receiver)
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(Unavailable):
                await running


class Wearable:
    """A device in the air: what a radio would do with it, told by the test."""

    def __init__(self) -> None:
        self.in_reach = True
        self.dialled = 0
        self.piece: Callable[[bytes], None] | None = None
        self.ended: Callable[[], None] | None = None

    def dial(self, address: str, ended: Callable[[], None]) -> Wearable:
        assert address == PENDANT.address
        self.dialled, self.ended = self.dialled + 1, ended
        return self

    async def connect(self) -> None:
        if not self.in_reach:
            raise Unavailable("the wearable", "not found")

    async def notify(self, characteristic: str, piece: Callable[[bytes], None]) -> None:
        assert characteristic == Ble().notify
        self.piece = piece

    async def disconnect(self) -> None:
        self.piece = None

    def says(self, data: bytes, size: int = 20) -> None:
        """Send as notifications of 20 bytes, the least that Bluetooth LE allows."""
        assert self.piece is not None
        for at in range(0, len(data), size):
            self.piece(data[at : at + size])

    def goes(self) -> None:
        assert self.ended is not None
        self.in_reach = False
        self.ended()


class TestBluetooth:
    @pytest.mark.asyncio
    async def test_brings_a_fall_and_a_press_whatever_the_device_calls_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ble, "AGAIN_S", 0.01)
        taken, air = Taken(), Wearable()
        running = asyncio.create_task(BleSource(Ble(), [PENDANT], taken.context, air.dial).run(taken.put))
        async with asyncio.timeout(WAIT_S):
            while air.piece is None:  # noqa: ASYNC110 - the radio tells nobody
                await asyncio.sleep(0)
        air.says(a_fall("me") + b"S me\n")
        await taken.until(lambda: taken.of(Sos))
        assert len(taken.of(FallSuspected)) == 1

        air.goes()
        taken.mono += AWAY_S
        await taken.until(lambda: taken.of(DeviceHealth))
        assert taken.of(DeviceHealth) == [DeviceHealth(trouble=["out of reach"], zone="z1")]
        dialled = air.dialled
        air.in_reach = True
        await taken.until(lambda: len(taken.of(DeviceHealth)) > 1)
        assert taken.of(DeviceHealth)[1] == DeviceHealth(trouble=[], zone="z1")
        assert air.dialled > dialled
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @pytest.mark.asyncio
    async def test_of_a_box_without_an_adapter_fails_as_the_radio_s_absence(self) -> None:
        dial = ble._bleak()
        radio = dial("AA:BB:CC:DD:EE:FF", lambda: None)
        with pytest.raises(Unavailable, match="AA:BB:CC:DD:EE:FF"):
            await radio.connect()
