"""What a box observes: wearables, homes, cameras; one module a kind of source.

Place in the flow: first of all; each source hands `edge.reading.Reading`s to `edge.intake`.
A source's module is imported when a node has such a source, so that a box without cameras
or recordings does not carry their weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge import config

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edge.camera import Offer
    from edge.config import Device, Node, SourceSpec
    from edge.reading import Source
    from vigil.clock import Clock
    from vigil.events import Synthetic

_MODULES: Final[dict[type, tuple[str, str]]] = {
    config.Recordings: ("edge.sources.recordings", "RecordingsSource"),
    config.HomeLog: ("edge.sources.home_log", "HomeLogSource"),
    config.Simulator: ("edge.sources.simulator", "SimulatorSource"),
    config.Udp: ("edge.sources.udp", "UdpSource"),
    config.SerialLine: ("edge.sources.serial_line", "SerialSource"),
    config.Ble: ("edge.sources.ble", "BleSource"),
    config.Http: ("edge.sources.http", "HttpSource"),
    config.Zigbee2Mqtt: ("edge.sources.brokered", "zigbee"),
    config.Frigate: ("edge.sources.brokered", "frigate_source"),
}


@dataclass(frozen=True, slots=True)
class Context:
    """What every source is given.

    Attributes:
        utc: The wall clock.
        mono: Seconds that only grow.
        synthetic: Marks all that the node sends, or None.
    """

    utc: Clock
    mono: Callable[[], float]
    synthetic: Synthetic | None = None


def build(
    node: Node,
    names: Collection[str],
    utc: Clock,
    mono: Callable[[], float],
    offer: Offer | None = None,
) -> dict[str, Source]:
    """Build sources of the node, by name.

    Args:
        node: The config.
        names: Which of its sources; others may be named.
        utc: The wall clock.
        mono: Seconds that only grow.
        offer: Takes the frames of suspicions from the cameras that may show any; see `edge.evidence`.

    Raises:
        Misconfigured: A source cannot be made as the file describes it.
    """
    context = Context(utc, mono, node.synthetic)
    return {
        name: _built(spec, node.of_source(name), context, offer)
        for name, spec in node.sources.items()
        if name in names
    }


def _built(spec: SourceSpec, devices: list[Device], context: Context, offer: Offer | None) -> Source:
    if isinstance(spec, config.Cameras):
        return _cameras(spec, devices, context, offer if spec.evidence_frames else None)
    module, name = _MODULES[type(spec)]
    source: Source = getattr(import_module(module), name)(spec, devices, context)
    return source


def _cameras(spec: config.Cameras, devices: list[Device], context: Context, offer: Offer | None) -> Source:
    # Imported here: OpenCV and LiteRT weigh more than all the rest of the edge.
    from edge.camera import Camera  # noqa: PLC0415
    from edge.sources.camera import Cameras, load_pose  # noqa: PLC0415

    cameras = [
        Camera(
            device=device.id,
            address=device.address or "0",
            zone=device.zone,
            fps=device.view.fps,
            masks=device.view.masks,
            zones=device.view.zones,
            repeat=device.view.repeat,
        )
        for device in devices
    ]
    pose = load_pose(Path(spec.pose_model)) if spec.pose_model else None
    return Cameras(
        cameras,
        pose,
        clock=context.utc,
        monotonic=context.mono,
        synthetic=context.synthetic,
        offer=offer,
    )
