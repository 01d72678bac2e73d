"""How the platform itself says it stands, and what of that is wrong.

Place in the flow: asked every 5 s, notes for `senses`.  It is the platform's own word, and it
comes over the API: where that is gone, `probes` and the canaries say so.  All of it is *soft*:
residents are served meanwhile, as long as the canaries come through.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from fallback.senses import Noted
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

PERIOD_S: Final = 5.0
ANSWER_S: Final = 4.0
BEATS: Final = {
    "processors": timedelta(seconds=15),
    "ingest": timedelta(seconds=15),
    "escalator": timedelta(seconds=45),
}
"""Three missed signs of life of each kind of process: they give one every 5, 1 and 15 s; a process's
name begins with its kind."""
CLOCK: Final = timedelta(seconds=2)
"""Two clocks further apart make a story of what happened when (a request takes less)."""
CONSOLES: Final = timedelta(seconds=60)
"""For so long the last console may be away: a reload, a network that changes."""


class Beat(msgspec.Struct, frozen=True):
    """The last sign of life of a process."""

    process: str
    at: datetime
    progress: dict[str, Any]


class Unanswered(msgspec.Struct, frozen=True):
    """Critical alerts of an estate that nobody has taken."""

    estate: str
    count: int
    since: datetime


class Standing(msgspec.Struct, frozen=True):
    """What `GET /api/v1/fallback/standing` answers."""

    at: datetime
    consoles: int
    heartbeats: list[Beat]
    unanswered: list[Unanswered]


async def ask(client: httpx.AsyncClient) -> Standing:
    """Ask once.

    Raises:
        Unavailable: The platform does not answer, or answers nonsense.
    """
    try:
        answer = await client.get("/api/v1/fallback/standing", timeout=ANSWER_S)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Standing)
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise Unavailable("the platform's standing", error) from None


class Judge:
    """Says what is wrong with how the platform stands; remembers when a console was there last.

    Args:
        estates: All that are watched, so that an alert that was answered is noted as well.
    """

    def __init__(self, estates: Sequence[str]) -> None:
        self._estates = estates
        self._console_at: datetime | None = None

    def notes(self, said: Standing, now: datetime) -> list[Noted]:
        """Return what is wrong, or well again, by what the platform said just now."""
        waiting = {each.estate: each for each in said.unanswered}
        return [
            *(
                Noted("unanswered", _waiting(waiting.get(estate), said.at), now, estate)
                for estate in self._estates
            ),
            Noted("beat", missed(said), now),
            Noted("consoles", self._no_console(said.consoles, now), now),
            Noted("clock", apart(said.at, now), now),
        ]

    def _no_console(self, count: int, now: datetime) -> str | None:
        """Return that the last console has gone; where none was ever there, people are paged only."""
        if count:
            self._console_at = now
        if self._console_at is None or now - self._console_at < CONSOLES:
            return None
        return f"since {self._console_at:%H:%M} UTC"


def missed(said: Standing) -> str | None:
    """Return the kinds of process that have given no sign of life in the database for too long."""
    silent = []
    for kind, limit in BEATS.items():
        ages = [said.at - beat.at for beat in said.heartbeats if beat.process.startswith(f"{kind}-")]
        if not ages or min(ages) > limit:
            silent.append(f"{kind} {min(ages).total_seconds():.0f} s" if ages else kind)
    return ", ".join(silent) or None


def apart(theirs: datetime, ours: datetime) -> str | None:
    """Return how far the platform's clock is from ours, where that is too far."""
    offset = theirs - ours
    return f"{offset.total_seconds():+.1f} s" if abs(offset) > CLOCK else None


def _waiting(found: Unanswered | None, now: datetime) -> str | None:
    if found is None:
        return None
    minutes = (now - found.since) / timedelta(minutes=1)
    # Whole minutes: the sentence stays the same between two looks.
    return f"{found.count} · {minutes:.0f} min"
