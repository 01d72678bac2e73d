"""A node's file: who it is, which devices it has, and where their observations come from.

Place in the flow: `edge.__main__` reads it at the start (`VIGIL_EDGE_CONFIG`, YAML or
JSON); `edge.remote_config` lays over it what the platform decides (`vigil.boxconfig`), by
`merged`.  A bad file is refused with the field that is wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from vigil import boxconfig
from vigil.boxconfig import Area, Fps, Placement
from vigil.errors import Misconfigured, Rejected
from vigil.events import Id, Synthetic
from vigil.purposes import CAMERA
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vigil.boxconfig import DeviceSettings, Settings

Positive = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]
DeviceKind = Literal[
    "hub",
    "pendant",
    "wrist_band",
    "chest_band",
    "sos_button",
    "camera",
    "motion",
    "door",
    "bed",
    "chair",
    "appliance",
    "water_use",
    "presence",
    "smoke",
    "gas",
    "water",
]
WORN: Final = {"pendant": "chest", "wrist_band": "wrist", "chest_band": "chest"}
"""Where a wearable is worn unless its entry says otherwise; a pendant hangs on the chest."""


class _Spec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A misspelt field is an error, never a default."""


class Recordings(_Spec, frozen=True, kw_only=True, tag="recordings", tag_field="kind"):
    """SisFall or WEDA recordings, played as live wearables.

    A device's `address` is the subject whose recordings it plays, such as `SA01`.

    Attributes:
        path: Folder of the data set.
        dataset: Which one.
        speed: 2 plays twice as fast.
        seed: Decides the order.
        first_fall_s: When, after the start, the first recorded fall begins.
        fall_every_s: Mean time between falls afterwards, over all devices.
    """

    path: str
    dataset: Literal["sisfall", "weda"]
    speed: Positive = 1.0
    seed: int = 1
    first_fall_s: Positive = 8.0
    fall_every_s: Positive = 90.0


class HomeLog(_Spec, frozen=True, kw_only=True, tag="home_log", tag_field="kind"):
    """A recorded home of binary sensors (van Kasteren's format), played at the present time.

    A device's `address` is the sensor's number in the log.

    Attributes:
        path: The `.sensors` file.
        speed: 2 plays twice as fast.
        time_zone: Where the home is to stand: its mornings become mornings there.
    """

    path: str
    speed: Positive = 1.0
    time_zone: str = "Asia/Shanghai"


class Simulator(_Spec, frozen=True, kw_only=True, tag="simulator", tag_field="kind"):
    """A seeded day in an estate, for all devices that name this source; marked `demo`.

    Attributes:
        seed: Decides everything but the clock.
        speed: 2 lives twice as fast.
        time_zone: Where the simulated people live.
        first_fall_s: When, after the start, the first fall happens.
        fall_every_s: Mean time between falls afterwards, over all devices.
    """

    seed: int = 1
    speed: Positive = 1.0
    time_zone: str = "Asia/Shanghai"
    first_fall_s: Positive = 12.0
    fall_every_s: Positive = 300.0


class Udp(_Spec, frozen=True, kw_only=True, tag="udp", tag_field="kind"):
    """Accelerometers that send lines over UDP; a device's `address` is its name there."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class SerialLine(_Spec, frozen=True, kw_only=True, tag="serial", tag_field="kind"):
    """A receiver on a serial port that passes wearables' lines on; a device's `address` is its name there.

    Attributes:
        path: The port, such as `/dev/ttyUSB0`.
        baud: Its speed; 8 data bits, no parity, one stop bit.
    """

    path: str
    baud: Literal[9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = 115200


class Ble(_Spec, frozen=True, kw_only=True, tag="ble", tag_field="kind"):
    """Wearables that send lines over Bluetooth LE; a device's `address` is its Bluetooth address.

    Attributes:
        notify: The characteristic that they notify on; by default the Nordic UART service's.
    """

    notify: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f-]{36}$")] = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"


class Http(_Spec, frozen=True, kw_only=True, tag="http", tag_field="kind"):
    """A webhook for sensors and hubs; a device's `address` is its name there."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    token: str | None = None


