"""Decide on new events: what was detected, what is to be raised, what has to wait.

Pure: `processors.intake` brings the events, the scores (`processors.scoring`) and what is
remembered of each subject, and records what comes out.  Every id is derived from the event
that caused it, so that deciding again changes nothing.

Rules
-----
1. A call for help, smoke, gas or water is raised at once; nobody has to have consented.
2. A suspected fall goes through `processors.fusion`, about the resident who wears the
   device, else about the zone.
3. A canary is about itself alone, so that it says nothing of any person and no earlier canary
   can hide it; it takes the same scoring and the same way.
4. What is synthetic is weighed apart from what is real: a drill settles no real fall.
5. What the resident's own sensors see of them counts where a fall is being asked about; a sensor that
   two people share says nothing of either.
6. What no model could judge is judged by the edge's own rule, or asked about: a classifier that
   fails degrades an alarm and never silences it.
7. Of several versions of a model one alerts (`vigil.modes`); what the others, or all of them where
   none may alert yet, make of an event is recorded, weighed nowhere and told nobody.  A canary is
   about the way and not about the model: it passes whatever may alert.
8. A blow that somebody's device felt where a camera looks is also weighed there: it tells whose fall
   the camera saw, which is then raised about that person and no longer about the place.
9. The profile says what matters for this person: with `mobility` `wheelchair` a blow that leaves the
   trunk upright is a transfer.
10. The resident's bed is asked about them before a fall of theirs is weighed; `abed` holds who lies in
   bed, and since when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from processors import fusion
from processors.falls.explain import stayed_upright
from processors.fusion import Episode, Evidence, Verdict, Worn
from vigil.alerts import Priority
from vigil.events import (
    Answer,
    FallSuspected,
    Hazard,
    PoseSuspected,
    SensorChanged,
    Sos,
    Stillness,
    derived_id,
)
from vigil.modes import POSE
from vigil.store.alerts import NewAlert
from vigil.store.detections import Detection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from processors.arrivals import Arrival
    from vigil.modes import Modes

Sentence = dict[str, str]
"""One sentence for people, by language; without names."""

FALLS: Final = "falls"
"""Name of the detector whose states and deadlines these are."""

WHEELCHAIR: Final = "wheelchair"
SOS: Final[Sentence] = {"en": "Asked for help", "zh": "主动求助"}
HAZARDS: Final[dict[str, Sentence]] = {
    "smoke": {"en": "Smoke detector went off", "zh": "烟雾报警"},
    "gas": {"en": "Gas detector went off", "zh": "燃气报警"},
    "water": {"en": "Water where none should be", "zh": "漏水报警"},
}
UNJUDGED: Final[Sentence] = {
    "en": "Possible fall; no model could judge it",
    "zh": "疑似跌倒，模型未能判断",
}
UNANSWERED: Final[Sentence] = {
    "en": "Possible fall; no answer within 30 s",
    "zh": "疑似跌倒，30秒内无应答",
}


FELT: Final[Sentence] = {
    "en": "A camera saw a fall, and this person's device felt the impact there",
    "zh": "摄像头发现跌倒，此人佩戴的设备同时感到撞击",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model made of an event.

    Attributes:
        score: Calibrated probability of a fall.
        sentence: Why, in words.
        others: What further versions of the model made of it.
    """

    score: float
    model: str
    model_version: str
    sentence: Sentence
    others: tuple[Judged, ...] = ()


@dataclass(slots=True)
class Decisions:
    """What is to be recorded.

    Attributes:
        episodes: New states, by `episode_of`.
        waits: When to look again, by the same; None where there is nothing to wait for.
        watched: What was known for it, as `decide` was told; not recorded.
        abed: The same.
    """

    detections: list[Detection] = field(default_factory=list)
    alerts: list[NewAlert] = field(default_factory=list)
    episodes: dict[str, Episode] = field(default_factory=dict)
    waits: dict[str, datetime | None] = field(default_factory=dict)
    watched: Collection[str] = field(default=(), compare=False)
    abed: Mapping[str, datetime] = field(default_factory=dict, compare=False)


