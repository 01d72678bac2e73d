"""The link in a notice with which its reader takes the alert without signing in.  Pure.

Neighbour: `api.console.answer` shows the page behind it.  The link names one alert and one
person, ends by itself, and is signed.  Opening it changes nothing, since mail scanners and chat
programs open links on their own; the one button on its page takes the alert.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from vigil.errors import Rejected

GOOD_FOR: Final = timedelta(hours=1)
_MAC_BYTES: Final = 16
_RECEIPT: Final = "receipt:"
"""Stands where an account does, and is none: such a link takes no alert."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who may take which alert, until when."""

    alert: UUID
    account: str
    until: datetime


def sign(invitation: Invitation, key: bytes) -> str:
    """Return the text that stands in the link."""
    until = int(invitation.until.timestamp()).to_bytes(8)
    body = invitation.alert.bytes + until + invitation.account.encode()
    return base64.urlsafe_b64encode(_mac(body, key) + body).decode().rstrip("=")


def read(text: str, key: bytes, now: datetime) -> Invitation:
    """Check a link's text.

    Raises:
        Rejected: `link`; it is not ours, was changed, or is over.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        until = datetime.fromtimestamp(int.from_bytes(body[16:24]), UTC)
        invitation = Invitation(UUID(bytes=body[:16]), body[24:].decode(), until)
    except (ValueError, OverflowError, OSError):
        raise Rejected("link", "this is not a link of ours") from None
    if not hmac.compare_digest(mac, _mac(body, key)):
        raise Rejected("link", "this link was changed on its way")
    if now >= invitation.until:
        raise Rejected("link", "this link is over; sign in to the console")
    return invitation


def sign_receipt(notice: UUID, contact: int, until: datetime, key: bytes) -> str:
    """Return the text of the link by which a provider says what became of a notice to a contact."""
    return sign(Invitation(notice, f"{_RECEIPT}{contact}", until), key)


def read_receipt(text: str, key: bytes, now: datetime) -> tuple[UUID, int]:
    """Return the notice and the contact's position in the person's route.

    Raises:
        Rejected: `link`; it is not ours, is for somebody who takes alerts, was changed, or is over.
    """
    found = read(text, key, now)
    contact = found.account.removeprefix(_RECEIPT)
    if contact == found.account or not contact.isdecimal():
        raise Rejected("link", "this link is for something else")
    return found.alert, int(contact)


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"acknowledge" + body, hashlib.sha256)[:_MAC_BYTES]
