"""The one place that reads a clock; everything else takes time as an input.

`__main__` passes `utc_now` (or a test its own) to whatever needs to know the time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time, aware and in UTC."""


def utc_now() -> datetime:
    """Return the machine's time, aware and in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place where it is read
