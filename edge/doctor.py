"""`python -m edge doctor`: tells the installer in plain words what is wrong, and what helps.

Place in the flow: beside it; looks at the same settings, file, spool and broker that
`python -m edge` would use, and changes nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sqlite3
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge import config, handshake, identity
from edge.config import Ble, Cameras, Frigate, HomeLog, Recordings, SerialLine, Zigbee2Mqtt
from edge.health import LOW_DISK_MB
from vigil import mqtt
from vigil.errors import Misconfigured, VigilError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Node
    from edge.timesync import Instant
    from vigil.settings import EdgeSettings, MqttSettings

PATIENCE_S: Final = 5.0
ADAPTERS: Final = Path("/sys/class/bluetooth")
BUS: Final = Path("/run/dbus/system_bus_socket")
"""Where Linux lists radios, and where BlueZ is spoken to."""
_LOOK: Final = "SELECT lane, count(*) FROM spooled GROUP BY lane"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        well: Nothing has to be done.
        what: In plain words, with the remedy where there is one.
    """

    well: bool
    what: str


def examine(settings: EdgeSettings, now: Instant) -> Iterator[Finding]:
    """Look at everything, in the order in which an installer would.

    Args:
        settings: As `python -m edge` reads them.
        now: The present moment, with what the kernel thinks of its clock.
    """
    try:
        node = config.read(settings.edge_config)
    except VigilError as error:
        yield Finding(well=False, what=f"The node's file cannot be used: {error}")
        return
    yield Finding(well=True, what=f"The node's file describes {node.node} with {len(node.devices)} devices.")
    yield from _devices(node)
    yield from _sources(node)
    yield from _spool(settings.edge_spool, node)
    yield _clock(now)
    if ending := identity.ends_soon(settings.mqtt_cert, now.utc):
        yield Finding(
            well=False, what=f"This box's {ending}: run `python -m edge renew`, and see what it says."
        )
    yield broker(settings, node.address.node)


def told(findings: list[Finding]) -> str:
    """Return the findings as lines for a terminal."""
    lines = [f"{'ok      ' if finding.well else 'PROBLEM '} {finding.what}" for finding in findings]
    wrong = sum(not finding.well for finding in findings)
    return "\n".join([*lines, "", "All is well." if not wrong else f"{wrong} to be put right."])


def _devices(node: Node) -> Iterator[Finding]:
    for device in node.devices:
        if device.source is None and device.kind != "hub":
            yield Finding(
                well=False, what=f"Device {device.id} has no source: nothing will ever be heard of it."
            )
        if device.zone is None and device.kind != "hub":
            yield Finding(
                well=False, what=f"Device {device.id} has no zone: an officer will not know where to go."
            )
    for name in node.sources:
        if not node.of_source(name):
            yield Finding(
                well=False, what=f"Source {name} has no device: it is not needed, or one is missing."
            )


def _sources(node: Node) -> Iterator[Finding]:
    for name, spec in node.sources.items():
        if isinstance(spec, Recordings | HomeLog) and not Path(spec.path).exists():
            yield Finding(well=False, what=f"Source {name}: there is no {spec.path}.")
        elif isinstance(spec, Cameras):
            yield from _cameras(name, spec)
        elif isinstance(spec, SerialLine) and not os.access(spec.path, os.R_OK):
            yield Finding(
                well=False,
                what=f"Source {name}: {spec.path} is not there, or this user may not read it (group dialout).",
            )
        elif isinstance(spec, Ble):
            yield from _radio(name)
        elif isinstance(spec, Zigbee2Mqtt | Frigate):
            yield _answers(f"Source {name}", spec.host, spec.port)


def _radio(name: str) -> Iterator[Finding]:
    """Look for what bleak needs on Linux: itself, an adapter, and BlueZ's bus."""
    if find_spec("bleak") is None:
        yield Finding(well=False, what=f"Source {name} needs bleak: install vigil[wearables] on this box.")
    adapters = sorted(path.name for path in ADAPTERS.glob("hci*"))
    if not adapters:
        yield Finding(
            well=False,
            what=f"Source {name}: this box has no Bluetooth adapter: plug one in, or see what `rfkill` says.",
        )
    elif not BUS.exists():
        yield Finding(
            well=False,
            what=f"Source {name}: adapter {adapters[0]} is there, and BlueZ is not: install and start bluetooth.",
        )
    else:
        yield Finding(well=True, what=f"Source {name}: Bluetooth adapter {', '.join(adapters)} is there.")