class _Brokered(_Spec, frozen=True, kw_only=True):
    """A broker of the owner's.

    Attributes:
        host: Its address.
        port: Its port.
        username: Where it wants one.
        password: Where it wants one.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str | None = None
    password: str | None = None


class Zigbee2Mqtt(_Brokered, frozen=True, kw_only=True, tag="zigbee2mqtt", tag_field="kind"):
    """Zigbee2MQTT below `base`; a device's `address` is its friendly name."""

    base: str = "zigbee2mqtt"


class Frigate(_Brokered, frozen=True, kw_only=True, tag="frigate", tag_field="kind"):
    """Frigate below `base`; a device's `address` is a camera, or `camera/zone`."""

    base: str = "frigate"


class HomeAssistant(_Brokered, frozen=True, kw_only=True):
    """Home Assistant's broker, where the owner is shown how the box is; `prefix` is its discovery's."""

    prefix: str = "homeassistant"


class Cameras(_Spec, frozen=True, kw_only=True, tag="cameras", tag_field="kind"):
    """The cameras of a box, analysed together; no picture leaves it unless it is allowed to.

    A device's `address` is a path, an rtsp address or the number of a USB camera.

    Attributes:
        pose_model: Path of the pose model; without it motion and health only.
        evidence_frames: The installer allows frames as evidence; each also needs the consent of
            everybody whom its camera watches over, as the platform's permit says.
    """

    pose_model: str | None = None
    evidence_frames: bool = False


class View(_Spec, frozen=True, kw_only=True):
    """How a camera looks at its place; points are fractions of the frame.

    Attributes:
        fps: Frames a second that are analysed.
        masks: Private areas, blackened before anything else sees the frame.
        zones: Areas by the zone's id.
        repeat: A file begins again at its end.
    """

    fps: Fps = 8.0
    masks: tuple[Area, ...] = ()
    zones: dict[Id, Area] = {}
    repeat: bool = False


SourceSpec = (
    Recordings | HomeLog | Simulator | Udp | SerialLine | Ble | Http | Zigbee2Mqtt | Frigate | Cameras
)


class LogAlarm(_Spec, frozen=True, kw_only=True, tag="log", tag_field="kind"):
    """The local alarm is a line in the log."""


class ShellAlarm(_Spec, frozen=True, kw_only=True, tag="shell", tag_field="kind"):
    """The local alarm is a command."""

    command: Annotated[list[str], Meta(min_length=1)]


class HttpAlarm(_Spec, frozen=True, kw_only=True, tag="http", tag_field="kind"):
    """The local alarm is a POST."""

    url: Annotated[str, Meta(pattern=r"^https?://")]


LocalAlarmSpec = LogAlarm | ShellAlarm | HttpAlarm


class Device(_Spec, frozen=True, kw_only=True):
    """A device of this node.

    Attributes:
        id: As registered with the platform.
        kind: What it is.
        zone: Where it is.
        placement: Where a wearable is worn; by default what its kind implies.
        source: Name of the source that observes it; none for the node's own device.
        address: What the source calls it; its id where the source has no name for it.
        model: Maker's name of it, for the platform's list.
        firmware: Its software's version.
        view: How a camera looks at its place.
    """

    id: Id
    kind: DeviceKind
    zone: Id | None = None
    placement: Placement | None = None
    source: str | None = None
    address: str | None = None
    model: str = ""
    firmware: str = ""
    view: View = View()

    @property
    def worn(self) -> str | None:
        """Where the device is worn, None for what is not worn."""
        return self.placement or WORN.get(self.kind)


