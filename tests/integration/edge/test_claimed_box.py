"""A box with a certificate, as a process, at the boxes' listener of mosquitto, until it is revoked."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from deploy.embedded.servers import free_port
from deploy.pki import revoked
from deploy.pki.__main__ import Folder
from edge import doctor
from edge.claim import Grant, Identity, Platform
from edge.spool import Spool
from tests.conftest import lacking
from tests.integration.edge.platform import Platform as Heard
from tests.integration.edge.platform import eventually
from tests.integration.edge.test_node import Edge, alarms
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from tests.unit.edge.parts import START
from vigil import pki
from vigil.events import DeviceHealth, decode_data
from vigil.settings import MqttSettings
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.slow]

NOW = datetime.now(UTC)  # noqa: TID251 - certificates are checked by OpenSSL, which has no other clock


@pytest.fixture
def authority(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "pki")
    folder.init("c1", NOW)
    folder.server(["127.0.0.1"], NOW)
    return folder


@pytest.fixture
def broker(tmp_path: Path, authority: Folder, community: str) -> Iterator[Mosquitto]:
    if reason := mosquitto.missing():
        lacking(reason)
    users = {"ingest": "a secret"}
    server = Mosquitto(tmp_path / "mqtt", users=users, community=community, pki=authority.path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def platform(broker: Mosquitto, community: str) -> Iterator[Heard]:
    settings = MqttSettings.model_validate(
        {"mqtt_port": broker.port, "mqtt_username": "ingest", "mqtt_password": "a secret"}
    )
    with Heard(settings, community).running() as platform:
        yield platform


@pytest.fixture
def settings(broker: Mosquitto, authority: Folder, tmp_path: Path) -> MqttSettings:
    """What the claim has left for the box's process."""
    identity = Identity(tmp_path / "identity")
    key = identity.next_key()
    signed = authority.sign("n1", pki.request(key, "box"), NOW).decode()
    grant = Grant("n1", signed, (authority.path / "ca.pem").read_text(), f"127.0.0.1:{broker.tls_port}")
    identity.take(grant, key, Platform("https://platform.example", None))
    lines = (identity.folder / "edge.env").read_text().splitlines()
    return MqttSettings.model_validate(
        dict(line.removeprefix("VIGIL_").lower().split("=", 1) for line in lines)
    )


def readiness(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return str(json.load(answer)["checks"]["broker"])
    except urllib.error.HTTPError as error:
        with error:
            return str(json.load(error)["checks"]["broker"])
    except OSError:
        return "not up"


def own_health(edge: Edge) -> int:
    """How often the box has spoken of its own health without being confirmed, as seen from outside."""
    look = sqlite3.connect(f"file:{edge.spool}?mode=ro", uri=True)
    try:
        query = "SELECT count(*) FROM spooled WHERE lane = 'health' AND device = 'n1'"
        (count,) = look.execute(query).fetchone()
    finally:
        look.close()
    return int(count)


def troubles(edge: Edge, community: str) -> list[str]:
    """What the box has put down about itself, read after its end."""
    spool = Spool(edge.spool, Address(community, "e1", "n1"), START)
    found = [decode_data(row.envelope()) for row in spool.pending(Lane.HEALTH, None, 1000)]
    spool.close()
    return [said for data in found if isinstance(data, DeviceHealth) for said in data.trouble or []]


def revoke(authority: Folder, broker: Mosquitto, certificate: bytes) -> None:
    """Revoke at the platform, and do what the broker's host does every minute."""
    platform = Folder(shutil.copytree(authority.path, broker.folder / "platform"))
    platform.revoke(certificate, NOW)
    local = MqttSettings.model_validate(
        {"mqtt_port": broker.port, "mqtt_username": "ingest", "mqtt_password": "a secret"}
    )
    here = revoked.Broker(
        authority.path, ["kill", "-HUP", str(broker.pid)], lambda node: revoked.shut_out(local, node)
    )
    assert here.apply((platform.path / "crl.pem").read_bytes(), NOW) == ["n1"]


def test_it_is_heard_and_confirmed_and_when_it_is_revoked_it_says_so(
    tmp_path: Path,
    community: str,
    authority: Folder,
    broker: Mosquitto,
    platform: Heard,
    settings: MqttSettings,
) -> None:
    ops = free_port()
    edge = Edge(tmp_path, community, settings.mqtt_port)
    edge._environment |= {
        "VIGIL_MQTT_CA": str(settings.mqtt_ca),
        "VIGIL_MQTT_CERT": str(settings.mqtt_cert),
        "VIGIL_OPS_PORT": str(ops),
    }
    with edge.running() as process:
        platform.wait(lambda: alarms(platform) > 0)
        eventually(lambda: edge.rows(Lane.ALARM) == 0)
        assert readiness(ops) == "ok"
        assert doctor.broker(settings, "n1").what.endswith("accepts this box's certificate.")
        assert [state.online for state in platform.states] == [True], "the doctor threw the box off"

        assert settings.mqtt_cert is not None
        revoke(authority, broker, settings.mqtt_cert.read_bytes())
        eventually(lambda: "was revoked" in readiness(ops))
        found = doctor.broker(settings, "n1")
        assert not found.well
        assert "claim the box anew" in found.what
        before = own_health(edge)
        eventually(lambda: own_health(edge) > before)
        process.terminate()
        process.wait(20)
    assert any("was revoked" in said for said in troubles(edge, community))
