"""Seals small secrets that have to be read again: AES-GCM with a key of the platform's own.

Neighbours: `api.second_factor` keeps its secrets sealed in the database, `api.oidc` a sign-in
under way in a cookie.  The key is derived from VIGIL_API_SECRET; whoever changes that makes what
was sealed before unreadable.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vigil.errors import Rejected

_NONCE: Final = 12


class Seal:
    """Seals and opens; what was sealed for one purpose opens for no other."""

    def __init__(self, secret: bytes) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vigil seal 1")
        self._cipher = AESGCM(derived.derive(secret))

    def close(self, clear: bytes, purpose: str) -> bytes:
        """Seal for a purpose, such as `totp:li.na`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, clear, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed for this purpose.

        Raises:
            Rejected: `seal`: it was made with another key or for another purpose, or was changed.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
        except (InvalidTag, ValueError):
            raise Rejected("seal", "this was not sealed here for this") from None
