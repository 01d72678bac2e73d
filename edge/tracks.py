"""Follow each person from frame to frame, so that one's fall is not mixed with another's rest.

Place in the flow: `edge.pose` finds the people of one frame, this module says who of them
was who before, and `edge.vision` watches each track for a trunk that drops.  Nobody is
recognised: a track is a number that is forgotten when the person leaves the picture.

People are matched by where all their joints are, measured in body sizes, and the pairing
that fits best as a whole wins: a seated bystander stays with their own track even
while somebody falls past them.  Coordinates are in frame heights on both axes, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Points: TypeAlias = NDArray[np.float32]
"""Joints of one person in COCO's order, shape (17, 3): x, y, confidence from 0 to 1."""

SURE: Final = 0.2
"""Confidence from which a joint's place is used; MoveNet's authors draw from 0.2 to 0.3."""
MAX_PEOPLE: Final = 6
KEEP_S: Final = 4.0
"""Seconds of history a track holds: a sequence of 3 s and what the body's size is taken from."""
LOST_S: Final = 2.0
"""Seconds of looking in vain after which a track ends."""
LONGEST_STEP_S: Final = 0.5
"""A pause longer than this (the motion gate was shut) counts as this much looking in vain."""
GATE: Final = 0.6
"""Body sizes that joints may lie from where they were, on average, at once."""
GATE_PER_S: Final = 1.5
"""Further body sizes a second unseen: a falling trunk moves about a body's height in a second."""
REACH: Final = 1.5
"""Body sizes beyond which nobody is taken for the same person, however long unseen."""
GROWTH: Final = 2.5
"""Times that a body may look larger or smaller at once, a leg lost from sight included."""
SAME: Final = 0.12
"""Body sizes within which two finds are one person found twice."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A person seen at `time_s` of the camera's own clock."""

    time_s: float
    points: Points


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One person, as long as they are in the picture.

    Attributes:
        number: Unique for the life of a camera's pipeline.
        sights: Oldest first, the last `KEEP_S` seconds; never empty.
        missed_s: Seconds of looking in vain since the last sight.
    """

    number: int
    sights: tuple[Sight, ...]
    missed_s: float = 0.0

    @property
    def last(self) -> Sight:
        """The newest sight."""
        return self.sights[-1]


@dataclass(frozen=True, slots=True)
class Tracks:
    """Everybody in the picture, and the number of the next who enters it."""

    people: tuple[Track, ...] = field(default=())
    next_number: int = 1
    time_s: float | None = None


def step(state: Tracks, people: Sequence[Points], time_s: float) -> Tracks:
    """Join what one frame shows to what is known.

    Args:
        state: What the last step returned.
        people: Joints of everybody found, surest first; at most `MAX_PEOPLE` are used.
        time_s: When the frame was taken, in seconds, increasing from step to step.
    """
    found = list(_distinct(people))[:MAX_PEOPLE]
    waited_s = 0.0 if state.time_s is None else min(time_s - state.time_s, LONGEST_STEP_S)
    pairs = _paired(state.people, found, waited_s)
    followed = tuple(
        _seen(track, Sight(time_s, found[pairs[track.number]]))
        if track.number in pairs
        else replace(track, missed_s=track.missed_s + waited_s)
        for track in state.people
    )
    taken = set(pairs.values())
    fresh = [points for place, points in enumerate(found) if place not in taken]
    entered = tuple(Track(state.next_number + n, (Sight(time_s, points),)) for n, points in enumerate(fresh))
    kept = tuple(track for track in followed if track.missed_s <= LOST_S)
    return Tracks((*kept, *entered)[-2 * MAX_PEOPLE :], state.next_number + len(entered), time_s)


def still(state: Tracks, time_s: float) -> Tracks:
    """Say that nothing moved: whoever was in sight is where they were; nobody is looked for."""
    stayed = tuple(
        track if track.missed_s else _seen(track, Sight(time_s, track.last.points)) for track in state.people
    )
    return replace(state, people=stayed, time_s=time_s)


def size(points: Points) -> float:
    """Return the diagonal of the box around a person's joints, in frame heights; 0 for none."""
    sure = points[points[:, 2] >= SURE, :2]
    return float(np.hypot(*(sure.max(axis=0) - sure.min(axis=0)))) if len(sure) > 1 else 0.0


def distance(one: Points, other: Points) -> float:
    """Return how far apart two poses are: the mean over joints sure in both, in body sizes.

    Infinite where fewer than four joints are sure in both, or one is far smaller than the
    other: somebody further away.
    """
    both = (one[:, 2] >= SURE) & (other[:, 2] >= SURE)
    smaller, body = sorted((size(one), size(other)))
    if both.sum() < 4 or body > GROWTH * smaller:
        return float("inf")
    return float(np.hypot(*(one[both, :2] - other[both, :2]).T).mean()) / body


def _distinct(people: Sequence[Points]) -> Iterator[Points]:
    """Yield the people without those found twice; the surer comes first and stays."""
    kept: list[Points] = []
    for points in people:
        if all(distance(points, other) > SAME for other in kept):
            kept.append(points)
            yield points


def _seen(track: Track, sight: Sight) -> Track:
    """Add a sight to a track, and forget what is older than `KEEP_S`."""
    recent = tuple(old for old in track.sights if sight.time_s - old.time_s <= KEEP_S)
    return Track(track.number, (*recent, sight))


def _paired(tracks: Sequence[Track], found: Sequence[Points], waited_s: float) -> dict[int, int]:
    """Return the place in `found` of each track's person.

    A track's reach grows with the time it was not seen, up to `REACH`; what lies beyond it is
    never joined.
    """
    gains = np.zeros((len(tracks), len(found)))
    for row, track in enumerate(tracks):
        reach = min(GATE + GATE_PER_S * (track.missed_s + waited_s), REACH)
        for column, points in enumerate(found):
            gains[row, column] = max(reach - _away(track, points), 0.0)
    return {tracks[row].number: column for row, column in _best(gains)}


def _away(track: Track, points: Points) -> float:
    """Return how far a find lies from a track, in body sizes.

    Somebody lost from sight may have turned head over heels since, as in a fall, so that
    joint by joint nothing fits: there the middles of the bodies are compared.
    """
    apart = distance(track.last.points, points)
    if not track.missed_s or apart == float("inf"):
        return apart
    body = max(size(track.last.points), size(points))
    return min(apart, float(np.hypot(*(_centre(track.last.points) - _centre(points)))) / body)


def _centre(points: Points) -> NDArray[np.float32]:
    """Return the middle of the sure joints."""
    middle: NDArray[np.float32] = points[points[:, 2] >= SURE, :2].mean(axis=0)
    return middle


def _best(gains: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """Return the pairs (row, column) with the greatest total gain; none has a gain of 0.

    Exact, by dynamic programming over the sets of columns already given away: at most 64.
    """
    best: dict[int, tuple[float, tuple[tuple[int, int], ...]]] = {0: (0.0, ())}
    for row, column_gains in enumerate(gains):
        for taken, (total, pairs) in list(best.items()):
            for column in np.flatnonzero(column_gains).tolist():
                with_it, gain = taken | 1 << column, total + column_gains[column]
                if not taken >> column & 1 and gain > best.get(with_it, (0.0, ()))[0]:
                    best[with_it] = (gain, (*pairs, (row, column)))
    return max(best.values(), key=lambda plan: plan[0])[1]
