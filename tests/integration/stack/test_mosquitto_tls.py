"""The boxes' TLS listener of mosquitto, with the shipped files: a box is who its certificate says."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import ssl
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from deploy.pki import revoked
from deploy.pki.__main__ import Folder
from edge import handshake
from tests.conftest import lacking
from tests.integration.edge.platform import eventually
from tests.integration.stack.conftest import NOW
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from vigil import pki
from vigil.settings import MqttSettings
from vigil.topics import Address, Kind, platform_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.trust]

WAIT_S = 10
OURS, THEIRS = Address("c1", "e1", "n1"), Address("c1", "e1", "n2")
NOT_AUTHORIZED = 0x87
KINDS = [
    (Kind.STATE, None),
    (Kind.BIRTH, "d1"),
    (Kind.ALARM, "d1"),
    (Kind.EVENT, "d1"),
    (Kind.TELEMETRY, "d1"),
    (Kind.HEALTH, "d1"),
    (Kind.REPLY, None),
]


@pytest.fixture(scope="module")
def broker(authority: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    if reason := mosquitto.missing():
        lacking(reason)
    server = Mosquitto(
        tmp_path_factory.mktemp("tls"), users={"ingest": "a secret"}, community="c1", pki=authority.path
    )
    server.start()
    yield server
    server.stop()


def credentials(folder: Path, authority: Folder, node: str, now: datetime = NOW) -> tuple[Path, Path]:
    """Write a certificate and its key."""
    key = pki.new_key()
    certificate, secret = folder / f"{node}.pem", folder / f"{node}.key"
    secret.write_bytes(pki.key_pem(key))
    certificate.write_bytes(authority.sign(node, pki.request(key, node), now))
    return certificate, secret


def settings_of(broker: Mosquitto, authority: Folder, shown: tuple[Path, Path] | None) -> MqttSettings:
    certificate, key = shown or (None, None)
    return MqttSettings(
        mqtt_host="127.0.0.1",
        mqtt_port=broker.tls_port,
        mqtt_ca=authority.path / "ca.pem",
        mqtt_cert=certificate,
        mqtt_key=key,
    )


class Box:
    """A connection that shows a certificate (or is ingest, with its password, on the other listener)."""

    def __init__(
        self,
        broker: Mosquitto,
        settings: MqttSettings | None,
        *,
        claims_to_be: str = "",
        user: str | None = None,
    ) -> None:
        self.received: queue.Queue[str] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, claims_to_be, protocol=MQTTProtocolVersion.MQTTv5
        )
        if settings is None:
            self._client.username_pw_set("ingest", "a secret")
        else:
            context = ssl.create_default_context(cafile=str(settings.mqtt_ca))
            if settings.mqtt_cert:
                context.load_cert_chain(settings.mqtt_cert, settings.mqtt_key)
            self._client.tls_set_context(context)
        if user is not None:
            self._client.username_pw_set(user, "a secret")
        self._client.on_connect = lambda *a: self._answers.put(a[3].value)
        self._client.on_subscribe = lambda *a: self._answers.put(a[3][0].value)
        self._client.on_publish = lambda *a: self._answers.put(a[3].value)
        self._client.on_message = lambda *a: self.received.put(a[2].topic)
        self.thrown_out = threading.Event()
        self._client.on_disconnect = lambda *_: self.thrown_out.set()
        self._client.connect("127.0.0.1", broker.port if settings is None else broker.tls_port)
        self._client.loop_start()
        assert self._answers.get(timeout=WAIT_S) == 0

    def publish(self, topic: str) -> int:
        self._client.publish(topic, b"{}", qos=1)
        return self._answers.get(timeout=WAIT_S)

    def subscribe(self, *filters: str) -> None:
        for name in filters:
            self._client.subscribe(name, options=SubscribeOptions(qos=1))
            assert self._answers.get(timeout=WAIT_S) == 1

    def topics_before(self, last: str) -> list[str]:
        topics = []
        while (topic := self.received.get(timeout=WAIT_S)) != last:
            topics.append(topic)
        return topics

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def n1(broker: Mosquitto, authority: Folder, tmp_path: Path) -> Iterator[Box]:
    box = Box(broker, settings_of(broker, authority, credentials(tmp_path, authority, "n1")))
    yield box
    box.end()


@pytest.fixture
def ingest(broker: Mosquitto) -> Iterator[Box]:
    box = Box(broker, None)
    yield box
    box.end()


@pytest.mark.parametrize(("kind", "device"), KINDS)
def test_a_box_says_what_its_node_may_say_and_nothing_for_another(
    n1: Box, kind: Kind, device: str | None
) -> None:
    assert n1.publish(OURS.topic(kind, device)) < 0x80
    assert n1.publish(THEIRS.topic(kind, device)) == NOT_AUTHORIZED


@pytest.mark.parametrize("kind", [Kind.RECEIPT, Kind.CONFIG])
def test_a_box_cannot_free_what_is_not_stored_nor_configure_anybody(n1: Box, kind: Kind) -> None:
    assert n1.publish(OURS.topic(kind)) == NOT_AUTHORIZED
    assert n1.publish(THEIRS.topic(kind)) == NOT_AUTHORIZED
    assert n1.publish(platform_state("c1")) == NOT_AUTHORIZED


def test_a_box_hears_its_own_receipts_and_nobody_else_s(n1: Box, ingest: Box) -> None:
    n1.subscribe("#", THEIRS.topic(Kind.RECEIPT), OURS.topic(Kind.RECEIPT))
    for topic in (THEIRS.topic(Kind.RECEIPT), THEIRS.topic(Kind.CONFIG), OURS.topic(Kind.RECEIPT)):
        assert ingest.publish(topic) < 0x80
    assert n1.topics_before(OURS.topic(Kind.RECEIPT)) == []


def test_a_password_of_another_user_changes_nothing_of_who_a_box_is(
    broker: Mosquitto, authority: Folder, tmp_path: Path
) -> None:
    shown = settings_of(broker, authority, credentials(tmp_path, authority, "n1"))
    box = Box(broker, shown, user="ingest")
    assert box.publish(OURS.topic(Kind.RECEIPT)) == NOT_AUTHORIZED
    box.end()


def test_a_box_that_calls_itself_another_does_not_take_its_session_over(
    broker: Mosquitto, authority: Folder, tmp_path: Path, n1: Box
) -> None:
    shown = settings_of(broker, authority, credentials(tmp_path, authority, "n2"))
    impostor = Box(broker, shown, claims_to_be="n1")
    assert n1.publish(OURS.topic(Kind.STATE)) < 0x80
    assert impostor.publish(OURS.topic(Kind.STATE)) == NOT_AUTHORIZED
    impostor.end()


class TestTheHandshake:
    def test_takes_a_box_with_a_good_certificate(
        self, broker: Mosquitto, authority: Folder, tmp_path: Path
    ) -> None:
        shown = settings_of(broker, authority, credentials(tmp_path, authority, "n1"))
        assert handshake.why_refused(shown) is None

    def test_refuses_who_shows_none(self, broker: Mosquitto, authority: Folder) -> None:
        assert "this box has none" in str(handshake.why_refused(settings_of(broker, authority, None)))

    def test_refuses_an_expired_one(self, broker: Mosquitto, authority: Folder, tmp_path: Path) -> None:
        old = credentials(tmp_path, authority, "n1", NOW - pki.BOX_LASTS - timedelta(days=1))
        assert "has expired" in str(handshake.why_refused(settings_of(broker, authority, old)))

    def test_refuses_another_authority_s(self, broker: Mosquitto, authority: Folder, tmp_path: Path) -> None:
        other = Folder(tmp_path / "other")
        other.init("c1", NOW)
        stranger = credentials(tmp_path, other, "n1")
        assert "does not know who signed" in str(
            handshake.why_refused(settings_of(broker, authority, stranger))
        )

    def test_is_refused_by_a_box_that_trusts_another_authority(
        self, broker: Mosquitto, authority: Folder, tmp_path: Path
    ) -> None:
        other = Folder(tmp_path / "other")
        other.init("c1", NOW)
        shown = settings_of(broker, other, credentials(tmp_path, authority, "n1"))
        assert "does not trust the broker's certificate" in str(handshake.why_refused(shown))

    def test_refuses_a_revoked_one_as_soon_as_the_broker_has_read_the_list(
        self, broker: Mosquitto, authority: Folder, tmp_path: Path
    ) -> None:
        revoked = credentials(tmp_path, authority, "n3")
        shown = settings_of(broker, authority, revoked)
        assert handshake.why_refused(shown) is None
        authority.revoke(revoked[0].read_bytes(), NOW)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGHUP)
        eventually(lambda: "was revoked" in str(handshake.why_refused(shown)))
        still_good = settings_of(broker, authority, credentials(tmp_path, authority, "n1"))
        assert handshake.why_refused(still_good) is None


def test_a_revoked_box_that_is_connected_is_thrown_out_and_the_others_notice_nothing(
    broker: Mosquitto, authority: Folder, tmp_path: Path, n1: Box
) -> None:
    platform = Folder(shutil.copytree(authority.path, tmp_path / "platform"))
    shown = credentials(tmp_path, authority, "n4")
    stolen = Box(broker, settings_of(broker, authority, shown))
    platform.revoke(shown[0].read_bytes(), NOW)
    local = MqttSettings.model_validate(
        {"mqtt_port": broker.port, "mqtt_username": "ingest", "mqtt_password": "a secret"}
    )
    by = revoked.Broker(
        authority.path, ["kill", "-HUP", str(broker.pid)], lambda node: revoked.shut_out(local, node)
    )
    assert by.apply((platform.path / "crl.pem").read_bytes(), NOW)[-1] == "n4"
    assert stolen.thrown_out.wait(WAIT_S)
    assert "was revoked" in str(handshake.why_refused(settings_of(broker, authority, shown)))
    assert not n1.thrown_out.is_set()
    assert n1.publish(OURS.topic(Kind.STATE)) < 0x80
    assert by.apply((platform.path / "crl.pem").read_bytes(), NOW) == []
    stolen.end()


def test_a_broker_that_is_not_reached_has_refused_nothing(authority: Folder) -> None:
    nowhere = MqttSettings(mqtt_host="127.0.0.1", mqtt_port=9, mqtt_ca=authority.path / "ca.pem")
    assert handshake.why_refused(nowhere) is None
    assert handshake.why_refused(MqttSettings()) is None
