"""`/answer/{link}`: the resident says "I am fine" or "I need help", without signing in.

Neighbours: `api.escalation.worker` offers the link by a call or a message, `api.escalation.planner`
says what follows.  A gateway that has called posts the key that was pressed to the same
address.  Opening the page changes nothing, and it says nothing of any alert or person.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response

from api.console.pages import refuse_foreign_form, render
from api.escalation import links
from api.services import Services, ServicesDep
from vigil.alerts import OPEN, State
from vigil.errors import NotFound, Rejected
from vigil.store import alerts, escalation
from vigil.store.board import EVERYWHERE

if TYPE_CHECKING:
    from uuid import UUID

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_WHO = "resident:"


@router.get("/answer/{link}")
async def ask(request: Request, services: ServicesDep, link: str) -> Response:
    """Ask whether all is well."""
    try:
        _alert(services, link)
    except Rejected:
        return render(request, "answer.html", what="over", status=HTTPStatus.GONE)
    return render(request, "answer.html", what="ask", link=link)


@router.post("/answer/{link}")
async def answer(
    request: Request, services: ServicesDep, link: str, answer: Annotated[Literal["fine", "help"], Form()]
) -> Response:
    """Keep the answer; the last one counts."""
    refuse_foreign_form(request)
    try:
        alert = _alert(services, link)
        async with services.pool.scoped(EVERYWHERE) as connection:
            found = await alerts.get(connection, alert)
            if State(found.state) in OPEN:
                await escalation.put_answer(connection, alert, answer, "link", services.clock())
    except (Rejected, NotFound):
        return render(request, "answer.html", what="over", status=HTTPStatus.GONE)
    return render(request, "answer.html", what=answer)


def _alert(services: Services, link: str) -> UUID:
    """Return the alert that a resident was asked about.

    Raises:
        Rejected: The link is not good, or invites somebody else to something else.
    """
    if services.link_key is None:
        raise Rejected("link", "links in notices are not set up")
    invitation = links.read(link, services.link_key, services.clock())
    if not invitation.account.startswith(_WHO):
        raise Rejected("link", "this link is for somebody who takes alerts")
    return invitation.alert
