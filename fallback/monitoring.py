"""Whether Prometheus, its rules and Alertmanager work: the dead man's switch of the platform's monitoring.

Place in the flow: `chores` looks; what is wrong is a note beside the verdict and declares nothing,
since no care depends on it.  A rule fires for ever (`deploy/prometheus/rules/heartbeat.yaml`), and
Prometheus says so again and again to Alertmanager, which is asked here how fresh that is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import httpx
import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY_S: Final = 30.0
ANSWER_S: Final = 5.0
HEARTBEAT: Final = "VigilHeartbeat"
STALE: Final = timedelta(minutes=4)
"""Prometheus tells it anew every minute."""


class Told(Struct, frozen=True, rename="camel"):
    """An alert, as far as it is read here (Alertmanager's API, version 2)."""

    labels: dict[str, str]
    updated_at: Annotated[datetime, Meta(tz=True)]


async def look(client: httpx.AsyncClient, alertmanager: str, now: datetime) -> str | None:
    """Ask Alertmanager for the heartbeat; returns what is wrong, or None.

    Args:
        client: Asks.
        alertmanager: Its address.
        now: Present time.
    """
    asked = {"filter": f'alertname="{HEARTBEAT}"'}
    try:
        answer = await client.get(f"{alertmanager.rstrip('/')}/api/v2/alerts", params=asked, timeout=ANSWER_S)
        answer.raise_for_status()
        told = msgspec.json.decode(answer.content, type=list[Told])
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        return f"Alertmanager does not answer ({type(error).__name__})"
    return judged(told, now)


def judged(told: Iterable[Told], now: datetime) -> str | None:
    """Return what is wrong with what Alertmanager has been told, or None."""
    beats = [alert.updated_at for alert in told if alert.labels.get("alertname") == HEARTBEAT]
    if not beats:
        return "Prometheus tells Alertmanager nothing"
    age = now - max(beats)
    return f"Prometheus has said nothing for {age.total_seconds() / 60:.0f} min" if age > STALE else None