def _cameras(name: str, spec: Cameras) -> Iterator[Finding]:
    missing = [part for part in ("cv2", "ai_edge_litert") if find_spec(part) is None]
    if missing:
        yield Finding(
            well=False,
            what=f"Source {name} needs {' and '.join(missing)}: install vigil[camera] on this box.",
        )
    if spec.pose_model is None or not Path(spec.pose_model).exists():
        yield Finding(
            well=False,
            what=f"Source {name} has no pose model, so its cameras report motion only:"
            " run `python -m edge fetch-pose`, and name the file as pose_model.",
        )


def _answers(what: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), PATIENCE_S).close()
    except OSError as error:
        return Finding(
            well=False, what=f"{what}: nobody answers at {host}:{port} ({error}). Is it running there?"
        )
    return Finding(well=True, what=f"{what}: {host}:{port} answers.")


def _spool(path: Path, node: Node) -> Iterator[Finding]:
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding(well=False, what=f"The spool's folder {folder} is not there, or may not be written to.")
        return
    free_mb = shutil.disk_usage(folder).free / 2**20
    used_mb = path.stat().st_size / 2**20 if path.exists() else 0.0
    if free_mb + used_mb < max(node.spool_max_mb, LOW_DISK_MB):
        yield Finding(
            well=False,
            what=f"Only {free_mb:.0f} MB are free, and the spool may need {node.spool_max_mb} MB:"
            " make room, or lower spool_max_mb.",
        )
    if _running(path):
        yield Finding(well=True, what="The edge is running and holds the spool.")
    if path.exists():
        yield _contents(path)
    for aside in sorted(folder.glob(f"{path.name}.corrupt-*[0-9]")):
        yield Finding(
            well=False,
            what=f"{aside.name} was found damaged and set aside. A disk that does so is to be replaced.",
        )


def _running(path: Path) -> bool:
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _contents(path: Path) -> Finding:
    try:
        look = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = dict(look.execute(_LOOK).fetchall())
        finally:
            look.close()
    except sqlite3.Error as error:
        return Finding(
            well=False, what=f"The spool cannot be read ({error}); the edge will set it aside when it starts."
        )
    waiting = ", ".join(f"{count} on {lane}" for lane, count in rows.items()) or "nothing"
    return Finding(well=True, what=f"The spool can be read; waiting for the platform: {waiting}.")


def _clock(now: Instant) -> Finding:
    if now.clock == "synced":
        return Finding(well=True, what=f"The clock is synchronised within {now.clockerr:.3f} s.")
    return Finding(
        well=False,
        what=f"The clock is not synchronised (it shows {now.utc:%Y-%m-%d %H:%M} UTC): set up an NTP service.",
    )


def broker(settings: MqttSettings, node: str) -> Finding:
    """Try what this node would do at the broker, without touching its session."""
    try:
        # Who shows a certificate is known by it: an MQTT connection would throw the running edge off.
        return _passworded(settings, node) if settings.mqtt_cert is None else _certified(settings)
    except Misconfigured as error:
        return Finding(well=False, what=f"The certificates for the broker cannot be used: {error}.")


def _certified(settings: MqttSettings) -> Finding:
    where = f"{settings.mqtt_host}:{settings.mqtt_port}"
    if not (answers := _answers("The broker", settings.mqtt_host, settings.mqtt_port)).well:
        return answers
    if refused := handshake.why_refused(settings):
        return Finding(well=False, what=f"No way in at the broker {where}: {refused}.")
    return Finding(well=True, what=f"The broker at {where} accepts this box's certificate.")


def _passworded(settings: MqttSettings, node: str) -> Finding:
    where = f"{settings.mqtt_host}:{settings.mqtt_port}"
    answered = threading.Event()
    reasons: list[str] = []

    def on_connect(
        _client: object, _userdata: object, _flags: object, reason: object, _properties: object
    ) -> None:
        reasons.append(str(reason))
        answered.set()

    # Another client id than the node's: the running edge would be thrown off the broker.
    client = mqtt.client(settings, f"{node}-doctor", window=1, clean=True)
    client.on_connect = mqtt.guarded(on_connect)
    mqtt.connect(client, settings, window=1, clean=True)
    client.loop_start()
    answered.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()
    if not reasons and (refused := handshake.why_refused(settings)):
        return Finding(well=False, what=f"No way in at the broker {where}: {refused}.")
    if not reasons:
        return Finding(
            well=False,
            what=f"The broker at {where} does not answer: check network, address, port and firewall.",
        )
    if reasons[0] != "Success":
        return Finding(
            well=False,
            what=f"The broker at {where} refuses this node ({reasons[0]}): check name and password.",
        )
    return Finding(well=True, what=f"The broker at {where} takes this node.")
