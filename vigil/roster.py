"""The roster: whom the watchdog has to see to when the platform is gone, signed by the platform.

Place in the flow: `api.snapshot` makes and signs one while all is well, `fallback.snapshot`
fetches, checks and keeps it.  It holds what people at doors need and nothing more: where
somebody lives, how urgent they are, who has a key, what watches over them.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta, Struct

from vigil.errors import Rejected

if TYPE_CHECKING:
    from pathlib import Path

HIGH: Final = 3
"""The risk that is seen to first."""


class Contact(Struct, frozen=True):
    """Somebody to telephone: family, or who keeps a key."""

    name: str
    phone: str
    relation: str = ""


def contacts(found: object) -> list[Contact]:
    """Read contacts from a resident's profile; what was filled in by hand and is none is left out."""
    try:
        return msgspec.convert(found or [], list[Contact])
    except msgspec.ValidationError:
        return []


class Protection(Struct, frozen=True):
    """A device that watches over a resident, and the node that it reports through."""

    device: str
    node: str
    kind: str


class Resident(Struct, frozen=True, kw_only=True):
    """A flagged resident.

    Attributes:
        home: Name of the dwelling, as it stands on the door.
        risk: 1 to 3; 3 is seen to first.
        note: What a helper at the door must know.
        last_seen: When a device of theirs was last heard.
        last_state: What was last known, in a few words.
    """

    id: str
    estate: str
    name: str
    risk: Annotated[int, Meta(ge=1, le=3)]
    phone: str = ""
    building: str = ""
    floor: int = 0
    home: str = ""
    lives_alone: bool = True
    note: str = ""
    protections: list[Protection] = []
    key_holders: list[Contact] = []
    family: list[Contact] = []
    last_seen: datetime | None = None
    last_state: str = ""


class Person(Struct, frozen=True):
    """Somebody who can be called in, by the role they have on the platform."""

    name: str
    phone: str
    role: str
    estates: list[str]


class Roster(Struct, frozen=True, kw_only=True):
    """Everybody, as of `made_at`.

    Attributes:
        estates: Name of each estate, by id.
    """

    community: str
    made_at: datetime
    estates: dict[str, str]
    residents: list[Resident]
    staff: list[Person]


class Signed(Struct, frozen=True):
    """A roster as it travels: its JSON and the signature over it, both in base64."""

    payload: str
    signature: str
    key: str


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return a short name of a public key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key: 32 bytes in base64, in a file of its own.

    Raises:
        Rejected: `malformed`.
        OSError: The file cannot be read.
    """
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_text().strip(), validate=True))
    except ValueError:
        raise Rejected("malformed", f"{path.name} holds no Ed25519 key: 32 bytes in base64") from None


def read_public_key(text: str) -> Ed25519PublicKey:
    """Read a public key: 32 bytes in base64.

    Raises:
        Rejected: `malformed`.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise Rejected("malformed", "an Ed25519 public key is 32 bytes in base64") from None


def write_public_key(key: Ed25519PublicKey) -> str:
    """Return a public key in base64."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def sign(roster: Roster, key: Ed25519PrivateKey) -> Signed:
    """Sign a roster."""
    payload = msgspec.json.encode(roster)
    signature = base64.b64encode(key.sign(payload)).decode()
    return Signed(base64.b64encode(payload).decode(), signature, fingerprint(key.public_key()))


def verify(signed: Signed, key: Ed25519PublicKey) -> Roster:
    """Return a roster whose signature holds.

    Raises:
        Rejected: `forged` where it does not, `malformed` where it holds no roster.
    """
    try:
        payload = base64.b64decode(signed.payload, validate=True)
        key.verify(base64.b64decode(signed.signature, validate=True), payload)
        return msgspec.json.decode(payload, type=Roster)
    except InvalidSignature:
        raise Rejected(
            "forged", f"signed by {signed.key}, this watchdog trusts {fingerprint(key)} alone"
        ) from None
    except (ValueError, msgspec.DecodeError) as error:
        raise Rejected("malformed", f"not a roster: {error}") from None
