"""The seeded load that every contender gets: the same events, made before the clock runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

from fallback.canary import fall
from vigil.events import FallSuspected, Readings, SensorChanged, encode, envelope_of
from vigil.topics import Address, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from vigil.events import Data

COMMUNITY, ESTATE = "c-bench", "e-bench"
BOOT: Final = "1-0000abcd"
FALL_IN: Final = 50
DEVICES_A_NODE: Final = 50
"""One box for the sensors of a stairwell."""
KINDS: Final = {"telemetry": Kind.TELEMETRY, "event": Kind.EVENT, "window": Kind.ALARM}


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it goes over MQTT, and the node that keys it in Kafka."""

    topic: str
    payload: bytes
    node: str


def node_of(device: int) -> str:
    """Return the node that a device hangs on."""
    return f"n{device // DEVICES_A_NODE}"


def device_of(device: int) -> str:
    """Return a device's name."""
    return f"d{device}"


def messages(
    kind: str, count: int, devices: int, at: datetime, *, seed: int = 1, boot: str = BOOT
) -> Iterator[Message]:
    """Yield events of one kind, one second of the community's time per 1,000.

    Args:
        kind: `telemetry` (20 readings), `event` (a binary sensor) or `window` (3 kB of samples, one
            in `FALL_IN` a fall, the others stumbles).
        count: How many.
        devices: Over how many devices they are spread, in turn from node to node.
        at: When the first one happened.
        seed: Of what they hold.
        boot: Whose sequence numbers they continue; a new one makes new events.
    """
    rng = Random(seed)
    seqs: dict[str, int] = {}
    for number in range(count):
        device = number * DEVICES_A_NODE % devices + number * DEVICES_A_NODE // devices % DEVICES_A_NODE
        node = node_of(device)
        seqs[node] = seqs.get(node, 0) + 1
        address = Address(COMMUNITY, ESTATE, node)
        time = at + timedelta(milliseconds=number)
        made = envelope_of(
            address, device_of(device), data_of(kind, number, rng), time=time, boot=boot, seq=seqs[node],
            clock="synced",
        )  # fmt: skip
        yield Message(address.topic(KINDS[kind], device_of(device)), encode(made), node)


def data_of(kind: str, number: int, rng: Random) -> Data:
    """Return what an event of a kind says; one window in `FALL_IN` is a fall."""
    if kind == "telemetry":
        return Readings(
            quantity="activity", interval_s=1.0, values=[rng.randrange(999) / 8 for _ in range(20)]
        )
    if kind == "event":
        return SensorChanged(sensor="motion", state=number % 2 == 0)
    return fall(f"e{number}") if number % FALL_IN == 0 else window(f"e{number}", rng)


def window(episode: str, rng: Random, peak_mg: int | None = None) -> FallSuspected:
    """Return the window of a stumble: an impact on a device at rest."""
    noise = np.random.default_rng(rng.randrange(2**32)).integers(-40, 40, (200, 3))
    noise[:, 2] += 1000
    noise[100, 2] = peak_mg or 2000 + rng.randrange(2000)
    samples = noise.reshape(-1).tolist()
    return FallSuspected(accel_mg=samples, peak_g=samples[302] / 1000, placement="waist", episode=episode)
