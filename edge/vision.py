"""Watch each person's trunk, and cut out the seconds around its drop.

Place in the flow: `edge.tracks` says where everybody's joints were, this module notices that
a trunk has dropped, waits to see what follows, and hands `edge.camera` the sequence; the
model that decides is `processors.posefalls`.  It is meant to be cheap and to miss nothing:
sitting down or bending triggers it too.  Its own score is the simple rule by which the box
sounds its local alarm while the platform is away.

The state machine of a track:

1. *Watched*: while the shoulders are less than `DROP` body lengths below where they were at
   any time in the last second in which the person was in sight.
2. *Dropping*, from then on for `AFTER_S`, whether or not the person is still found.
3. *Reported*: the `SEQUENCE_S` seconds around the drop are cut out, once, unless the trunk is plainly up
   again; then watched again.

Lengths are in body lengths of the person at hand, so that near and far count alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.tracks import SURE, Points, Sight, Track, Tracks, distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DROP: Final = 0.18
"""Body lengths; the shoulders sink 0.26 in sitting down and 0.7 in a fall to the floor."""
WITHIN_S: Final = 1.0
AFTER_S: Final = 2.2
"""Time for the fall to end (0.5 to 1.0 s) and a second of lying; the answer is due within 2.5 s."""
SEQUENCE_S: Final = 3.0
TRUNK: Final = 0.33
"""Shoulders to hips in body lengths, as MoveNet sets these points; 0.29 between the joints' centres."""
HEAD_TO_ANKLES: Final = 0.90
"""Face to ankles in body lengths (Drillis and Contini 1966: 0.936 - 0.039)."""
FALLEN: Final = 0.45
"""Drop of the shoulders at which the edge's own rule is undecided: between sitting and lying."""
UPRIGHT: Final = 0.5
"""Share of its standing height that the trunk keeps, at which the rule is undecided."""
SOFTNESS: Final = 0.07
"""Change of either measure that turns undecided into 73%: the joints' own error."""
STILL_FOR_S: Final = 20.0
"""Seconds after a suspicion over which stillness is measured, as for a wearable."""
STIRRED: Final = 0.04
"""Mean move of the joints within a second, in body sizes, from which somebody is not still."""
WORTH: Final = 0.01
"""Score of the rule below which nothing is reported: the person stands or sits upright again."""
MODEL: Final = "edge.trunk_drop"
MODEL_VERSION: Final = "1"

_FACE, _SHOULDERS, _HIPS, _ANKLES = slice(0, 5), slice(5, 7), slice(11, 13), slice(15, 17)


