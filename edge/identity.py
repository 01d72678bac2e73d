"""How this box stands with the broker: whether it is turned away, and how long its certificate lasts.

Place in the flow: `edge.box` runs `Standing` beside the publisher; what is wrong goes into the
node's health and its readiness.  `edge.claim` wrote the file that is read here; the certificate
itself is not opened: the library for that takes 7 MB, an eighth of the whole process.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from edge import handshake
from vigil.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vigil.settings import MqttSettings

EVERY_S: Final = 10.0
WORRY: Final = timedelta(days=14)
"""The renewal begins 30 days before the end (`vigil.pki`); two weeks later it has failed often."""
_log = structlog.get_logger(__name__)


class _End(Struct, frozen=True):
    not_after: datetime


class Connection(Protocol):
    """What is asked of the connection; `edge.link.Link` is one."""

    up: bool
    refused: str | None


class Standing:
    """What is known of it.

    Attributes:
        refused: Why the broker turns this box away, in plain words; None while it does not.
        trouble: The same and an end that is near, for the node's health.
    """

    def __init__(self, settings: MqttSettings, link: Connection, utc: Callable[[], datetime]) -> None:
        """Take note of the settings.

        Args:
            settings: The broker's.
            link: The connection.
            utc: The wall clock.
        """
        self._settings, self._link, self._utc = settings, link, utc
        self.refused: str | None = None
        self.trouble: list[str] = []

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.step()
            await asyncio.sleep(EVERY_S)

    async def step(self) -> None:
        """Look once."""
        before = self.refused
        self.refused = None if self._link.up else await asyncio.to_thread(self._why)
        if self.refused and self.refused != before:
            _log.error("the broker turns this box away", why=self.refused)
        ending = ends_soon(self._settings.mqtt_cert, self._utc())
        self.trouble = [said for said in (self.refused, ending) if said]

    def _why(self) -> str | None:
        try:
            refused = handshake.why_refused(self._settings)
        except Misconfigured as error:
            return str(error)
        if refused is None and self._link.refused is not None:
            return f"the broker refuses this box ({self._link.refused}): check name and password"
        return refused


def ends_soon(certificate: Path | None, now: datetime) -> str | None:
    """Say that the certificate ends soon, if it does and the box was claimed."""
    if certificate is None:
        return None
    try:
        claimed = certificate.with_name("claim.json").read_bytes()
        left = msgspec.json.decode(claimed, type=_End).not_after - now
    except (OSError, msgspec.DecodeError):
        return None
    return f"certificate ends in {max(left.days, 0)} days" if left < WORRY else None
