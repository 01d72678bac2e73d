"""The box's own alarm: sounded when nobody has confirmed an alarm in time.

Place in the flow: `edge.publisher` tells `Watch` what was accepted and what was stored,
and has `edge.sounder` sound what is due.  The edge cannot tell why it is quiet; 20 s
without `stored` are enough, whatever the platform says of itself.

Rules
-----
1. Suspected falls count when the simple rule (`edge.rule`) or the camera's own score says
   so; calls for help and hazards always count.
2. The time runs from the moment at which the alarm was accepted, or the process started.
3. One sounding an episode, whether it was sounded before a restart or after it.
4. An alarm older than `TOO_OLD_S` is left to the people who get it late: a siren now would
   only frighten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vigil.events import Answer, Data, FallSuspected, Hazard, PoseSuspected, Sos, Synthetic
from vigil.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.spool import Key

SILENT_S: Final = 20.0
"""DESIGN, "Sending again": after 20 s without `stored` the edge sounds its local alarm."""
TOO_OLD_S: Final = 600.0
POSE_SCORE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sounding:
    """An alarm to be sounded: whose device, which episode, how long nobody confirmed it (s)."""

    device: str
    episode: str
    silent_s: float
    synthetic: Synthetic | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    device: str
    episode: str
    since: float
    synthetic: Synthetic | None


class Watch:
    """Which alarms nobody has confirmed yet."""

    def __init__(self, looks_like_fall: Callable[[FallSuspected], bool]) -> None:
        self._looks_like_fall = looks_like_fall
        self._waiting: dict[Key, _Waiting] = {}
        self._unheard: list[_Waiting] = []
        self._sounded: set[str] = set()

    def accepted(self, key: Key, device: str, data: Data, now: float, synthetic: Synthetic | None) -> None:
        """Begin to wait for an alarm, if it is worth a siren."""
        episode = self._episode_worth(data, f"{device}-{key.ordinal}-{key.seq}")
        if key.lane is Lane.ALARM and episode is not None and synthetic != "canary":
            self._waiting[key] = _Waiting(device, episode, now, synthetic)

    def refused(self, device: str, data: Data, own: str, synthetic: Synthetic | None) -> None:
        """Take note of an alarm that could not be spooled: it is due at once.

        Args:
            device: Whose alarm it is.
            data: What was observed.
            own: Its episode, if it belongs to no other.
            synthetic: As the reading says.
        """
        episode = self._episode_worth(data, own)
        if episode is not None:
            self._unheard.append(_Waiting(device, episode, 0.0, synthetic))

    def _episode_worth(self, data: Data, own: str) -> str | None:
        """Return the episode of an alarm that is worth a siren, else None.

        Args:
            data: What was observed.
            own: The episode of an alarm that belongs to no other.
        """
        if isinstance(data, FallSuspected):
            return data.episode if self._looks_like_fall(data) else None
        if isinstance(data, PoseSuspected):
            return data.episode if data.score >= POSE_SCORE else None
        if isinstance(data, Answer):
            return (data.episode or own) if data.answer == "help" else None
        if isinstance(data, Sos) or (isinstance(data, Hazard) and data.active):
            return own
        return None

    def stored(self, ordinal: int, lane: Lane, stored: int) -> None:
        """Stop waiting for what the platform has, up to `stored` of a boot and lane."""
        self._waiting = {
            key: waiting
            for key, waiting in self._waiting.items()
            if key.lane is not lane or key.ordinal != ordinal or key.seq > stored
        }

    def sounded(self, episode: str) -> None:
        """Take note that an episode was sounded before."""
        self._sounded.add(episode)

    def due(self, now: float) -> list[Sounding]:
        """Return what is to be sounded at monotonic second `now`, each episode once."""
        late = [key for key, waiting in self._waiting.items() if now - waiting.since >= SILENT_S]
        waited = [self._waiting.pop(key) for key in late]
        silent = [(waiting, now - waiting.since) for waiting in waited] + [(w, 0.0) for w in self._unheard]
        self._unheard.clear()
        return [self._sounding(waiting, s) for waiting, s in silent if self._is_new(waiting.episode)]

    def _sounding(self, waiting: _Waiting, silent_s: float) -> Sounding:
        return Sounding(waiting.device, waiting.episode, silent_s, waiting.synthetic)

    def _is_new(self, episode: str) -> bool:
        new = episode not in self._sounded
        self._sounded.add(episode)
        return new
