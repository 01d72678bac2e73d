"""`/api/v1/alerts/{alert}/notes` and `.../offers`: what officers tell each other about one alert.

Neighbours: `vigil.store.offers` keeps offers, `vigil.store.alerts.remark` the history; the escalator
sends the notice that asks.  Whoever has an alert goes on having it until the named colleague accepts:
given back, or not answered within `ANSWER_WITHIN`, nothing has changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import GRANTS, Identity, May, Role
from api.auth import SomebodyDep, require
from api.escalation.policies import Channel
from api.fields import PROSE, Body, Identifier, Prose
from api.once import Done, WriteDep
from api.problems import RESPONSES, Taken
from api.services import ServicesDep
from api.views import AlertView, alert_view
from vigil.alerts import State
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, alerts, board, offers, push
from vigil.store.accounts import EVERY_ESTATE
from vigil.store.offers import Colleague, OfferRow

if TYPE_CHECKING:
    from vigil.store.alerts import Alert
    from vigil.store.board import Card
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=RESPONSES)
ANSWER_WITHIN: Final = timedelta(minutes=3)
"""Who was offered an alert and says nothing for so long does not have it; the holder sees that."""
HELD: Final = frozenset({State.ACKNOWLEDGED, State.ATTENDING})
TAKERS: Final = tuple(role for role in Role if role is not Role.CANARY and May.TAKE in GRANTS[role])
Note = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PROSE)]


class NoteBody(Body):
    """What the next one should know."""

    note: Note = Field(examples=["Her daughter is on the way, 20 minutes"])


class OfferBody(Body):
    """To whom, and what they must know."""

    account: Identifier = Field(examples=["zhao"])
    note: Prose = Field("", examples=["I am at another door; she answers the telephone"])


class ColleagueView(BaseModel):
    """Somebody who could take an alert over."""

    account: str
    name: str
    role: Role
    on_duty: bool


@router.post("/alerts/{alert}/notes", status_code=HTTPStatus.CREATED, response_model=AlertView)
async def add_note(write: WriteDep, identity: SomebodyDep, alert: UUID, body: NoteBody) -> Response:
    """Add a note to an alert's history, whoever has it; `Idempotency-Key` lets it be sent until it arrives."""
    require(identity, May.TAKE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        before = await _locked(connection, identity, alert)
        await alerts.remark(connection, before, alerts.NOTE, identity.actor, body.note, now)
        return Done(await _shown(connection, identity, alert), HTTPStatus.CREATED)

    return await write(do)


@router.get("/alerts/{alert}/colleagues")
async def list_colleagues(services: ServicesDep, identity: SomebodyDep, alert: UUID) -> list[ColleagueView]:
    """Say who could take an alert over, who is on duty first."""
    require(identity, May.TAKE)
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        card = await _card(connection, identity, alert)
        found = await whom(connection, identity, card.alert.estate, services.clock())
    return [ColleagueView.model_validate(one, from_attributes=True) for one in found]


async def whom(connection: Connection, identity: Identity, estate: str, now: datetime) -> list[Colleague]:
    """Return who could take over an alert of an estate from somebody."""
    return await offers.colleagues(connection, estate, identity.actor.partition(":")[2], TAKERS, now)


@router.post("/alerts/{alert}/offers", status_code=HTTPStatus.CREATED, response_model=AlertView)
async def make_offer(write: WriteDep, identity: SomebodyDep, alert: UUID, body: OfferBody) -> Response:
    """Offer an alert that one has to a colleague, who is called; an earlier offer is void."""
    require(identity, May.TAKE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        before = await _locked(connection, identity, alert)
        _check_held(before, identity.actor)
        name = await _can_take(connection, body.account, before.estate, identity)
        new = OfferRow(
            *(uuid4(), alert, identity.actor, body.account, body.note, now, now + ANSWER_WITHIN, "offered")
        )
        await offers.add(connection, new, await _channels(connection, body.account))
        words = f"→ {name}" + (f": {body.note}" if body.note else "")
        await alerts.remark(connection, before, alerts.OFFER, identity.actor, words, now)
        return Done(await _shown(connection, identity, alert), HTTPStatus.CREATED)

    return await write(do)


@router.post("/offers/{offer}/accept", response_model=AlertView)
async def accept(write: WriteDep, identity: SomebodyDep, offer: UUID) -> Response:
    """Take over what was offered: from now on it is the caller's."""
    return await _answer(write, identity, offer, accepted=True)


@router.post("/offers/{offer}/return", response_model=AlertView)
async def give_back(write: WriteDep, identity: SomebodyDep, offer: UUID) -> Response:
    """Give back what was offered; whoever has offered it may take the offer back as well."""
    return await _answer(write, identity, offer, accepted=False)


async def _answer(write: WriteDep, identity: Identity, offer: UUID, *, accepted: bool) -> Response:
    require(identity, May.TAKE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        alert, found = await _offered(connection, identity, offer)
        mine = identity.actor == f"person:{found.account}"
        if not mine and (accepted or identity.actor != found.holder):
            raise NotFound("offer", str(offer))
        if accepted:
            _check_stands(alert, found, now)
        elif found.state != "offered":
            raise Rejected("not_allowed", "this offer was answered already")
        await offers.answer(connection, offer, "accepted" if accepted else "returned", now)
        action = alerts.TAKE_OVER if accepted else alerts.GIVE_BACK
        await alerts.remark(connection, alert, action, identity.actor, "", now)
        return Done(await _shown(connection, identity, alert.id))

    return await write(do)


async def _offered(connection: Connection, identity: Identity, offer: UUID) -> tuple[Alert, OfferRow]:
    """Return an offer with its alert, as they stand under the alert's lock."""
    seen = await offers.find(connection, offer)
    alert = await _locked(connection, identity, seen.alert) if seen else None
    found = await offers.find(connection, offer)
    if alert is None or found is None:
        raise NotFound("offer", str(offer))
    return alert, found


def _check_stands(alert: Alert, found: OfferRow, now: datetime) -> None:
    """Refuse to take over what is not on offer any more.

    Raises:
        Taken: Somebody else has the alert by now.
        Rejected: The offer was answered, replaced, or is over; or nobody has the alert.
    """
    if alert.holder is not None and alert.holder != found.holder:
        raise Taken(alert.holder.partition(":")[2], alert.version)
    if found.state != "offered" or now >= found.until or State(alert.state) not in HELD:
        raise Rejected("not_allowed", "this offer does not stand any more; look who has the alert")


def _check_held(alert: Alert, actor: str) -> None:
    if State(alert.state) not in HELD or alert.holder != actor:
        raise Rejected("not_allowed", "only who has an alert can offer it to somebody")


async def _can_take(connection: Connection, account: str, estate: str, identity: Identity) -> str:
    """Return the name of who could take an alert of an estate.

    Raises:
        Rejected: There is no such colleague.
    """
    found = await accounts.find_account(connection, account)
    if (
        found is None
        or found.disabled_at
        or Role(found.role) not in TAKERS
        or not {estate, EVERY_ESTATE} & set(found.estates)
        or identity.actor == f"person:{account}"
    ):
        raise Rejected("invalid", "/body/account: no colleague who could take this alert over")
    return found.name


async def _channels(connection: Connection, account: str) -> list[str]:
    """Return by what a colleague is asked, beside their console."""
    pushed = account in await push.accounts(connection)
    return [Channel.MESSAGE, *([Channel.PUSH] if pushed else [])]


async def _locked(connection: Connection, identity: Identity, alert: UUID) -> Alert:
    await _card(connection, identity, alert)
    return await alerts.get(connection, alert, lock=True)


async def _card(connection: Connection, identity: Identity, alert: UUID) -> Card:
    card = await board.find_card(connection, alert, identity.scope)
    if card is None:
        raise NotFound("alert", str(alert))
    return card


async def _shown(connection: Connection, identity: Identity, alert: UUID) -> AlertView:
    return alert_view(await _card(connection, identity, alert), identity.view)
