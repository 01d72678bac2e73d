"""Passwords and other secrets: hashing, checking, making up; and when to lock an account.

Neighbours: `api.auth` checks at login, `api.commands` and the demo's seeding hash new ones.
Argon2id with the parameters that RFC 9106 gives for memory-constrained machines (the
library's default).
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_LENGTH: Final = 12
"""NIST SP 800-63B: length matters, composition rules do not."""
FREE_FAILURES: Final = 5
"""Wrong passwords in a row before the first lock."""
FIRST_LOCK: Final = timedelta(minutes=1)
LONGEST_LOCK: Final = timedelta(minutes=15)
"""An officer who is locked out at night must be able to come in within the quarter of an hour."""


class Passwords:
    """Hashes passwords and checks them; each takes some 50 ms of processor time on purpose."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return what may be kept of a password."""
        return self._hasher.hash(password)

    def verify(self, kept: str | None, password: str) -> bool:
        """Check a password; takes as long for an account that is not there (`kept` is None)."""
        try:
            self._hasher.verify(kept or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None


def lock_after(failures: int) -> timedelta | None:
    """Return for how long an account is locked after this many wrong passwords in a row."""
    if failures < FREE_FAILURES:
        return None
    doubled: timedelta = FIRST_LOCK * 2 ** min(failures - FREE_FAILURES, 10)
    return min(doubled, LONGEST_LOCK)


def new_secret() -> str:
    """Make up a secret of 256 bits."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Return what may be kept of a random secret."""
    return hashlib.sha256(secret.encode()).digest()