@dataclass(frozen=True, slots=True)
class Drop:
    """The trunk of `track` began to drop at `time_s`."""

    track: int
    time_s: float
    history: tuple[Sight, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """Drops not yet reported, and until when the tracks just reported are left alone."""

    open: tuple[Drop, ...] = ()
    reported: tuple[Drop, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Suspicion:
    """A sequence worth the platform's look.

    Attributes:
        track: Number of the person's track.
        dropped_s: When the trunk began to drop.
        frames: `SEQUENCE_S` of joints at an even rate, oldest first; confidence 0 where unseen.
        score: What the edge's own rule made of it, 0 to 1.
    """

    track: int
    dropped_s: float
    frames: tuple[Points, ...]
    score: float


def step(watch: Watch, tracks: Tracks, time_s: float, rate_hz: float) -> tuple[Watch, tuple[Suspicion, ...]]:
    """Look at everybody's trunk.

    Args:
        watch: What the last step returned.
        tracks: What `edge.tracks.step` just returned.
        time_s: The present, in seconds of the camera's clock.
        rate_hz: Frames a second that sequences are cut to.

    Returns:
        The next state, and what is to be reported now.
    """
    recent = tuple(drop for drop in watch.reported if time_s - drop.time_s < SEQUENCE_S)
    busy = {drop.track for drop in (*watch.open, *recent)}
    fresh = [
        Drop(track.number, began_s, track.sights)
        for track in tracks.people
        if track.number not in busy and (began_s := _drop(track)) is not None
    ]
    followed = [_followed(drop, tracks.people) for drop in (*watch.open, *fresh)]
    due = tuple(drop for drop in followed if time_s - drop.time_s >= AFTER_S)
    waiting = tuple(drop for drop in followed if time_s - drop.time_s < AFTER_S)
    suspicions = (_suspicion(drop, rate_hz) for drop in due)
    worth = tuple(suspicion for suspicion in suspicions if suspicion.score >= WORTH)
    return Watch(waiting, (*recent, *due)), worth


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """How still the person of a suspicion has been since.

    Attributes:
        track: Number of the person's track.
        begun_s: When watching began.
        pose: Where the joints were when the present second began, at `pose_s`.
        still_s: Whole seconds without stirring.
        watched_s: Whole seconds in which the person was in sight.
    """

    track: int
    begun_s: float
    pose: Points | None = None
    pose_s: float = -math.inf
    still_s: float = 0.0
    watched_s: float = 0.0

    def over(self, time_s: float) -> bool:
        """Tell whether it has been watched for long enough."""
        return time_s - self.begun_s >= STILL_FOR_S


def rest(state: Rest, tracks: Tracks, time_s: float) -> Rest:
    """Count a second, when one is full, as still, as stirred, or as not watched."""
    if time_s - state.pose_s < 1.0:
        return state
    found = [track for track in tracks.people if track.number == state.track and not track.missed_s]
    pose = found[0].last.points if found else None
    both = pose is not None and state.pose is not None
    quiet = pose is not None and state.pose is not None and distance(pose, state.pose) < STIRRED
    return Rest(state.track, state.begun_s, pose, time_s, state.still_s + quiet, state.watched_s + both)


def length(points: Points) -> float:
    """Return a lower bound of the body's length as seen, in frame heights; 0 where unknown."""
    trunk = _apart(_middle(points, _SHOULDERS), _middle(points, _HIPS)) / TRUNK
    whole = _apart(_middle(points, _FACE), _middle(points, _ANKLES)) / HEAD_TO_ANKLES
    return max(trunk, whole)


def body_length(poses: Iterable[Points]) -> float:
    """Return the length of a body seen in several poses: the upper quartile; 0 where unknown."""
    known = [seen for seen in map(length, poses) if seen > 0]
    return float(np.percentile(known, 75)) if known else 0.0


def sequence(sights: Sequence[Sight], end_s: float, rate_hz: float) -> tuple[Points, ...]:
    """Return the `SEQUENCE_S` seconds before `end_s` at an even rate.

    Each moment takes the sight nearest to it; where there is none within three quarters of
    a period, the last one is repeated with confidence 0.
    """
    times = np.array([sight.time_s for sight in sights])
    moments = end_s - np.arange(round(SEQUENCE_S * rate_hz) - 1, -1, -1) / rate_hz
    nearest = np.abs(times[None, :] - moments[:, None]).argmin(axis=1)
    reach = 0.75 / rate_hz
    return tuple(
        sights[place].points if abs(times[place] - moment) <= reach else _unsure(sights[place].points)
        for place, moment in zip(nearest.tolist(), moments.tolist(), strict=True)
    )


def rule(frames: Sequence[Points]) -> float:
    """Score a sequence by the edge's own rule: the shoulders are down, and the trunk is not upright.

    Returns:
        0 to 1; 0.5 where the rule is undecided, 0 where no trunk is seen.  A person lost
        from sight is judged by the last that was seen of them.
    """
    whole = [points for points in frames if _middle(points, _SHOULDERS) and _middle(points, _HIPS)]
    body = body_length(whole)
    if len(whole) < 2 or body == 0.0:
        return 0.0
    before, after = (
        float(np.median([_height(p, _SHOULDERS) for p in part])) for part in (whole[:3], whole[-3:])
    )
    trunk = float(np.median([_height(p, _HIPS) - _height(p, _SHOULDERS) for p in whole[-3:]]))
    margin = min((after - before) / body - FALLEN, UPRIGHT - trunk / (TRUNK * body))
    return 1 / (1 + math.exp(-margin / SOFTNESS))


def _drop(track: Track) -> float | None:
    """Return since when the shoulders are well below where they were, or None.

    A second is looked back from the sight before the newest, not from now: a person is easily
    lost while falling, and found again on the floor a second later.
    """
    if len(track.sights) < 2 or track.missed_s:
        return None
    since_s = track.sights[-2].time_s
    recent = [sight.points for sight in track.sights if since_s - sight.time_s <= WITHIN_S]
    heights = [_height(points, _SHOULDERS) for points in recent if _middle(points, _SHOULDERS)]
    body = body_length(sight.points for sight in track.sights)
    if not heights or body == 0.0 or not _middle(track.last.points, _SHOULDERS):
        return None
    return since_s if heights[-1] - min(heights) >= DROP * body else None


def _followed(drop: Drop, people: Sequence[Track]) -> Drop:
    """Add to a drop what has been seen of its track since."""
    history = next((track.sights for track in people if track.number == drop.track), drop.history)
    return Drop(drop.track, drop.time_s, history)


def _suspicion(drop: Drop, rate_hz: float) -> Suspicion:
    """Cut out what is to be reported: around the drop, however late it is asked for."""
    frames = sequence(drop.history, drop.time_s + AFTER_S, rate_hz)
    return Suspicion(drop.track, drop.time_s, frames, rule(frames))


def _unsure(points: Points) -> Points:
    """Return the same joints with confidence 0."""
    return np.concatenate((points[:, :2], np.zeros((len(points), 1), np.float32)), axis=1)


def _middle(points: Points, joints: slice) -> tuple[float, float] | None:
    """Return the middle of those of the joints that are sure, or None."""
    sure = points[joints][points[joints, 2] >= SURE]
    return (float(sure[:, 0].mean()), float(sure[:, 1].mean())) if len(sure) else None


def _height(points: Points, joints: slice) -> float:
    """Return how far below the frame's upper edge the joints are; they must be in sight."""
    sure = points[joints][points[joints, 2] >= SURE]
    return float(sure[:, 1].mean())


def _apart(one: tuple[float, float] | None, other: tuple[float, float] | None) -> float:
    """Return the distance of two points, 0 where one of them is not known."""
    return math.dist(one, other) if one and other else 0.0
