"""Looks at each process's `/readyz`, all at once, and says what was wrong.

Place in the flow: every `liveness.PERIOD`; `watchdog` takes the results to `liveness`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from datetime import datetime

ANSWER_S: Final = 3.0
"""Longest wait for a process to say that it is ready; less than the period."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found; `wrong` is None where the process is ready."""

    url: str
    wrong: str | None
    at: datetime


async def look(client: httpx.AsyncClient, urls: list[str], at: datetime) -> list[Looked]:
    """Look at every process."""
    wrong = await asyncio.gather(*(ready(client, url) for url in urls))
    return [Looked(url, what, at) for url, what in zip(urls, wrong, strict=True)]


async def ready(client: httpx.AsyncClient, url: str) -> str | None:
    """Return None where a process is ready, else what is wrong in a few words."""
    try:
        # httpx's own time-outs are between two bytes; a process that drips must not hold us.
        async with asyncio.timeout(ANSWER_S):
            answer = await client.get(url)
    except TimeoutError:
        return f"no answer in {ANSWER_S:.0f} s"
    except httpx.HTTPError as error:
        return type(error).__name__
    if answer.is_success:
        return None
    return _named(answer) or f"HTTP {answer.status_code}"


def _named(answer: httpx.Response) -> str | None:
    """Return the failing checks that `vigil.telemetry` names in its answer."""
    try:
        checks = answer.json()["checks"]
        return "; ".join(f"{name}: {result}" for name, result in checks.items() if result != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
