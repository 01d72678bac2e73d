"""How often somebody may fail to sign in; pure.

Neighbour: `api.auth` asks before it looks at a password or a code.  Accounts are locked one by one
(`api.passwords.lock_after`); this holds whoever tries many accounts from one place.  It lives in
the process: several processes allow as many times more.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

FAILURES: Final = 60
"""In a window from one source: a whole shift behind one address mistypes less than that."""
WINDOW: Final = timedelta(minutes=1)
_SOURCES: Final = 10_000


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
