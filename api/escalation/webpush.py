"""Web Push on the wire: a message encrypted for one browser, and the proof of who sends it.  Pure.

Place in the flow: `worker` has a notice for somebody with a browser, `push` sends what this module makes.
RFC 8291 (encryption, over RFC 8188) and RFC 8292 (VAPID).  The push service between us and the browser
reads neither what a message says nor, since all have one length, how much.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from joserfc import jwt
from joserfc.jwk import ECKey

from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

PROOF_LASTS: Final = timedelta(hours=12)
"""RFC 8292 allows 24 h."""
RECORD: Final = 4096
"""Size of the one record; a push service need take no more (RFC 8030, 7.2)."""
PADDED: Final = 2048
"""Bytes that every message is filled up to, so that its length tells nothing; Apple takes 4 kB in all."""
KNOWN: Final = (
    "fcm.googleapis.com",
    ".push.services.mozilla.com",
    ".notify.windows.com",
    ".push.apple.com",
)
"""The push services of today's browsers: a host, or with a dot what a host ends with."""
_SALT: Final = 16


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: the platform.

    Attributes:
        key: Signs the proof; browsers are subscribed to it, so it must not change.
        contact: `mailto:` or `https:`, where a push service can complain.
    """

    key: ec.EllipticCurvePrivateKey
    contact: str

    @property
    def public(self) -> str:
        """The public half as browsers take it (base64url of the point)."""
        return encoded(point(self.key.public_key()))


def new_key() -> str:
    """Make up the platform's key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read the platform's key.

    Raises:
        Rejected: `key`; it is none, or of another curve.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Rejected("key", "Web Push is sent with a private key of P-256 in PEM, without a passphrase")
    return key


def may_send(endpoint: str, own: Iterable[str]) -> bool:
    """Whether an endpoint lies at a push service: one of a browser's maker, or an origin set up as our own.

    A browser says where its messages go; a page that was tampered with could name any address inside.
    """
    try:
        parts = urlsplit(endpoint)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return False
    if f"{parts.scheme}://{parts.netloc}" in own:
        return True
    known = any(host == name or (name[0] == "." and host.endswith(name)) for name in KNOWN)
    return parts.scheme == "https" and port is None and "@" not in parts.netloc and known


def encrypt(
    message: bytes, theirs: bytes, auth: bytes, ours: ec.EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """Encrypt a message for a browser (RFC 8291, 3.4).

    Args:
        message: At most `PADDED` bytes, which it is filled up to by the caller.
        theirs: The browser's public key.
        auth: The browser's secret.
        ours: A key for this message alone.
        salt: 16 random bytes.

    Raises:
        Rejected: `key`; the browser's key is no point of the curve.
    """
    their_key = check_point(theirs)
    our_point = point(ours.public_key())
    shared = ours.exchange(ec.ECDH(), their_key)
    input_key = _derived(shared, auth, b"WebPush: info\0" + theirs + our_point, 32)
    key = _derived(input_key, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(input_key, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + RECORD.to_bytes(4) + bytes([len(our_point)]) + our_point
    return header + AESGCM(key).encrypt(nonce, message + b"\x02", None)


def check_point(theirs: bytes) -> ec.EllipticCurvePublicKey:
    """Read a browser's public key.

    Raises:
        Rejected: `key`; it is no point of the curve.
    """
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
    except ValueError:
        raise Rejected("key", "a browser's key is a point of P-256") from None


def sealed(message: bytes, theirs: bytes, auth: bytes, random: bytes) -> bytes:
    """Encrypt a message with keys made for it, filled up with blanks (which JSON allows).

    Args:
        message: JSON, at most `PADDED` bytes.
        theirs: The browser's public key.
        auth: The browser's secret.
        random: 16 random bytes.
    """
    ours = ec.generate_private_key(ec.SECP256R1())
    return encrypt(message.ljust(PADDED), theirs, auth, ours, random[:_SALT])


def headers(sender: Sender, endpoint: str, now: datetime, *, topic: str, lasts: timedelta) -> dict[str, str]:
    """Return what goes with a message: the proof, how long it is worth keeping, and what it replaces.

    Args:
        sender: Us.
        endpoint: Where it goes.
        now: Present time.
        topic: At most 32 of `A-Za-z0-9_-`; a later one replaces one that the browser has not had yet.
        lasts: How long the push service keeps it for a browser that is away.
    """
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((now + PROOF_LASTS).timestamp()),
        "sub": sender.contact,
    }
    proof = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, ECKey.import_key(sender.key))
    return {
        "Authorization": f"vapid t={proof}, k={sender.public}",
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "aes128gcm",
        "TTL": str(lasts // timedelta(seconds=1)),
        "Urgency": "high",
        "Topic": topic,
    }


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as an uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encoded(raw: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """Read base64url.

    Raises:
        Rejected: `key`; it is none.
    """
    try:
        return base64.b64decode(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True
        )
    except ValueError:
        raise Rejected("key", "not base64url") from None


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
