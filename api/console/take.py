"""`/take/{link}`: take an alert from a notice, without signing in.

Neighbours: `api.escalation.links` checks the link, `api.alerts` takes the step.  Opening the
page changes nothing; its one button does.  The page holds no name and no address: the link may
have passed through many hands.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api.access import Identity, May, Role
from api.alerts import acknowledge_by_link
from api.auth import require
from api.console.pages import refuse_foreign_form, render
from api.escalation import links
from api.problems import Taken
from api.services import Services, ServicesDep
from vigil.errors import NotFound, Rejected
from vigil.store import accounts, board

if TYPE_CHECKING:
    from api.escalation.links import Invitation
    from vigil.store.board import Card

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/take/{link}")
async def ask(request: Request, services: ServicesDep, link: str) -> Response:
    """Ask whether the reader takes the alert."""
    try:
        card = await _card(services, *await _invited(services, link))
    except (Rejected, NotFound):
        return render(request, "take.html", what="over", card=None, status=HTTPStatus.GONE)
    return render(request, "take.html", what="ask", card=card, link=link)


@router.post("/take/{link}")
async def take(request: Request, services: ServicesDep, link: str) -> Response:
    """Take the alert for the person whom the link names."""
    refuse_foreign_form(request)
    try:
        invitation, identity = await _invited(services, link)
        card = await _card(services, invitation, identity)
        await acknowledge_by_link(services, identity, card.alert)
    except Taken as late:
        return render(
            request, "take.html", what="late", card=None, name=late.holder, status=HTTPStatus.CONFLICT
        )
    except (Rejected, NotFound):
        return render(request, "take.html", what="over", card=None, status=HTTPStatus.GONE)
    return render(request, "take.html", what="done", card=card)


async def _invited(services: Services, link: str) -> tuple[Invitation, Identity]:
    """Return what a link invites to, and whom.

    Raises:
        Rejected: The link is not good, or the person's account no longer is.
    """
    if services.link_key is None:
        raise Rejected("link", "links in notices are not set up")
    invitation = links.read(link, services.link_key, services.clock())
    async with services.pool.connection() as connection:
        account = await accounts.find_account(connection, invitation.account)
    if account is None or account.disabled_at:
        raise Rejected("link", "the account is not good any more")
    actor = f"person:{account.id}"
    identity = Identity(actor, account.name, Role(account.role), frozenset(account.estates))
    require(identity, May.TAKE)
    return invitation, identity


async def _card(services: Services, invitation: Invitation, identity: Identity) -> Card:
    async with services.scoped(identity) as connection:
        card = await board.find_card(connection, invitation.alert, identity.scope)
    if card is None:
        raise NotFound("alert", str(invitation.alert))
    return card