class Node(_Spec, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        community, estate, node: The node's address.
        devices: Its devices; the node's own one (its id, kind `hub`) is added if left out.
        sources: By name.
        local_alarm: How the box makes itself heard.
        spool_max_mb: Bound of the spool.
        home_assistant: Where the owner is shown how the box is; nowhere unless asked for.
        synthetic: Marks all that the node sends, for drills and demonstrations.
    """

    community: Id
    estate: Id
    node: Id
    devices: list[Device] = []
    sources: dict[str, SourceSpec] = {}
    local_alarm: LocalAlarmSpec = LogAlarm()
    spool_max_mb: Annotated[int, Meta(ge=1)] = 1024
    home_assistant: HomeAssistant | None = None
    synthetic: Synthetic | None = None

    @property
    def address(self) -> Address:
        """Where the node stands."""
        return Address(self.community, self.estate, self.node)

    def of_source(self, name: str) -> list[Device]:
        """Return the devices that a source observes."""
        return [device for device in self.devices if device.source == name]


def read(path: Path, variable: str = "VIGIL_EDGE_CONFIG") -> Node:
    """Read a node's file.

    Raises:
        Misconfigured: Names the variable, the file and the field.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured(variable, f"{path}: {error.strerror}") from None
    try:
        return parse(raw, yaml=path.suffix in (".yaml", ".yml"))
    except Rejected as error:
        raise Misconfigured(variable, f"{path}: {error.detail}") from None


def parse(raw: bytes, *, yaml: bool = False) -> Node:
    """Decode and check a node's file.

    Raises:
        Rejected: `bad_config`; the detail names the field.
    """
    try:
        node = msgspec.yaml.decode(raw, type=Node) if yaml else msgspec.json.decode(raw, type=Node)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("bad_config", str(error)) from None
    return _checked(node)


def merged(node: Node, settings: Settings, without: Mapping[str, list[str]]) -> Node:
    """Return a node's file with what the platform has decided laid over it.

    A device that is off has no source, and a source whose devices are all off is gone: a camera that
    nobody has agreed to is not opened.

    Raises:
        Rejected: `bad_config`; the settings do not fit the file's devices.
    """
    boxconfig.check(settings, {device.id: device.kind for device in node.devices})
    devices = [_set(device, settings, without) for device in node.devices]
    left = {device.source for device in devices}
    gone = {device.source for device in node.devices} - left
    return msgspec.structs.replace(
        node,
        devices=devices,
        sources={name: spec for name, spec in node.sources.items() if name not in gone},
        spool_max_mb=settings.spool_max_mb or node.spool_max_mb,
    )


def off(node: Node, settings: Settings, without: Mapping[str, list[str]]) -> list[str]:
    """Return the file's devices that are switched off."""
    return [device.id for device in node.devices if _is_off(device, settings, without)]


def _is_off(device: Device, settings: Settings, without: Mapping[str, list[str]]) -> bool:
    by_people = device.id in settings.devices and settings.devices[device.id].off
    return by_people or (device.kind == "camera" and CAMERA in without.get(device.id, ()))


def _set(device: Device, settings: Settings, without: Mapping[str, list[str]]) -> Device:
    wanted = settings.devices.get(device.id)
    if wanted is not None:
        device = _changed(device, wanted)
    return msgspec.structs.replace(device, source=None) if _is_off(device, settings, without) else device


def _changed(device: Device, wanted: DeviceSettings) -> Device:
    view, seen = device.view, wanted.view
    if seen is not None:
        view = msgspec.structs.replace(
            view,
            fps=seen.fps or view.fps,
            masks=(*view.masks, *seen.masks),
            zones=view.zones if seen.zones is None else seen.zones,
        )
    return msgspec.structs.replace(device, view=view, placement=wanted.placement or device.placement)


def _checked(node: Node) -> Node:
    for id_, count in Counter(device.id for device in node.devices).items():
        if count > 1:
            raise Rejected("bad_config", f"device {id_!r} stands {count} times in `$.devices`")
    for n, device in enumerate(node.devices):
        if device.source is not None and device.source not in node.sources:
            known = ", ".join(node.sources) or "none"
            at = f"`$.devices[{n}].source`"
            raise Rejected("bad_config", f"{device.source!r} is no source of this node ({known}) - at {at}")
    if any(device.id == node.node for device in node.devices):
        return node
    hub = Device(id=node.node, kind="hub", model="vigil-edge")
    return msgspec.structs.replace(node, devices=[hub, *node.devices])
