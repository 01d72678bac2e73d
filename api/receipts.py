"""`/api/v1/receipts/{link}`: a provider says what became of a notice that it had taken.

Neighbours: `api.escalation.worker` gives the link to gateways of our own (addresses that begin
with `json` or `form`, as `receipt`); `vigil.store.escalation` keeps what they say.  Delivered is
not acknowledged: only a person does that.  What could not be delivered goes to the person's next
contact at once, whatever the gateway said when it took it.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.access import May
from api.auth import SomebodyDep, require
from api.escalation import links
from api.fields import PLAIN, Body
from api.problems import RESPONSES, Denied
from api.services import Services, ServicesDep
from vigil.alerts import Action, Step
from vigil.errors import NotFound, Rejected
from vigil.store import alerts, board, escalation
from vigil.store.board import EVERYWHERE
from vigil.store.escalation import NoticeRecord

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=RESPONSES)
LinkPath = Annotated[str, Path(max_length=400, pattern=r"^[A-Za-z0-9_-]+$", description="As it was given")]


class ReceiptBody(Body):
    """What became of it."""

    status: Literal["delivered", "failed"] = Field(
        description="`delivered`: it is on the device, or the call was answered", examples=["delivered"]
    )
    reason: str = Field("", max_length=200, pattern=PLAIN, examples=["number not in service"])


class NoticeView(BaseModel):
    """One notice to one person, and how far it came.

    Attributes:
        sent_at: A route has taken it.
        delivered_at: The provider says that it reached the device; None also where it says nothing.
        undelivered: Why the provider could not deliver what it had taken.
        ended: `taken`: somebody had the alert before it was sent; `unreachable`: no contact was left.
    """

    account: str | None = Field(examples=["li.na"])
    name: str | None = Field(examples=["李娜"])
    channel: str = Field(examples=["voice"])
    repeat: bool
    tries: int
    made_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    undelivered: str | None
    ended: str | None


@router.get("/alerts/{alert}/notices")
async def list_notices(services: ServicesDep, identity: SomebodyDep, alert: UUID) -> list[NoticeView]:
    """Say who was told of an alert, by what, and what became of it; who has it, its transitions say."""
    require(identity, May.SEE_STAFF)
    async with services.scoped(identity) as connection:
        if await board.find_card(connection, alert, identity.scope) is None:
            raise NotFound("alert", str(alert))
        found = await escalation.notices_of(connection, alert)
    return [
        NoticeView(**{name: getattr(one, name) for name in NoticeRecord.__dataclass_fields__})
        for one in found
    ]


@router.post("/receipts/{link}", status_code=HTTPStatus.NO_CONTENT)
async def receive(services: ServicesDep, link: LinkPath, body: ReceiptBody) -> None:
    """Take a provider's word on a notice; saying it again changes nothing."""
    (notice, contact), now = _notice(services, link), services.clock()
    async with services.pool.scoped(EVERYWHERE) as connection:
        if body.status == "failed":
            why = body.reason or "not delivered"
            await escalation.note_undelivered(connection, notice, contact, why, now)
            return
        alert = await escalation.note_delivered(connection, notice, now)
        if alert is not None:
            await _deliver(connection, alert, now)


async def _deliver(connection: Connection, alert: UUID, now: datetime) -> None:
    found = await alerts.get(connection, alert, lock=True)
    if found.state in ("raised", "notifying"):
        step = Step(Action.DELIVER, "system:receipt", "a provider says so")
        await alerts.apply(connection, alert, found.version, step, now)


def _notice(services: Services, link: str) -> tuple[UUID, int]:
    """Return the notice and the contact that a link is of.

    Raises:
        Denied: 403; the link is not ours, is for something else, or over.
    """
    if services.link_key is None:
        raise Denied(HTTPStatus.FORBIDDEN, "link", "links in notices are not set up")
    try:
        return links.read_receipt(link, services.link_key, services.clock())
    except Rejected as error:
        raise Denied(HTTPStatus.FORBIDDEN, "link", error.detail) from None
