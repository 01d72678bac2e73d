"""Join what several sensors say of one person's fall, and decide when to raise.

Pure.  Fed by `processors.decide` with evidence about a subject; the state is a row in
`detector_state`, the wait a row in `deadline`.

Rules
-----
1. Evidence adds up in log-odds.  Of several windows of one wearable the strongest counts; the
   cameras are OR-ed; a sensor that is missing, or sees nothing, never takes anything away.
2. At `ALERT` or above the alarm is raised at once.
3. From `REVIEW` to `ALERT` it waits at most `WAIT` for stillness or an answer, then it is
   raised: uncertain means raise.
4. Stillness after the impact adds.  Walking about, and what the resident's own sensors see of them
   afterwards, takes away, but only below `ALERT`; where that leaves less than `REVIEW`, the wait
   ends, the fall is kept for review, and whatever follows is weighed anew.
5. "I am fine" from the resident ends the wait without an alarm, and is kept as evidence;
   "help" raises at once, whatever the score.  Who is fine may fall the next moment: the answer
   settles what happened before it, and nothing that happened after.
6. Evidence more than `TOGETHER` from the episode's last, before or after, belongs to another
   episode: a spool that was away for hours brings old falls, and they count like new ones.
   What waits is not given up for it; it takes in whatever comes until it is settled.
7. A settled episode is not prolonged by what still comes in.
8. Who lies in bed, as their bed's sensor says, lies still: their stillness adds nothing, and their
   bed takes away as activity does, below `ALERT` only.  A bed that has said nothing explains nothing,
   nor does one that has said for `NIGHT` that it is occupied: it may be the sensor.
9. At a place where a camera looks, the blow that a device of exactly one person felt there within
   `SAME` of what the camera saw tells whose fall it was, without any face; what both say adds up.
10. Who uses a wheelchair is moved from seat to seat: a blow after which the trunk hangs as before is a
   transfer, and takes away as sitting on a chair does, below `ALERT` only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

ALERT: Final = 0.95
REVIEW: Final = 0.5
WAIT: Final = timedelta(seconds=30)
TOGETHER: Final = timedelta(seconds=60)
STILL: Final = 0.75
"""Share of the watched seconds from which a person counts as lying still."""
MOVING: Final = 0.25
STILL_LOGIT: Final = 2.2
"""Odds times 9 for lying still, and times 0.2 for walking about: chosen, not fitted; no recording at
hand follows real falls for long enough."""
MOVING_LOGIT: Final = -1.5

ACTIVITY_LOGITS: Final = {
    "motion": -0.4,
    "presence": -0.4,
    "door": -1.5,
    "bed": -1.5,
    "chair": -1.5,
    "appliance": -1.5,
    "water_use": -1.5,
}
"""What a sensor of the resident's own home says against a fall just before.  Who opens a tap or a door is
on their feet, as one who walks about; who lies on the floor and tries to rise is motion too, so motion
alone cannot end a wait from 0.6 upwards.  Chosen, not fitted, as the two above."""
NIGHT: Final = timedelta(hours=14)
SAME: Final = timedelta(seconds=10)
AFTERWARDS: Final = timedelta(seconds=5)
"""From then on activity is another one than the fall itself, which moves things and people too."""


class Worn(msgspec.Struct, frozen=True):
    """What somebody's device felt at a place.

    Attributes:
        resident: Whose device it is.
        score: Probability that it was a fall.
        at: When.
    """

    resident: str
    score: float
    at: datetime


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one possible fall.

    Attributes:
        last: When its latest evidence happened.
        wearable: Highest probability that a worn device gave.
        cameras: Highest probability of each camera.
        still: Share of the watched seconds without movement, where that was measured.
        activity: What the strongest sign of other activity afterwards takes away, in log-odds.
        waiting: Asked about; to be raised when the wait is over.
        settled: Raised, answered or given up: nothing more is to be raised.
        answered: When the resident said to be fine.
        detection: The detection that an alert would stand on.
        abed: Whether the bed's sensor says that the resident lies in it.
        seen: At a place: when a camera last saw what may be a fall.
        worn: At a place: what devices of single persons felt there.
    """

    last: datetime
    wearable: float = 0.0
    cameras: dict[str, float] = {}
    still: float | None = None
    activity: float = 0.0
    waiting: bool = False
    settled: bool = False
    answered: datetime | None = None
    detection: str | None = None
    abed: bool = False
    seen: datetime | None = None
    worn: tuple[Worn, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One sensor's word; of `wearable` to `worn` exactly one is set.

    Attributes:
        at: When it happened.
        device: Which device said it.
        detection: Id of the detection it became, if it is one.
        activity: Which kind of sensor saw the resident do something, a key of `ACTIVITY_LOGITS`.
        worn: What a device felt at the place that the episode is about.
        abed: What the bed's sensor says; None where it says nothing.
        transfer: Whether it is what a wheelchair's user feels from seat to seat.
    """

    at: datetime
    device: str
    detection: str | None = None
    wearable: float | None = None
    camera: float | None = None
    still: float | None = None
    answer: str | None = None
    activity: str | None = None
    worn: Worn | None = None
    abed: bool | None = None
    transfer: bool = False


class Verdict(StrEnum):
    """What is to be done about an episode."""

    RAISE = "raise"
    WAIT = "wait"
    KEEP = "keep"


def step(episode: Episode | None, evidence: Evidence) -> tuple[Episode, Verdict]:
    """Take evidence into an episode and decide what is to be done now.

    Args:
        episode: What was known, or None.
        evidence: The next word, in the order of arrival.
    """
    if episode is None or _of_another(episode, evidence):
        episode = Episode(last=evidence.at)
    if evidence.answer == "fine" and evidence.at >= episode.last:
        episode = msgspec.structs.replace(episode, answered=evidence.at)
    joined = _joined(episode, evidence)
    verdict = _verdict(joined, evidence)
    return _settled(joined, verdict), verdict


def _of_another(episode: Episode, evidence: Evidence) -> bool:
    """Return whether evidence is about something else than what an episode is about."""
    if episode.waiting or _of_home(evidence):
        return False
    if episode.answered is not None and evidence.at > episode.answered:
        return True
    return abs(evidence.at - episode.last) > TOGETHER


def _of_home(evidence: Evidence) -> bool:
    """Return whether it is a sensor of the home that speaks: of what the resident does, not of a fall."""
    return evidence.activity is not None or (evidence.abed is not None and evidence.detection is None)


def _settled(episode: Episode, verdict: Verdict) -> Episode:
    """Mark an episode as settled when it is raised or answered, as waiting when it waits."""
    settled = episode.settled or verdict is Verdict.RAISE or episode.answered is not None
    waiting = not settled and (verdict is Verdict.WAIT or (episode.waiting and not _up_again(episode)))
    return msgspec.structs.replace(episode, settled=settled, waiting=waiting)


def _up_again(episode: Episode) -> bool:
    """Return whether what was seen of the resident afterwards leaves too little for an alarm."""
    seen = episode.activity < 0 or episode.abed or (episode.still is not None and episode.still <= MOVING)
    return seen and probability(episode) < REVIEW


def overdue(episode: Episode) -> tuple[Episode, Verdict]:
    """Decide on an episode whose wait is over: nobody answered, so it is raised."""
    if episode.settled:
        return episode, Verdict.KEEP
    return msgspec.structs.replace(episode, settled=True, waiting=False), Verdict.RAISE


def whose(episode: Episode) -> Worn | None:
    """Return whose fall a camera saw: None where no device, or those of several, felt a blow just then."""
    if episode.seen is None:
        return None
    near = [one for one in episode.worn if abs(one.at - episode.seen) <= SAME]
    if len({one.resident for one in near}) != 1:
        return None
    return max(near, key=lambda one: one.score)


def probability(episode: Episode) -> float:
    """Return the probability that this was a fall, from all that is known."""
    felt = whose(episode)
    wearable = max(episode.wearable, felt.score if felt else 0.0)
    seen = 1 - math.prod(1 - p for p in episode.cameras.values())
    total = max(_logit(wearable), 0) + max(_logit(seen), 0)
    if total == 0:
        total = max(_logit(wearable), _logit(seen))
    before = total
    if episode.still is not None and not (episode.abed and episode.still >= STILL):
        total += _stillness(episode.still, before)
    if before < _logit(ALERT):
        total += min(episode.activity, ACTIVITY_LOGITS["bed"] if episode.abed else 0.0)
    return 1 / (1 + math.exp(-total))


def _stillness(still: float, before: float) -> float:
    if still >= STILL:
        return STILL_LOGIT
    return MOVING_LOGIT if still <= MOVING and before < _logit(ALERT) else 0.0


def _joined(episode: Episode, evidence: Evidence) -> Episode:
    cameras = dict(episode.cameras)
    if evidence.camera is not None:
        cameras[evidence.device] = max(cameras.get(evidence.device, 0.0), evidence.camera)
    return msgspec.structs.replace(
        episode,
        last=episode.last if episode.settled or _of_home(evidence) else max(episode.last, evidence.at),
        wearable=max(episode.wearable, evidence.wearable or 0.0),
        cameras=cameras,
        still=evidence.still if evidence.still is not None else episode.still,
        activity=min(episode.activity, _activity(episode, evidence)),
        abed=episode.abed if evidence.abed is None else evidence.abed,
        seen=evidence.at if evidence.camera is not None else episode.seen,
        worn=(*_near(episode.worn, evidence), *([evidence.worn] if evidence.worn else [])),
        detection=episode.detection or evidence.detection,
    )


def _near(worn: tuple[Worn, ...], evidence: Evidence) -> tuple[Worn, ...]:
    return tuple(one for one in worn if abs(one.at - evidence.at) <= TOGETHER)


def _activity(episode: Episode, evidence: Evidence) -> float:
    """Return what activity says against the fall: nothing, unless it came soon after, and is not it."""
    if evidence.transfer:
        return ACTIVITY_LOGITS["chair"]
    if evidence.activity is None or not AFTERWARDS <= evidence.at - episode.last <= TOGETHER:
        return 0.0
    return ACTIVITY_LOGITS[evidence.activity]


def _verdict(episode: Episode, evidence: Evidence) -> Verdict:
    if evidence.answer == "help":
        return Verdict.RAISE
    if episode.settled or episode.answered is not None or episode.detection is None:
        return Verdict.KEEP
    certain = probability(episode)
    if certain >= ALERT:
        return Verdict.RAISE
    return Verdict.WAIT if certain >= REVIEW else Verdict.KEEP


def _logit(p: float) -> float:
    clipped = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(clipped / (1 - clipped))
