"""`/api/v1/hand-ups`: an alert goes up to the street's centre, with everything that is known.

Neighbours: `vigil.store.tasks` keeps it and puts the calls into the escalator's outbox.  The
alert stays where it is: the centre helps, and nobody below stops because of it.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.access import Identity, May, Role, View
from api.auth import SomebodyDep, require
from api.fields import PROSE, Body, Cursor, Limit
from api.once import Done, WriteDep
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied, Taken
from api.residents import helpers_view
from api.services import ServicesDep
from api.views import alert_detail
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, board, escalation, residents, tasks
from vigil.store.tasks import HandUpRow

if TYPE_CHECKING:
    from vigil.store.board import Card
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["hand-ups"], responses=RESPONSES)


class HandUpBody(Body):
    """Why the centre is asked."""

    reason: str = Field(
        min_length=1, max_length=500, pattern=PROSE, examples=["No key, no answer; the lift is out"]
    )


class HandUpView(BaseModel):
    """An alert at the street's centre."""

    id: UUID
    alert: UUID
    estate: str
    reason: str
    made_by: str
    made_at: datetime
    taken_by: str | None
    taken_at: datetime | None


class HandUpDetail(HandUpView):
    """What was handed up.

    Attributes:
        document: What was known at that moment: `alert` with its history and evidence, `helpers`
            of the resident, `notices` (who was told), `tasks` (who went) with their reports.
    """

    document: dict[str, Any]


@router.post("/alerts/{alert}/hand-up", status_code=HTTPStatus.CREATED, response_model=HandUpView)
async def hand_up(write: WriteDep, identity: SomebodyDep, alert: UUID, body: HandUpBody) -> Response:
    """Hand an alert up; the people of the street's centre are called."""
    require(identity, May.TAKE)
    require(identity, May.SEE_PEOPLE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        card = await board.find_card(connection, alert, identity.scope)
        if card is None:
            raise NotFound("alert", str(alert))
        centre = await tasks.street_centre(connection, card.alert.estate)
        if not centre:
            raise Rejected("nobody", "no account of the street's centre looks after this estate")
        document = await _document(connection, identity, card, now)
        new = HandUpRow(
            uuid4(), alert, card.alert.estate, body.reason, document, identity.actor, now, None, None
        )
        if not await tasks.add_hand_up(connection, new, centre):
            raise Rejected("not_allowed", "this alert was handed up already, and waits there")
        return Done(_view(new), HTTPStatus.CREATED, location=f"/api/v1/hand-ups/{new.id}")

    return await write(do)


async def _document(connection: Connection, identity: Identity, card: Card, now: datetime) -> dict[str, Any]:
    """Collect everything that is known of an alert, and write down that it was passed on."""
    alert = card.alert
    steps, found = await board.history(connection, alert.id), await board.evidence(connection, alert.id)
    went = await tasks.tasks(connection, identity.scope, 20, None, alert=alert.id)
    document: dict[str, Any] = {
        "alert": alert_detail(card, View.NAMED, steps, found).model_dump(mode="json"),
        "notices": msgspec.to_builtins(await escalation.notices_of(connection, alert.id)),
        "tasks": [
            msgspec.to_builtins(task)
            | {"reports": msgspec.to_builtins(await tasks.reports(connection, task.id))}
            for task in went
        ],
        "helpers": None,
    }
    if alert.resident is not None:
        resident = await residents.resident(connection, alert.resident, identity.scope)
        if resident is not None:
            document["helpers"] = helpers_view(resident).model_dump(mode="json")
        await accounts.note_access(
            connection, alert.resident, identity.actor, "hand up", f"alert:{alert.id}", now
        )
    return document


@router.get("/hand-ups")
async def list_hand_ups(
    services: ServicesDep, identity: SomebodyDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[HandUpView]:
    """List what was handed up, the latest first."""
    require(identity, May.SEE_PEOPLE)
    before = position(cursor, tuple[datetime, UUID], None)
    async with services.scoped(identity) as connection:
        found = await tasks.hand_ups(connection, identity.scope, limit + 1, before)
    shown, following = page(found, limit, [(one.made_at, one.id) for one in found])
    return Page(items=[_view(one) for one in shown], next=following)


@router.get("/hand-ups/{hand_up}")
async def get_hand_up(services: ServicesDep, identity: SomebodyDep, hand_up: UUID) -> HandUpDetail:
    """Return what was handed up, with everything that was known."""
    require(identity, May.SEE_PEOPLE)
    async with services.scoped(identity) as connection:
        found = await _found(connection, identity, hand_up)
        resident = ((found.document.get("alert") or {}).get("resident") or {}).get("id")
        if resident is not None:
            what, now = f"hand_up:{hand_up}", services.clock()
            await accounts.note_access(connection, resident, identity.actor, "hand up", what, now)
    return HandUpDetail(**dict(_view(found)), document=found.document)


@router.post("/hand-ups/{hand_up}/take", response_model=HandUpView)
async def take_hand_up(write: WriteDep, identity: SomebodyDep, hand_up: UUID) -> Response:
    """Say that the centre has it; of two, the second sees who was first."""
    if identity.role is not Role.STREET_CENTRE:
        raise Denied(HTTPStatus.FORBIDDEN, "role", "The street's centre takes what is handed up.")

    async def do(connection: Connection) -> Done:
        before = await _found(connection, identity, hand_up)
        if not await tasks.take_hand_up(connection, hand_up, identity.actor, write.services.clock()):
            now = await _found(connection, identity, hand_up)
            if now.taken_by != identity.actor:
                raise Taken(now.taken_by, 1)
            before = now
        return Done(_view(await _found(connection, identity, before.id)))

    return await write(do)


async def _found(connection: Connection, identity: Identity, hand_up: UUID) -> HandUpRow:
    found = await tasks.hand_up(connection, hand_up, identity.scope)
    if found is None:
        raise NotFound("hand-up", str(hand_up))
    return found


def _view(found: HandUpRow) -> HandUpView:
    return HandUpView.model_validate({name: getattr(found, name) for name in HandUpView.model_fields})