def subject_of(arrival: Arrival) -> str:
    """Return whom an event is about: a resident, else a place, else the device itself."""
    if arrival.synthetic == "canary":
        return f"canary:{arrival.envelope.id}"
    if len(arrival.residents) == 1:
        return f"resident:{arrival.residents[0].id}"
    return f"zone:{arrival.device.zone}" if arrival.device.zone else f"device:{arrival.device.id}"


def episode_of(arrival: Arrival) -> str:
    """Return under which name an event's episode is remembered."""
    subject = subject_of(arrival)
    apart = arrival.synthetic is not None and arrival.synthetic != "canary"
    return f"{arrival.synthetic}/{subject}" if apart else subject


def places_of(arrival: Arrival, watched: Collection[str]) -> list[str]:
    """Return where a wearer may be seen: the names of the episodes of places that a camera looks at.

    Args:
        arrival: Any event.
        watched: Zones with cameras.
    """
    if not isinstance(arrival.data, FallSuspected) or arrival.synthetic == "canary":
        return []
    if len(arrival.residents) != 1:
        return []
    zones = {arrival.device.zone, arrival.node.zone} & set(watched)
    apart = f"{arrival.synthetic}/" if arrival.synthetic else ""
    return [f"{apart}zone:{zone}" for zone in sorted(zone for zone in zones if zone)]


def needs_episode(arrival: Arrival) -> bool:
    """Return whether deciding on an event needs what is remembered of its subject."""
    return isinstance(arrival.data, (FallSuspected, PoseSuspected, Stillness, Answer))


def shows_activity(arrival: Arrival) -> bool:
    """Return whether an event says that somebody does something: of no use unless a fall is asked about."""
    data = arrival.data
    return isinstance(data, SensorChanged) and (data.state or data.sensor == "bed")


def detector_of(data: FallSuspected | PoseSuspected) -> str:
    """Return which detector judges a suspected fall, as `vigil.modes` and detections name it."""
    return f"falls-{data.placement}" if isinstance(data, FallSuspected) else POSE


def decide(
    arrivals: Sequence[Arrival],
    scores: Mapping[UUID, Judged],
    episodes: Mapping[str, Episode],
    now: datetime,
    modes: Modes,
    watched: Collection[str] = (),
    abed: Mapping[str, datetime] | None = None,
) -> Decisions:
    """Decide on events that were not known before.

    Args:
        arrivals: New events, each node's in the order in which it made them.
        scores: Of each suspected fall, by the event's id.
        episodes: What is remembered, by `episode_of`.
        now: Present time.
        modes: Which versions may alert.
        watched: Zones with cameras.
        abed: Who lies in bed, by `episode_of`, and since when.
    """
    made = Decisions(episodes=dict(episodes), watched=watched, abed=abed or {})
    for arrival in arrivals:
        _decide_one(made, arrival, scores.get(arrival.envelope.id), now, modes)
    return made


def _decide_one(
    made: Decisions, arrival: Arrival, judged: Judged | None, now: datetime, modes: Modes
) -> None:
    match arrival.data:
        case Sos():
            _raise_at_once(made, arrival, "sos", SOS, now)
        case Hazard(hazard=hazard, active=True):
            _raise_at_once(made, arrival, hazard, HAZARDS[hazard], now)
        case Answer() if arrival.data.answer == "help":
            _raise_at_once(made, arrival, "sos", SOS, now)
        case FallSuspected() | PoseSuspected() as data:
            versions = (judged, *judged.others) if judged else ()
            live = _live(arrival, data, versions, modes)
            made.detections += [
                _in_shadow(_detection(arrival, "fall", one, now))
                for one in versions
                if one is not live and not math.isnan(one.score)
            ]
            if live is not None:
                known = not math.isnan(live.score)
                _weigh_fall(made, arrival, live if known else _unjudged(data), now)
        case Stillness() | Answer():
            _weigh(made, arrival, _plain_evidence(arrival), None, now)
        case SensorChanged() as change if _asked_about(made, arrival) and (
            change.state or change.sensor == "bed"
        ):
            _weigh(made, arrival, _plain_evidence(arrival), None, now)


