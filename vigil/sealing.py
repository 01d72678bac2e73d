"""Personal fields, sealed: a key per resident (AES-256-GCM), wrapped by a master key.

Neighbours: `vigil.store.sealed` keeps the wrapped keys and gives what was read here to be opened; the
API alone has the master key.  Who destroys a resident's wrapped key has erased every sealed field of
theirs, in this database and in each copy of it (decision 0036).

Rules
-----
1. What is sealed is text that begins with `MARK`, then base64 of a nonce and the AES-GCM box.  Text
   without the mark is in clear: it stood there before a master key was given, and is sealed in time.
2. The additional data bind a box to its field and to its resident, and a wrapped key to its resident,
   so that nothing can be moved to where it says something else.
3. Without a master key everything is written in clear, and what is sealed cannot be opened.
4. The first master key wraps; any of them unwraps, so that a new one can be put in front.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vigil.errors import Rejected
from vigil.store.sealed import JSON_FIELDS, MARK, SEALED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

KEY_BYTES: Final = 32
_NONCE: Final = 12
_NAME: Final = 8
"""Bytes of SHA-256 that name a master key in what it has wrapped."""


class Unwrap(Protocol):
    """Turns a line of the master key's file into the key: for a KMS, which holds the key that opens it."""

    def __call__(self, line: bytes) -> bytes:
        """Return the 32 bytes of the key."""


def from_base64(line: bytes) -> bytes:
    """Read a master key that stands in its file as base64, for sites without a KMS.

    Raises:
        Rejected: `bad_key`; it is no base64.
    """
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Rejected("bad_key", "a master key is 32 bytes in base64, one a line") from None


def new_master() -> str:
    """Make up a master key, as its file holds it."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def read_master(path: Path, unwrap: Unwrap = from_base64) -> tuple[bytes, ...]:
    """Read the master keys of a file, one a line, the one in use first.

    Raises:
        OSError: The file cannot be read.
        Rejected: `bad_key`; it holds none, or one that is not of 32 bytes.
    """
    keys = tuple(unwrap(line) for line in path.read_bytes().split())
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise Rejected("bad_key", "a master key is 32 bytes in base64, one a line")
    return keys


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals one resident's fields; without a cipher it leaves everything in clear.

    Attributes:
        resident: Whose.
        wrapped: The resident's key as it is kept; None in clear.
    """

    resident: str
    wrapped: bytes | None = None
    cipher: AESGCM | None = None

    def text(self, field: str, value: str | None) -> str | None:
        """Seal a text; nothing stays nothing."""
        if value is None or self.cipher is None:
            return value
        nonce = os.urandom(_NONCE)
        box = self.cipher.encrypt(nonce, value.encode(), _bound(field, self.resident))
        return MARK + base64.b64encode(nonce + box).decode()

    def json(
        self, field: str, value: Mapping[str, Any] | None, clear: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Seal an object but for the names that stay in clear."""
        if value is None:
            return None
        if self.cipher is None:
            return dict(value)
        hidden = {name: one for name, one in value.items() if name not in clear}
        shown = {name: one for name, one in value.items() if name in clear}
        if not hidden:
            return shown
        return shown | {SEALED: self.text(field, json.dumps(hidden, ensure_ascii=False))}


class Vault:
    """Makes residents' keys, and opens what was sealed with them.

    Args:
        masters: Keys of 32 bytes, the one in use first; none: everything is in clear.
    """

    def __init__(self, masters: tuple[bytes, ...] = ()) -> None:
        self._masters = {sha256(key).digest()[:_NAME]: AESGCM(key) for key in masters}
        self._first = next(iter(self._masters), None)

    @property
    def seals(self) -> bool:
        """Whether there is a master key."""
        return self._first is not None

    def new(self, resident: str) -> Sealer:
        """Make a resident's key up."""
        if self._first is None:
            return Sealer(resident)
        key = AESGCM.generate_key(KEY_BYTES * 8)
        return Sealer(resident, self._wrap(resident, key), AESGCM(key))

    def sealer(self, resident: str, wrapped: bytes) -> Sealer:
        """Return what seals with a resident's key that is kept.

        Raises:
            Rejected: `bad_key`; no master key opens it.
        """
        return Sealer(resident, wrapped, AESGCM(self._unwrap(resident, wrapped)))

    def rewrap(self, resident: str, wrapped: bytes) -> bytes | None:
        """Return a resident's key wrapped by the master key in use; None where it is already."""
        if self._first is None or wrapped.startswith(self._first):
            return None
        return self._wrap(resident, self._unwrap(resident, wrapped))

    def open(self, resident: str, field: str, wrapped: bytes | None, value: str) -> Any:
        """Open what was read of a field; of who was erased (no key any more) nothing is left.

        Raises:
            Rejected: `bad_key`, `bad_seal`; it was sealed by another key, for another field or resident.
        """
        if field not in JSON_FIELDS:
            return self._text(resident, field, wrapped, value)
        whole: dict[str, Any] = json.loads(value)
        if (sealed := whole.pop(SEALED, None)) is None:
            return whole
        return whole | json.loads(self._text(resident, field, wrapped, sealed) or "{}")

    def _text(self, resident: str, field: str, wrapped: bytes | None, value: str) -> str:
        if not value.startswith(MARK):
            return value
        if wrapped is None:
            return ""
        content = base64.b64decode(value[len(MARK) :])
        cipher = AESGCM(self._unwrap(resident, wrapped))
        try:
            return cipher.decrypt(content[:_NONCE], content[_NONCE:], _bound(field, resident)).decode()
        except InvalidTag:
            raise Rejected("bad_seal", f"the {field} of {resident} was not sealed for this place") from None

    def _wrap(self, resident: str, key: bytes) -> bytes:
        assert self._first is not None, "asked only where there is a master key"  # noqa: S101 - by the callers above
        nonce = os.urandom(_NONCE)
        return self._first + nonce + self._masters[self._first].encrypt(nonce, key, _bound("key", resident))

    def _unwrap(self, resident: str, wrapped: bytes) -> bytes:
        master = self._masters.get(wrapped[:_NAME])
        if master is None:
            raise Rejected("bad_key", "residents' keys are wrapped by a master key that this process lacks")
        nonce, box = wrapped[_NAME : _NAME + _NONCE], wrapped[_NAME + _NONCE :]
        try:
            return master.decrypt(nonce, box, _bound("key", resident))
        except InvalidTag:
            raise Rejected("bad_key", f"the key that is kept of {resident} is not theirs") from None


def _bound(field: str, resident: str) -> bytes:
    """Say what a box is for: no name of a field has a colon."""
    return f"{field}:{resident}".encode()
