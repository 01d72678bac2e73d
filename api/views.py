"""An alert as it leaves the API: one shape for the list, the page and the live stream.

Neighbours: `vigil.store.board` reads the cards, `api.access` says which view somebody has.
Names, phone numbers and the resident's id are in the named view only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.access import View
from vigil import alerts
from vigil.alerts import Action, Outcome, Priority, State
from vigil.store.board import Card, Evidence, Names, Transition


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Holder(_Shape):
    """Who has an alert.

    Attributes:
        actor: `person:{account}` or `robot:{token}`.
        name: For people to read.
    """

    actor: str = Field(examples=["person:li.na"])
    name: str = Field(examples=["李娜"])


class OfferView(_Shape):
    """Whoever has an alert has offered it to a colleague; until they accept, nothing has changed.

    Attributes:
        to: The colleague.
        until: Without an answer by then it is void.
    """

    id: UUID
    to: Holder
    until: datetime


class Place(_Shape):
    """Where it happened; None where the registry does not know."""

    estate: str = Field(examples=["tiantong-1"])
    estate_name: str | None = Field(examples=["天通苑一区"])
    zone: str | None = Field(examples=["z-3-2-401"])
    zone_name: str | None = Field(examples=["3号楼 2单元 401"])
    building: str | None = Field(examples=["3号楼"])
    floor: int | None = Field(examples=[4])


class ResidentCard(_Shape):
    """Whom it is about, for those who may know."""

    id: str
    name: str | None
    phone: str | None
    risk: int | None
    lives_alone: bool | None


class AlertView(_Shape):
    """An alert as it stands.

    Attributes:
        version: To be sent back with every step (`If-Match`), so that two cannot both take it.
        evidence: How many detections it rests on.
        summary: One sentence in each language, without names.
        synthetic: `demo` and `drill` page like the real thing; None is real.
        actions: What a person may do to it now.
        offer: Its holder's offer to a colleague, which stands until its time is over.
    """

    id: UUID
    kind: str = Field(examples=["fall"])
    priority: Priority
    state: State
    version: int
    place: Place
    resident: ResidentCard | None
    holder: Holder | None
    outcome: Outcome | None
    event_time: datetime
    raised_at: datetime
    changed_at: datetime
    silenced_until: datetime | None
    reopened: int
    evidence: int
    summary: dict[str, str] = Field(
        examples=[{"en": "Hard impact, then still for 20 s", "zh": "剧烈撞击后静止20秒"}]
    )
    synthetic: str | None
    actions: list[Action]
    offer: OfferView | None


class TransitionView(_Shape):
    """One line of an alert's history."""

    version: int
    from_state: State | None
    to_state: State
    action: str
    actor: str
    name: str | None
    reason: str
    at: datetime


class EvidenceView(_Shape):
    """A detection that an alert rests on, with what was measured where the role may see it.

    Attributes:
        explanation: Why the detector thinks so: sentences, and features with their weight.
        event_data: The measurements behind it; None once they are past their retention.
    """

    id: UUID
    time: datetime
    kind: str
    device: str
    score: float
    model: str
    model_version: str
    explanation: dict[str, Any]
    event_type: str | None
    event_data: dict[str, Any] | None


class AlertDetail(AlertView):
    """An alert with its history and what it rests on."""

    transitions: list[TransitionView]
    detections: list[EvidenceView]


class AlertPage(_Shape):
    """A page of alerts.

    Attributes:
        next: Cursor of the next page; None on the last one.
        change: Number of the latest change that is in it, to begin the live stream after.
    """

    alerts: list[AlertView]
    next: str | None
    change: int


def alert_view(card: Card, view: View) -> AlertView:
    """Show an alert in a view."""
    return AlertView.model_validate(_fields(card, view))


def alert_detail(card: Card, view: View, steps: list[Transition], found: list[Evidence]) -> AlertDetail:
    """Show an alert with its history and evidence in a view."""
    transitions = [_transition(step, view) for step in steps]
    detections = [_evidence(one) for one in found]
    more = {"transitions": transitions, "detections": detections}
    return AlertDetail.model_validate(_fields(card, view) | more)


def _fields(card: Card, view: View) -> dict[str, Any]:
    alert, names = card.alert, card.names
    kept = (
        *("id", "kind", "priority", "state", "version", "outcome", "event_time", "raised_at", "changed_at"),
        *("silenced_until", "reopened", "evidence", "summary", "synthetic"),
    )
    return {name: getattr(alert, name) for name in kept} | {
        "place": _place(card, view),
        "resident": _resident(alert.resident, names) if view is View.NAMED else None,
        "holder": holder_of(card),
        "actions": sorted(alerts.possible(State(alert.state))),
        "offer": _offer(names),
    }


def _offer(names: Names) -> OfferView | None:
    if names.offer is None or names.offered_to is None or names.offer_until is None:
        return None
    to = Holder(actor=f"person:{names.offered_to}", name=names.offered_name or names.offered_to)
    return OfferView(id=names.offer, to=to, until=names.offer_until)


def _place(card: Card, view: View) -> Place:
    """Name the place: for the anonymous view no nearer than the building, since a home is a person."""
    alert, names = card.alert, card.names
    near = view is View.NAMED
    return Place(
        estate=alert.estate,
        estate_name=names.estate,
        zone=alert.zone if near else None,
        zone_name=names.zone if near else None,
        building=names.building,
        floor=names.floor if near else None,
    )


def holder_of(card: Card) -> Holder | None:
    """Name who has an alert."""
    actor = card.alert.holder
    return Holder(actor=actor, name=card.names.holder or actor.partition(":")[2]) if actor else None


def _resident(resident: str | None, names: Names) -> ResidentCard | None:
    if resident is None:
        return None
    return ResidentCard(
        id=resident,
        name=names.resident,
        phone=names.phone,
        risk=names.risk,
        lives_alone=names.lives_alone,
    )


def _transition(step: Transition, view: View) -> TransitionView:
    """Show a step; what people wrote to each other is for those who may know whom it is about."""
    fields = {name: getattr(step, name) for name in Transition.__dataclass_fields__}
    said = step.actor.startswith("person:") and view is not View.NAMED
    return TransitionView.model_validate(fields | ({"reason": ""} if said else {}))


def _evidence(found: Evidence) -> EvidenceView:
    fields = {name: getattr(found, name) for name in Evidence.__dataclass_fields__}
    return EvidenceView.model_validate(fields)
