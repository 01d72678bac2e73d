"""`/street`: several communities in one view: what was handed up, who answers for it, what is open where.

Neighbours: `api.hand_ups` takes what is taken here, `api.rota` knows who has duty, `vigil.store.street` the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api import rota
from api.access import May, Role
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.pages import render
from api.escalation.policies import Target
from api.services import ServicesDep
from vigil.store import board, street, tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.store.board import Card
    from vigil.store.street import Estate, Member
    from vigil.store.tasks import HandUpRow

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
MOST: Final = 50
SHOWN: Final = 5
"""Alerts of an estate that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Up:
    """What was handed up, with its alert as it stands; `card` is None where that is not to be seen."""

    row: HandUpRow
    card: Card | None


@dataclass(frozen=True, slots=True)
class Quarter:
    """An estate as the centre sees it: what is open, the most urgent first, and who has duty there."""

    estate: Estate
    cards: list[Card]
    on_duty: list[Member]


@router.get("/street")
async def street_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show what was handed up and who answers for it, and what is open in each estate."""
    require(identity, May.SEE_PEOPLE)
    facts = await frame(request, services, identity)
    standing = await rota.duty_now(services, identity, None) if identity.may(May.SEE_STAFF) else []
    officers = {one.estate: one.targets[Target.OFFICERS] for one in standing}
    async with services.scoped(identity) as connection:
        rows = await tasks.hand_ups(connection, identity.scope, MOST, None)
        ups = [Up(one, await board.find_card(connection, one.alert, identity.scope)) for one in rows]
        cards = await board.open_cards(connection, identity.scope)
        estates = await street.estates(connection, identity.scope)
        people = [who.partition(":")[2] for one in rows for who in (one.made_by, one.taken_by) if who]
        members = await street.members(
            connection, [*people, *(one for some in officers.values() for one in some)]
        )
    quarters = quarters_of(estates, cards, officers, members)
    return render(
        request,
        "street.html",
        **facts,
        ups=sorted(ups, key=lambda up: up.row.taken_by is not None),
        names={one.id: one for one in estates},
        communities=[
            (name, list(some)) for name, some in groupby(quarters, lambda one: one.estate.community)
        ],
        members=members,
        shown=SHOWN,
        takes=identity.role is Role.STREET_CENTRE,
    )


def quarters_of(
    estates: Sequence[Estate],
    cards: Sequence[Card],
    officers: Mapping[str, Sequence[str]],
    members: Mapping[str, Member],
) -> list[Quarter]:
    """Put what is open and who has duty beside each estate, in the estates' order."""
    return [
        Quarter(
            one,
            [card for card in cards if card.alert.estate == one.id],
            [members[account] for account in officers.get(one.id, ()) if account in members],
        )
        for one in estates
    ]
