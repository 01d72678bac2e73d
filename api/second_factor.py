"""The second factor: a time-based code (RFC 6238) from an authenticator, and codes for when it is lost.

Neighbours: `api.auth` asks for it at sign-in, `api.account` lets its owner set it up;
`vigil.store.sign_in` keeps it.  The secret lies sealed in the database; a code is good once.
"""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import pyotp
import segno

from api.passwords import digest
from api.problems import Denied
from vigil.errors import Rejected
from vigil.store import sign_in

if TYPE_CHECKING:
    from datetime import datetime

    from api.seal import Seal
    from vigil.store.pool import Connection
    from vigil.store.sign_in import Factor

STEP_S: Final = 30
WINDOW: Final = 1
"""Steps that a clock may be off, either way (RFC 6238, 5.2 advises one)."""
RECOVERY_CODES: Final = 10
ISSUER: Final = "Vigil"


def new_secret() -> str:
    """Make up a secret of 160 bits, as authenticators take it."""
    return pyotp.random_base32()


def uri(secret: str, account: str) -> str:
    """Return what an authenticator reads from a QR code or a link."""
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=account, issuer_name=ISSUER)


def qr(uri: str) -> str:
    """Draw what an authenticator reads as SVG, in place in a page: no styles, no scripts, nothing to load.

    Args:
        uri: What `uri` returns; some 120 characters, which fit with a quarter of the picture spoilt.
    """
    drawn: str = segno.make(uri, error="q", micro=False).svg_inline(scale=4, light="#fff", lineclass=None)
    return drawn


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step that a code belongs to, near the present one; None where it is wrong."""
    present, totp = int(now.timestamp()) // STEP_S, pyotp.TOTP(secret, interval=STEP_S)
    near = range(present - WINDOW, present + WINDOW + 1)
    return next((s for s in near if hmac.compare_digest(totp.generate_otp(s), code)), None)


def new_recovery_codes() -> list[str]:
    """Make up codes of 80 bits, each good once, in groups that can be read out."""
    raw = [secrets.token_hex(10) for _ in range(RECOVERY_CODES)]
    return ["-".join(code[at : at + 5] for at in range(0, 20, 5)) for code in raw]


async def begin(connection: Connection, seal: Seal | None, account: str, now: datetime) -> str:
    """Make a secret for an account, which counts once its owner has shown a code; returns it.

    Raises:
        Denied: 503: the platform has no key to seal it with.
        Rejected: `not_allowed`: one is in force.
    """
    secret = new_secret()
    sealed = _needed(seal).close(secret.encode(), _purpose(account))
    if not await sign_in.begin_factor(connection, account, sealed, now):
        raise Rejected("not_allowed", "a second factor is in force; remove it first, with a code")
    return secret


async def confirm(
    connection: Connection, seal: Seal | None, account: str, code: str, now: datetime
) -> list[str]:
    """Put a secret in force by its first code; returns the recovery codes, which are shown this once.

    Raises:
        Rejected: `not_allowed`: nothing was begun; `code`: the code is wrong.
    """
    found = await sign_in.factor(connection, account)
    if found is None or found.confirmed_at is not None:
        raise Rejected("not_allowed", "begin with a new secret first")
    if not await _use_code(connection, seal, found, code, now):
        raise Rejected("code", "this code is wrong; is the telephone's clock right?")
    codes = new_recovery_codes()
    await sign_in.confirm_factor(connection, account, [digest(one) for one in codes], now)
    return codes


async def check(connection: Connection, seal: Seal | None, found: Factor, code: str, now: datetime) -> bool:
    """Whether a code, or an unused recovery code, is right; either is used up by this."""
    code = code.strip().lower().replace(" ", "")
    if "-" in code:
        return await sign_in.use_recovery_code(connection, found.account, digest(code))
    return await _use_code(connection, seal, found, code, now)


async def _use_code(
    connection: Connection, seal: Seal | None, found: Factor, code: str, now: datetime
) -> bool:
    secret = _needed(seal).open(found.sealed, _purpose(found.account)).decode()
    step = step_of(secret, code, now)
    return step is not None and await sign_in.use_step(connection, found.account, step)


def _needed(seal: Seal | None) -> Seal:
    if seal is None:
        detail = "The platform has no key for second factors: set VIGIL_API_SECRET."
        raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, "no_key", detail)
    return seal


def _purpose(account: str) -> str:
    return f"totp:{account}"