def _live(
    arrival: Arrival, data: FallSuspected | PoseSuspected, versions: Sequence[Judged], modes: Modes
) -> Judged | None:
    """Return whose word counts: None where no version may alert yet."""
    first = versions[0] if versions else _unjudged(data)
    if arrival.synthetic == "canary":
        return first
    names = [one.model_version for one in versions]
    node = arrival.node
    live = modes.live(detector_of(data), names, node.community, node.estate)
    if live is None:
        return None
    return versions[names.index(live.version)] if live.version in names else first


def _in_shadow(detection: Detection) -> Detection:
    """Mark a detection of a version that alerts nobody; beside the live one it has an id of its own."""
    named = (detection.model, detection.model_version, detection.event)
    return replace(detection, id=derived_id("shadow", *named), shadow=True)


def _asked_about(made: Decisions, arrival: Arrival) -> bool:
    episode = made.episodes.get(episode_of(arrival))
    return episode is not None and episode.waiting


def _raise_at_once(made: Decisions, arrival: Arrival, kind: str, sentence: Sentence, now: datetime) -> None:
    detection = _detection(arrival, kind, Judged(1.0, "rule", "1", sentence), now)
    made.detections.append(detection)
    made.alerts.append(alert_of(detection, sentence))


def _unjudged(data: FallSuspected | PoseSuspected) -> Judged:
    if isinstance(data, PoseSuspected):
        return Judged(data.score, data.model, data.model_version, UNJUDGED)
    return Judged(fusion.REVIEW, "trigger", "1", UNJUDGED)


def _weigh_fall(made: Decisions, arrival: Arrival, judged: Judged, now: datetime) -> None:
    detection = _detection(arrival, "fall", judged, now)
    made.detections.append(detection)
    camera = isinstance(arrival.data, PoseSuspected)
    evidence = Evidence(
        at=arrival.happened,
        device=arrival.device.id,
        detection=str(detection.id),
        wearable=None if camera else judged.score,
        camera=judged.score if camera else None,
        abed=_abed(made, arrival),
        transfer=_is_transfer(arrival),
    )
    _weigh(made, arrival, evidence, detection, now)
    for place in places_of(arrival, made.watched):
        _weigh_where(made, arrival, place, detection)


def _is_transfer(arrival: Arrival) -> bool:
    """Return whether a wheelchair's user felt a blow that left their trunk upright; a wrist tells nothing of it."""
    data = arrival.data
    if not isinstance(data, FallSuspected) or data.placement == "wrist" or len(arrival.residents) != 1:
        return False
    return arrival.residents[0].profile.get("mobility") == WHEELCHAIR and stayed_upright(data.accel_mg)


def _abed(made: Decisions, arrival: Arrival) -> bool | None:
    """Return whether the resident lay in bed then; None where no bed says so."""
    since = made.abed.get(episode_of(arrival))
    return True if since is not None and timedelta() <= arrival.happened - since <= fusion.NIGHT else None


def _weigh_where(made: Decisions, arrival: Arrival, place: str, detection: Detection) -> None:
    """Tell a place that a camera looks at whose device has felt a blow there.

    Where the camera's fall was raised already, without knowing whose, it is raised for that person.
    """
    (resident,) = arrival.residents
    worn = Worn(resident.id, detection.score, arrival.happened)
    evidence = Evidence(at=arrival.happened, device=arrival.device.id, worn=worn)
    before = made.episodes.get(place)
    episode, verdict = fusion.step(before, evidence)
    made.episodes[place] = episode
    known_now = fusion.whose(episode) is not None and (before is None or fusion.whose(before) is None)
    raised = before is not None and before.settled and before.answered is None
    if verdict is Verdict.RAISE:
        made.waits[place] = None
    if verdict is Verdict.RAISE or (known_now and raised):
        made.alerts.append(alert_of(detection, FELT))


