"""A frame as evidence: what box and platform say to each other of it, and how it is sealed.

Place in the flow: beside it; no frame ever goes over MQTT or Kafka.  `edge.evidence` asks for a
permit, seals a frame to the platform's key and hands it over; `api.evidence` gives permits by the
register of consents, keeps frames as they came and opens one for who may look.  Pure.

Sealed is: a fresh key agrees with the platform's (X25519), HKDF-SHA256 derives the content's key,
AES-256-GCM seals.  The box cannot open what it has sealed, and whoever has its disk cannot either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from vigil.errors import Rejected
from vigil.events import Id, Moment, derived_id

if TYPE_CHECKING:
    from uuid import UUID

PURPOSE: Final = "evidence_frame"
"""What the residents of a camera have to agree to, each of them, before a frame is made."""
LARGEST: Final = 128 * 1024
"""Bytes of a sealed frame; one of 640 x 480, blurred around the person, takes 15 to 30 kB."""
_PUBLIC: Final = 32
_NONCE: Final = bytes(12)
"""Every frame has a key of its own, so that the nonce need not differ."""

Episode = Annotated[str, Meta(min_length=1, max_length=160)]


class Asked(Struct, frozen=True, kw_only=True, tag="permit"):
    """A box asks which of its cameras may make frames."""

    at: Moment


class Shown(Struct, frozen=True, kw_only=True, tag="frame"):
    """A box hands a frame over.

    Attributes:
        device: The camera.
        episode: The suspicion's.
        taken_at: By the box's clock.
        sealed: From `seal`, about `facts` of the rest.
    """

    device: Id
    episode: Episode
    taken_at: Moment
    sealed: Annotated[bytes, Meta(max_length=LARGEST)]


class Signed(Struct, frozen=True, kw_only=True):
    """What a box posts: one of the above as JSON, signed by the key of its certificate.

    Attributes:
        certificate: The box's, as PEM.
        statement: The JSON text.
        proof: `vigil.pki.proof` of that text.
    """

    certificate: str
    statement: str
    proof: bytes


class Permit(Struct, frozen=True, kw_only=True):
    """Which cameras may make frames; whatever it does not name may not.

    Attributes:
        version: Of the register of consents that it was made from.
        until: It is void from then on.
        seal_to: The platform's public key.
        devices: The cameras.
    """

    version: int
    until: datetime
    seal_to: bytes
    devices: list[Id]

    def allows(self, device: str, now: datetime) -> bool:
        """Tell whether a camera may make a frame."""
        return now < self.until and device in self.devices


class Taken(Struct, frozen=True, kw_only=True):
    """The platform has a frame."""

    id: str


def frame_id(node: str, shown: Shown) -> UUID:
    """Return a frame's id; the same frame handed over again is the same one."""
    return derived_id("frame", node, shown.device, shown.episode)


def facts(node: str, device: str, episode: str, taken_at: datetime) -> bytes:
    """Return what a frame is about, so that it cannot be passed off as another one."""
    return msgspec.json.encode([node, device, episode, taken_at.astimezone(UTC)])


def new_key() -> X25519PrivateKey:
    """Make the platform's key."""
    return X25519PrivateKey.generate()


def key_pem(key: X25519PrivateKey) -> bytes:
    """Return the platform's key as PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes) -> X25519PrivateKey:
    """Read the platform's key.

    Raises:
        Rejected: `no_key`.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise Rejected("no_key", f"no private key: {error}") from None
    if not isinstance(key, X25519PrivateKey):
        raise Rejected("no_key", "the key that frames are sealed to is one for X25519")
    return key


def public_of(key: X25519PrivateKey) -> bytes:
    """Return the half that boxes seal to."""
    return key.public_key().public_bytes_raw()


def seal(to: bytes, content: bytes, about: bytes) -> bytes:
    """Seal a content so that only the owner of a key can open it.

    Args:
        to: From `public_of`.
        content: The picture.
        about: From `facts`; not in what is returned, and needed to open it.

    Raises:
        Rejected: `no_key`.
    """
    fresh = X25519PrivateKey.generate()
    try:
        agreed = fresh.exchange(X25519PublicKey.from_public_bytes(to))
    except ValueError as error:
        raise Rejected("no_key", f"this is no key to seal to: {error}") from None
    own = fresh.public_key().public_bytes_raw()
    return own + AESGCM(_derived(agreed, own + to)).encrypt(_NONCE, content, about)


def unseal(key: X25519PrivateKey, sealed: bytes, about: bytes) -> bytes:
    """Open what was sealed to a key.

    Raises:
        Rejected: `not_sealed`: it was not, or not about this, or it was changed.
    """
    own, rest = sealed[:_PUBLIC], sealed[_PUBLIC:]
    try:
        agreed = key.exchange(X25519PublicKey.from_public_bytes(own))
        return AESGCM(_derived(agreed, own + public_of(key))).decrypt(_NONCE, rest, about)
    except (InvalidTag, ValueError):
        raise Rejected("not_sealed", "this frame was not sealed to our key, or was changed since") from None


def _derived(agreed: bytes, both: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"vigil evidence frame v1" + both).derive(agreed)
