"""An MQTT client that acknowledges when told to, and whose thread survives its callbacks.

Used by `edge.publisher` and `fallback`; `ingest.link` has too many messages for it (decisions 0003 and
0010) and takes constants and TLS from here.  paho acknowledges a message only
when `ack` is called (pitfall 10), and an exception in a callback, which would end paho's
network thread (pitfall 9), is logged and counted instead.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client import Counter

from vigil.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.settings import MqttSettings

SESSION_S: Final = 7 * 24 * 3600
"""How long a broker keeps the session of a client that is away (MQTT 5 only)."""
KEEPALIVE_S: Final = 10
"""A lost peer is noticed after one and a half of it: the will of a dead edge in 15 s."""

callback_errors = Counter("vigil_mqtt_callback_errors_total", "Exceptions caught in MQTT callbacks.")
_log = structlog.get_logger(__name__)


def client(
    settings: MqttSettings,
    client_id: str,
    *,
    window: int,
    clean: bool = False,
) -> paho.Client:
    """Build a client with manual acknowledgement; the caller sets callbacks and connects.

    Args:
        settings: Credentials and the protocol.
        client_id: Names the session at the broker.
        window: Messages in flight, each way.
        clean: Forget the session at every connection.
    """
    protocol = MQTTProtocolVersion(settings.mqtt_protocol)
    five = protocol is MQTTProtocolVersion.MQTTv5
    made = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if five else clean,
        protocol=protocol,
        manual_ack=True,
    )
    made.max_inflight_messages_set(window)
    made.reconnect_delay_set(1, 30)
    if settings.mqtt_username is not None:
        secret = settings.mqtt_password
        made.username_pw_set(settings.mqtt_username, secret.get_secret_value() if secret else None)
    if (context := tls(settings)) is not None:
        made.tls_set_context(context)
    return made


def connect(
    made: paho.Client,
    settings: MqttSettings,
    *,
    window: int,
    clean: bool = False,
    keepalive: int = KEEPALIVE_S,
    session_s: int = SESSION_S,
) -> None:
    """Start connecting; the network thread (`loop_start`) goes on trying for ever."""
    if made.protocol == MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 0 if clean else session_s
        properties.ReceiveMaximum = window
        made.connect_async(
            settings.mqtt_host,
            settings.mqtt_port,
            keepalive,
            clean_start=clean,
            properties=properties,
        )
    else:
        made.connect_async(settings.mqtt_host, settings.mqtt_port, keepalive)


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback so that its exception does not end the network thread."""

    def safe(*args: Any) -> None:
        try:
            callback(*args)
        except Exception:  # noqa: BLE001 - whatever it is, the thread must live on
            callback_errors.inc()
            _log.exception("mqtt callback failed", callback=callback.__qualname__)

    return safe


def tls(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return how to encrypt: with our certificate where there is one; None where no CA is named.

    Raises:
        Misconfigured: Names the file that cannot be read.
    """
    if settings.mqtt_ca is None:
        return None
    variable = "VIGIL_MQTT_CA"
    try:
        context = ssl.create_default_context(cafile=str(settings.mqtt_ca))
        if settings.mqtt_cert is not None:
            variable = "VIGIL_MQTT_CERT"
            context.load_cert_chain(settings.mqtt_cert, settings.mqtt_key)
    except OSError as error:  # an SSLError is one, too
        raise Misconfigured(variable, f"cannot be read: {error}") from None
    return context