def _about(episode: Episode, alert: NewAlert) -> NewAlert:
    """Return the alert of what a camera saw about the person whose device felt it, if one alone did."""
    felt = fusion.whose(episode)
    if felt is None:
        return alert
    return replace(alert, subject=f"resident:{felt.resident}", resident=felt.resident)


def _plain_evidence(arrival: Arrival) -> Evidence:
    data = arrival.data
    if isinstance(data, Stillness):
        share = data.still_s / data.watched_s if data.watched_s else None
        return Evidence(at=arrival.happened, device=arrival.device.id, still=share)
    if isinstance(data, SensorChanged):
        bed = data.state if data.sensor == "bed" else None
        activity = data.sensor if data.state else None
        return Evidence(at=arrival.happened, device=arrival.device.id, activity=activity, abed=bed)
    answer = data.answer if isinstance(data, Answer) else None
    return Evidence(at=arrival.happened, device=arrival.device.id, answer=answer)


def _weigh(
    made: Decisions, arrival: Arrival, evidence: Evidence, detection: Detection | None, now: datetime
) -> None:
    """Take evidence into its episode; `detection` is what it became, if anything."""
    name = episode_of(arrival)
    before = made.episodes.get(name)
    episode, verdict = fusion.step(before, evidence)
    made.episodes[name] = episode
    if verdict is Verdict.WAIT:
        made.waits[name] = made.waits.get(name) or now + fusion.WAIT
        return
    if episode.settled or (before is not None and before.waiting and not episode.waiting):
        made.waits[name] = None
    if verdict is Verdict.RAISE:
        standing = detection or _detection(arrival, "fall", _standing(episode), now)
        made.detections.extend([standing] if detection is None else [])
        alert = alert_of(standing, standing.explanation)
        if detection is None and episode.detection is not None:
            alert = replace(alert, detection=UUID(episode.detection))  # which has the picture of the blow
        made.alerts.append(_about(episode, alert))


def _standing(episode: Episode) -> Judged:
    sentence = {"en": "Impact, then lay still", "zh": "撞击后静止不动"}
    return Judged(fusion.probability(episode), "fusion", "1", sentence)


def _detection(arrival: Arrival, kind: str, judged: Judged, now: datetime) -> Detection:
    residents = arrival.residents
    return Detection(
        id=derived_id("detection", kind, arrival.envelope.id),
        event=arrival.envelope.id,
        time=arrival.happened,
        kind=kind,
        subject=subject_of(arrival),
        resident=residents[0].id if len(residents) == 1 and arrival.synthetic != "canary" else None,
        zone=arrival.device.zone,
        estate=arrival.node.estate,
        device=arrival.device.id,
        score=judged.score,
        model=judged.model,
        model_version=judged.model_version,
        explanation=judged.sentence,
        synthetic=arrival.synthetic,
        made_at=now,
    )


def alert_of(detection: Detection, sentence: Sentence, priority: Priority = Priority.CRITICAL) -> NewAlert:
    """Return the alert that a detection asks for; critical, unless it is of a routine."""
    return NewAlert(
        id=derived_id("alert", detection.id),
        subject=detection.subject,
        kind=detection.kind,
        priority=priority,
        estate=detection.estate,
        zone=detection.zone,
        resident=detection.resident,
        event_time=detection.time,
        summary=sentence,
        synthetic=detection.synthetic,
        detection=detection.id,
    )


def decide_overdue(episode: Episode, detection: Detection) -> tuple[Episode, NewAlert | None]:
    """Decide on an episode whose wait is over.

    Args:
        episode: What is remembered.
        detection: The detection that it stands on.
    """
    settled, verdict = fusion.overdue(episode)
    raised = verdict is Verdict.RAISE
    return settled, _about(episode, alert_of(detection, UNANSWERED)) if raised else None
