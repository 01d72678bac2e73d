"""How often somebody may ask, and how often fail to sign in; pure.

Neighbours: `api.auth` asks before anything else of a request is done.  Accounts are locked one by one
(`api.passwords.lock_after`); `Failures` holds whoever tries many accounts from one place, and `Rates`
whoever asks for too much, by mistake or on purpose.  Both live in the process: several processes
allow as many times more.

Rules
-----
1. What acts on an alert, and the live stream, are never refused by `Rates` (`LIFELINE`): whoever
   shares an address with a flood can still take an alert, and so can an account whose own program
   has gone wild.  Who they are is proved all the same, and that is one look-up by key.
2. What is remembered is bounded.  Whoever comes from very many sources makes the oldest forgotten,
   which refuses nobody.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from api.access import May
from api.permissions import ROUTES, mays

FAILURES: Final = 60
"""In a window from one source: a whole shift behind one address mistypes less than that."""
WINDOW: Final = timedelta(minutes=1)
_SOURCES: Final = 10_000
_ACTS: Final = frozenset({May.TAKE, May.HAND_TO_FALLBACK, May.SEE_ROSTER, May.SAY_OWN})
LIFELINE: Final = frozenset(
    {route for route, need in ROUTES.items() if _ACTS & set(mays(need))}
    | {"GET /api/v1/stream", "POST /api/v1/receipts/{link}", "POST /me/answer"}
    | {f"{method} /{page}/{{link}}" for method in ("GET", "POST") for page in ("take", "answer")}
)
"""Routes that are never refused for being asked for too often (rule 1)."""
ADDRESS_A_SECOND: Final = 100.0
"""From one address: a centre of 20 consoles behind one of them asks for some 10 a second when a day is bad."""
ACCOUNT_A_SECOND: Final = 20.0
"""Of one account: a page is 1 to 5 requests, and a program that brings in residents one by one gets through."""
BURST_S: Final = 20.0
"""Requests that may come at once, in seconds of the rate: after a restart every page is opened anew."""


@dataclass(slots=True)
class Failures:
    """The failures of late, by source."""

    _by_source: dict[str, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    def exhausted(self, source: str, now: datetime) -> bool:
        """Whether a source has failed too often within the window."""
        times = self._by_source.get(source)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        return times is not None and len(times) >= FAILURES

    def note(self, source: str, now: datetime) -> None:
        """Count a failure; whoever comes from very many sources makes the oldest ones forgotten."""
        if source not in self._by_source and len(self._by_source) >= _SOURCES:
            del self._by_source[next(iter(self._by_source))]
        self._by_source[source].append(now)


@dataclass(slots=True)
class Rate:
    """An allowance for each source that fills up evenly (a leaking bucket, as one number: GCRA).

    Attributes:
        a_second: How fast it fills.
    """

    a_second: float
    _whole_at: dict[str, float] = field(default_factory=dict)

    def take(self, source: str, now: float) -> float:
        """Count a request.

        Args:
            source: Who asks.
            now: Seconds of a clock that never goes back.

        Returns:
            0, or after how many seconds the next one is allowed; what is refused does not count.
        """
        whole = max(self._whole_at.pop(source, now), now)
        wait = round(whole + 1 / self.a_second - BURST_S - now, 6)  # sums of tenths are not quite whole
        self._whole_at[source] = whole if wait > 0 else whole + 1 / self.a_second
        if len(self._whole_at) > _SOURCES:
            del self._whole_at[next(iter(self._whole_at))]
        return max(wait, 0.0)


@dataclass(slots=True)
class Rates:
    """How often anybody may ask, by address and by account; the settings of a site may say otherwise."""

    address: Rate = field(default_factory=lambda: Rate(ADDRESS_A_SECOND))
    account: Rate = field(default_factory=lambda: Rate(ACCOUNT_A_SECOND))


def source_of(host: str | None) -> str:
    """Return what counts as one address: of IPv6 its network, for a home has 2^64 addresses and more."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
