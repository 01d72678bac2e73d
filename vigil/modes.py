"""Which version of a detector may alert where; what nobody has spoken for is in shadow.

Place in the flow: `vigil.store.detectors` keeps what people said, `vigil.store.registry` reads it
with the profiles, `processors.decide` and `processors.homes` ask before they raise.

Rules
-----
1. A version that nobody has let alert is in shadow: what it finds is recorded, and alerts nobody.
2. The word on an estate counts before the one on its community, and that before one on all; of
   several on the same place the latest.
3. Of the versions that may alert the one that was let last does; the others go on in shadow, so
   that an old and a new one can be compared on the same events, whichever of them alerts.
4. Only people end protection.  Where a version may alert and is not there (a deployment took its
   file away), the first that is there stands in for it; that a date for review has passed changes
   nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

ROUTINES: Final = "routines"
"""The detector of broken routines; its version is that of the code."""
ROUTINES_VERSION: Final = "1"
POSE: Final = "falls-pose"
DETECTORS: Final = ("falls-waist", "falls-chest", "falls-wrist", POSE, ROUTINES)
"""Every detector that has versions.  Buttons, smoke, gas, water and the edge's own rule have none:
they need no permission."""


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody said of a version of a detector.

    Attributes:
        detector: `falls-waist`, `falls-chest`, `falls-wrist`, `falls-pose` or `routines`.
        version: As detections name it.
        community: Where it holds; None with `estate` None is everywhere.
        estate: The same.
        alerts: Whether it may alert; else it is in shadow.
        at: When it was said.
    """

    detector: str
    version: str
    community: str | None
    estate: str | None
    alerts: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Live:
    """Which version alerts.

    Attributes:
        version: Its name; empty where none of those that are there does (all have failed).
        stands_in: Whether it does so for one that is not there.
    """

    version: str
    stands_in: bool = False


class Modes:
    """What people said of all detectors."""

    def __init__(self, words: Iterable[Word] = ()) -> None:
        self._latest: dict[str, dict[tuple[str, str | None, str | None], Word]] = {}
        for word in sorted(words, key=lambda one: one.at):
            place = (word.version, word.community, word.estate)
            self._latest.setdefault(word.detector, {})[place] = word

    def live(self, detector: str, versions: Sequence[str], community: str, estate: str) -> Live | None:
        """Return which version alerts at a place, None where all are in shadow.

        Args:
            detector: Which one.
            versions: Those that are there, the packaged one first.
            community: Where something was seen.
            estate: The same.
        """
        words = self._latest.get(detector, {})
        named = {version for version, _, _ in words}
        found = [_closest(words, version, community, estate) for version in named]
        may = [word for word in found if word is not None and word.alerts]
        if not may:
            return None
        there = [word for word in may if word.version in versions]
        if there:
            return Live(max(there, key=lambda word: (word.at, word.version)).version)
        return Live(versions[0] if versions else "", stands_in=True)


def _closest(
    words: dict[tuple[str, str | None, str | None], Word], version: str, community: str, estate: str
) -> Word | None:
    for place in ((None, estate), (community, None), (None, None)):
        if (word := words.get((version, *place))) is not None:
            return word
    return None
