"""Asks brokers, the log and processes how they are.

Neighbour: `judge` says what the answers mean.  Each function waits a few seconds at most.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, Self

import paho.mqtt.client as paho
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from vigil import mqtt
from vigil.errors import Unavailable
from vigil.topics import KAFKA_TOPICS, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from vigil.settings import KafkaSettings, MqttSettings

PATIENCE_S: Final = 5.0


def anonymous(settings: MqttSettings) -> int:
    """Return what the broker answers to somebody without a name: 0 is welcome.

    Raises:
        Unavailable: It does not answer.
    """
    nameless = settings.model_copy(update={"mqtt_username": None, "mqtt_password": None})
    with _Visitor(nameless) as visitor:
        return visitor.answer()


def denied_topic_comes_back(settings: MqttSettings, community: str) -> bool:
    """Write to a topic that nobody may write or listens to, and say whether it comes back.

    Raises:
        Unavailable: The broker does not answer, or does not let this user in.
    """
    topic = f"{ROOT}/{community}/check/check/nothing"
    with _Visitor(settings) as visitor:
        if code := visitor.answer():
            raise Unavailable(
                "MQTT broker", f"it refuses {settings.mqtt_username or 'who has no name'} ({code})"
            )
        return visitor.echoes(topic)


class _Visitor:
    """A client that comes, asks one thing and goes."""

    def __init__(self, settings: MqttSettings) -> None:
        five = settings.mqtt_protocol == 5
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion(settings.mqtt_protocol),
            clean_session=None if five else True,
        )
        if settings.mqtt_username is not None:
            secret = settings.mqtt_password
            self._client.username_pw_set(
                settings.mqtt_username, secret.get_secret_value() if secret else None
            )
        if (context := mqtt.tls(settings)) is not None:
            self._client.tls_set_context(context)
        self._where = (settings.mqtt_host, settings.mqtt_port)
        self._answered, self._heard, self._listening = threading.Event(), threading.Event(), threading.Event()
        self._code: int | None = None

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            Unavailable: Nobody is there.
        """
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._answered.set()
        self._client.on_message = lambda *_: self._heard.set()
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.connect_timeout = PATIENCE_S
        try:
            self._client.connect(*self._where, keepalive=10)
        except OSError as error:
            raise Unavailable("MQTT broker", error) from None
        self._client.loop_start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, _client: object, _data: object, _flags: object, code: Any, _properties: object
    ) -> None:
        self._code = code.value
        self._answered.set()

    def answer(self) -> int:
        """Wait for the broker's answer to our coming.

        Raises:
            Unavailable: There is none.
        """
        self._answered.wait(PATIENCE_S)
        if self._code is None:
            raise Unavailable("MQTT broker", "it hangs up, or says nothing")
        return self._code

    def echoes(self, topic: str) -> bool:
        """Say whether a message to a topic comes back."""
        self._client.subscribe(topic, qos=1)
        self._listening.wait(PATIENCE_S)
        self._client.publish(topic, b"{}", qos=1).wait_for_publish(PATIENCE_S)
        return self._heard.wait(1.0)


def certificate_ends(host: str, port: int, ca: Path) -> datetime:
    """Return when the certificate of a TLS listener ends, having checked that the authority signed it.

    Raises:
        Unavailable: Nobody is there, or it is not who it ought to be.
    """
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with (
            socket.create_connection((host, port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise Unavailable(f"{host}:{port}", error) from None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc


def comes_in_without_certificate(settings: MqttSettings, host: str, port: int, ca: Path) -> bool:
    """Say whether the boxes' listener takes somebody who shows no certificate."""
    bare = {"mqtt_host": host, "mqtt_port": port, "mqtt_ca": ca, "mqtt_cert": None, "mqtt_key": None}
    try:
        with _Visitor(settings.model_copy(update=bare)) as visitor:
            return visitor.answer() == 0
    except Unavailable:
        return False


async def copies(settings: KafkaSettings) -> tuple[dict[str, Sequence[int]], dict[str, int]]:
    """Return how many brokers have each partition of our topics, and how long each topic is kept (ms).

    Raises:
        Unavailable: Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        # Who asks for a topic that is not there may make it by that.
        existing = set(await admin.list_topics())
        described = await admin.describe_topics([topic for topic in KAFKA_TOPICS if topic in existing])
        found: dict[str, Sequence[int]] = {
            topic["topic"]: [len(partition["isr"]) for partition in topic["partitions"]]
            for topic in described
            if not topic["error_code"]
        }
        return found, await _kept(admin, sorted(found))
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("Kafka", error) from None
    finally:
        await admin.close()


async def _kept(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Return each topic's `retention.ms`; nothing of a broker that cannot be asked (the embedded one)."""
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": None}) for name in names]
    try:
        async with asyncio.timeout(PATIENCE_S):
            answers = await admin.describe_configs(wanted)
    except (KafkaError, TimeoutError, OSError):
        return {}
    return {
        name: int(entry[1])
        for answer in answers
        for _code, _message, _type, name, entries in answer.resources
        for entry in entries
        if entry[0] == "retention.ms"
    }


def page(address: str, path: str) -> str:
    """Return what a process serves.

    Raises:
        Unavailable: It does not answer.
    """
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()  # 503 says what is wrong
    except OSError as error:
        raise Unavailable(address, error) from None


def readiness(address: str) -> Mapping[str, Any]:
    """Return what a process says of itself.

    Raises:
        Unavailable: It does not answer, or somebody else does.
    """
    text = page(address, "/readyz")
    try:
        body = json.loads(text)
    except ValueError:
        raise Unavailable(address, "what answers there is no process of Vigil") from None
    return body if isinstance(body, dict) else {}
