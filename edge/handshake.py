"""Why the broker turns this box away, in plain words: a TLS handshake of its own, and nothing more.

Place in the flow: `edge.box` asks while the connection is down, `edge.doctor` when the installer
does.  paho only says that a connection was lost: with TLS 1.3 a broker looks at the box's
certificate after the client's side of the handshake is done, and its refusal comes as an alert
instead of the first byte.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vigil import mqtt

if TYPE_CHECKING:
    from vigil.settings import MqttSettings

PATIENCE_S: Final = 5.0
LISTEN_S: Final = 1.0
"""How long a refusal may take; a broker that takes us says nothing until we do."""
REASONS: Final = {
    "CERTIFICATE_REVOKED": "the broker says that this box's certificate was revoked: claim the box anew",
    "CERTIFICATE_EXPIRED": "this box's certificate has expired (or the broker's list of revoked ones has):"
    " `python -m edge renew`, and if that is too late, claim the box anew",
    "UNKNOWN_CA": "the broker does not know who signed this box's certificate: claim the box with this platform",
    "CERTIFICATE_REQUIRED": "the broker wants a certificate, and this box has none: claim the box",
    "HANDSHAKE_FAILURE": "the broker wants a certificate, and this box has none that it takes: claim the box",
    "BAD_CERTIFICATE": "the broker does not accept this box's certificate: claim the box anew",
}
"""By what the TLS alert is called, whatever OpenSSL puts before it."""


def why_refused(settings: MqttSettings) -> str | None:
    """Try the handshake that an MQTT connection begins with.

    Returns:
        What is wrong and what helps, without a full stop; None where the broker takes this box,
        or where it is not reached at all, or without TLS.

    Raises:
        Misconfigured: The box's own files cannot be read.
    """
    if (context := mqtt.tls(settings)) is None:
        return None
    with (
        suppress(OSError),
        socket.create_connection((settings.mqtt_host, settings.mqtt_port), PATIENCE_S) as plain,
    ):
        return _greeted(context, plain, settings.mqtt_host)
    return None


def _greeted(context: ssl.SSLContext, plain: socket.socket, host: str) -> str | None:
    try:
        with context.wrap_socket(plain, server_hostname=host) as secured:
            secured.settimeout(LISTEN_S)
            secured.recv(1)
    except ssl.SSLCertVerificationError as error:
        return verification(error.verify_message)
    except ssl.SSLError as error:
        return alert(error.reason or str(error))
    except OSError:
        return None
    return None


def verification(said: str) -> str:
    """Say in plain words why this box does not trust the broker."""
    if "not yet valid" in said:
        return "the broker's certificate is not yet valid by this box's clock: set the clock"
    if "expired" in said:
        return "the broker's certificate has expired by this box's clock: check the clock, then tell ops"
    return f"this box does not trust the broker's certificate ({said}): check address and authority"


def alert(said: str) -> str:
    """Say in plain words what a TLS alert means."""
    name = said.upper().replace(" ", "_")
    found = next((words for what, words in REASONS.items() if what in name), None)
    return found or f"the broker breaks off the TLS handshake ({said})"
