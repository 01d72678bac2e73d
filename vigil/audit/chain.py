"""The chain: each entry's hash covers the one before, and signed checkpoints say where it stood.

Pure.  Neighbours: `vigil.audit.writer` appends, `vigil.store.audit` keeps the rows,
`fallback.checkpoints` keeps the checkpoints out of the database's reach.

What is found
-------------
An edited entry, a deleted one and two that changed places break the hash of the next one.  A
chain that was computed anew from some entry on holds in itself, and so does one whose end was
cut off: both contradict a checkpoint that was signed before.  What was written after the newest
checkpoint (at most 5 minutes) may be cut off unseen.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

GENESIS: Final = hashlib.sha256(b"vigil audit log v1").digest()
"""What the first entry's hash covers in place of an entry before it."""
_SIGNED: Final = b"vigil audit checkpoint v1\n"
"""Stands before what is signed: the key signs rosters too, and neither may pass for the other."""


def canonical(entry: Mapping[str, Any]) -> str:
    """Return the one text of an entry: JSON with sorted keys and no blanks; floats are not allowed.

    Raises:
        TypeError: It holds a float, of which there are several spellings.
    """
    _no_floats(entry)
    return msgspec.json.encode(entry, order="sorted").decode()


def _no_floats(value: object) -> None:
    match value:
        case float():
            raise TypeError("an audit entry holds a float; write it as text")
        case dict():
            for each in value.values():
                _no_floats(each)
        case list() | tuple():
            for each in value:
                _no_floats(each)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in its place.

    Attributes:
        seq: From 1, without gaps.
        entry: Its canonical JSON.
        hash: SHA-256 over the hash before, the number and the entry.
    """

    seq: int
    entry: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the last number and its hash."""

    seq: int
    hash: bytes


EMPTY: Final = Head(0, GENESIS)


def link_hash(before: bytes, seq: int, entry: str) -> bytes:
    """Return the hash of an entry in its place (32 bytes)."""
    return hashlib.sha256(before + seq.to_bytes(8, "big") + entry.encode()).digest()


def chained(head: Head, entries: Iterable[str]) -> Iterator[Link]:
    """Put entries behind a head."""
    for seq, entry in enumerate(entries, head.seq + 1):
        head = Head(seq, link_hash(head.hash, seq, entry))
        yield Link(seq, entry, head.hash)


class Checkpoint(Struct, frozen=True):
    """Where the chain stood at a moment, signed; hash and signature in base64."""

    seq: int
    hash: str
    at: datetime
    signature: str = ""

    @property
    def head(self) -> Head:
        """Where the chain stood."""
        return Head(self.seq, base64.b64decode(self.hash))

    @property
    def payload(self) -> bytes:
        """What is signed."""
        return _SIGNED + f"{self.seq}\n{self.hash}\n{self.at.isoformat()}".encode()


def sign(head: Head, at: datetime, key: Ed25519PrivateKey) -> Checkpoint:
    """Sign where a chain stands at a moment (UTC)."""
    bare = Checkpoint(head.seq, base64.b64encode(head.hash).decode(), at)
    return msgspec.structs.replace(bare, signature=base64.b64encode(key.sign(bare.payload)).decode())


def check_signature(checkpoint: Checkpoint, key: Ed25519PublicKey) -> None:
    """Check who signed a checkpoint.

    Raises:
        Rejected: `forged`: not by this key.
    """
    try:
        key.verify(base64.b64decode(checkpoint.signature, validate=True), checkpoint.payload)
    except (InvalidSignature, ValueError):
        raise Rejected("forged", f"the checkpoint at {checkpoint.seq} is not signed by this key") from None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a chain.

    Attributes:
        kind: `gap`, `changed`, `rewritten`, `cut` or `forged`.
        seq: The entry where it shows.
        says: One sentence.
    """

    kind: str
    seq: int
    says: str


class Verifier:
    """Walks along a chain once, in memory that does not grow with it.

    Args:
        checkpoints: Whoever kept them; several about one entry are all checked.

    Attributes:
        head: The entry reached.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self.head = EMPTY
        self._open: dict[int, list[Checkpoint]] = {}
        for checkpoint in checkpoints:
            self._open.setdefault(checkpoint.seq, []).append(checkpoint)
        self._open.pop(0, None)  # nothing was there to sign

    def follow(self, link: Link) -> list[Finding]:
        """Look at the next entry, in the order of numbers."""
        found = []
        if link.seq != self.head.seq + 1:
            found.append(Finding("gap", self.head.seq + 1, _missing(self.head.seq + 1, link.seq - 1)))
        elif link.hash != link_hash(self.head.hash, link.seq, link.entry):
            says = f"entry {link.seq} is not what was written: it was edited, or stands in another's place"
            found.append(Finding("changed", link.seq, says))
        # One break is one finding: what follows is judged by the hash that stands there.
        self.head = Head(link.seq, link.hash)
        return found + self._at_head()

    def _at_head(self) -> list[Finding]:
        return [
            Finding("rewritten", self.head.seq, f"{_signed(each)}, and another history stands there now")
            for each in self._open.pop(self.head.seq, [])
            if each.head != self.head
        ]

    def end(self) -> list[Finding]:
        """Say whether a checkpoint was never reached."""
        last = max((each for kept in self._open.values() for each in kept), key=lambda c: c.seq, default=None)
        if last is None or last.seq <= self.head.seq:
            return []
        says = f"the log ends at {self.head.seq}, and {_signed(last)}: its end was cut off"
        return [Finding("cut", self.head.seq + 1, says)]


def _missing(first: int, last: int) -> str:
    many = f"entries {first} to {last} are" if last > first else f"entry {first} is"
    return f"{many} missing: deleted, or another stands in the place"


def _signed(checkpoint: Checkpoint) -> str:
    return f"entry {checkpoint.seq} was signed at {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"


def trusted(
    checkpoints: Iterable[Checkpoint], key: Ed25519PublicKey
) -> tuple[list[Checkpoint], list[Finding]]:
    """Part checkpoints into those that the key signed, and findings about the others."""
    good: list[Checkpoint] = []
    forged: list[Finding] = []
    for checkpoint in checkpoints:
        try:
            check_signature(checkpoint, key)
            good.append(checkpoint)
        except Rejected as error:
            forged.append(Finding("forged", checkpoint.seq, error.detail))
    return good, forged
