"""`/api/v1/alerts`: what is open, one alert with all that is known, and people's steps.

Neighbours: `vigil.store.board` reads, `vigil.store.alerts` records a step that `vigil.alerts`
allows.  Every step names the version that its actor saw (`If-Match`, or `version` in the
body), so that two officers cannot both take one alert: the second is told who has it.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import Identity, May, View
from api.auth import SomebodyDep, require
from api.fields import PROSE
from api.once import Done, Write, WriteDep
from api.problems import RESPONSES, Denied, Taken
from api.services import Services, ServicesDep
from api.views import AlertDetail, AlertPage, AlertView, alert_detail, alert_view, holder_of
from vigil.alerts import SILENCE_AT_MOST, URGENCY, Action, Outcome, Priority, Step
from vigil.errors import Conflict, NotFound, Rejected
from vigil.store import accounts, alerts, board
from vigil.store.alerts import Alert
from vigil.store.board import Card, Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"], responses=RESPONSES)
LONGEST_SILENCE_MIN: Final = SILENCE_AT_MOST // timedelta(minutes=1)

Reason = Annotated[
    str, Field(max_length=500, pattern=PROSE, examples=["Neighbour says she is at her daughter's"])
]
_Rank = Annotated[int, msgspec.Meta(ge=1, le=len(URGENCY))]
IfMatch = Annotated[str | None, Header(description='The ETag that was seen, such as `"3"`')]


class StepBody(BaseModel):
    """A step; `version` may stand here or in `If-Match`."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(None, ge=1, examples=[3])
    reason: Reason = ""


class ResolveBody(StepBody):
    """How it turned out."""

    outcome: Outcome


class SilenceBody(StepBody):
    """For how long, and why."""

    minutes: int = Field(ge=1, le=LONGEST_SILENCE_MIN, examples=[30])
    reason: Reason = Field(min_length=1)


@router.get("")
async def list_alerts(
    services: ServicesDep,
    identity: SomebodyDep,
    state: Annotated[Literal["open", "closed"], Query()] = "open",
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> AlertPage:
    """List alerts: open ones by urgency and age, or closed ones, the latest first."""
    require(identity, May.SEE_ALERTS)
    after = _position(cursor)
    read = board.open_cards if state == "open" else board.closed_cards
    async with services.scoped(identity) as connection:
        change = await alerts.last_change(connection)
        cards = await read(connection, identity.scope, limit + 1, after)
    shown = [alert_view(card, identity.view) for card in cards[:limit]]
    return AlertPage(
        alerts=shown, next=_cursor(cards[limit - 1]) if len(cards) > limit else None, change=change
    )


def _cursor(card: Card) -> str:
    rank = URGENCY.index(Priority(card.alert.priority)) + 1
    return base64.urlsafe_b64encode(msgspec.json.encode([rank, card.alert.raised_at, card.alert.id])).decode()


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode())
        return Position(*msgspec.json.decode(raw, type=tuple[_Rank, datetime, UUID]))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Rejected("invalid", "cursor: pass `next` of the page before as it came") from None


@router.get("/{alert}")
async def get_alert(
    services: ServicesDep, identity: SomebodyDep, alert: UUID, response: Response
) -> AlertDetail:
    """Return one alert with its history and the detections it rests on."""
    require(identity, May.SEE_ALERTS)
    detail = await read_detail(services, identity, alert)
    response.headers["ETag"] = f'"{detail.version}"'
    return detail


async def read_detail(services: Services, identity: Identity, alert: UUID) -> AlertDetail:
    """Read an alert with all that is known; that somebody read of a resident is written down.

    Raises:
        NotFound: There is none in the caller's scope.
    """
    async with services.scoped(identity) as connection:
        card = await _visible(connection, identity, alert)
        steps = await board.history(connection, alert)
        found = await board.evidence(connection, alert)
        if identity.view is View.NAMED and card.alert.resident:
            now = services.clock()
            await accounts.note_access(
                connection, card.alert.resident, identity.actor, "alert", f"alert:{alert}", now
            )
    return alert_detail(card, identity.view, steps, found)


async def _visible(connection: Connection, identity: Identity, alert: UUID) -> Card:
    card = await board.find_card(connection, alert, identity.scope)
    if card is None:
        raise NotFound("alert", str(alert))
    return card


@router.post("/{alert}/acknowledge", response_model=AlertView)
async def acknowledge(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: StepBody | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Take an alert: a named person has it."""
    require(identity, May.TAKE)
    step = Step(Action.ACKNOWLEDGE, identity.actor, body.reason if body else "")
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/attend", response_model=AlertView)
async def attend(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: StepBody | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Say that one is with the resident, or speaking with them."""
    require(identity, May.TAKE)
    step = Step(Action.ATTEND, identity.actor, body.reason if body else "")
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/resolve", response_model=AlertView)
async def resolve(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: ResolveBody,
    if_match: IfMatch = None,
) -> Response:
    """Close an alert with what it turned out to be."""
    require(identity, May.TAKE)
    step = Step(Action.RESOLVE, identity.actor, body.reason, outcome=body.outcome)
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/silence", response_model=AlertView)
async def silence(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: SilenceBody,
    if_match: IfMatch = None,
) -> Response:
    """Let an alert rest for at most 4 hours; it comes back by itself."""
    require(identity, May.SILENCE)
    until = write.services.clock() + timedelta(minutes=body.minutes)
    step = Step(Action.SILENCE, identity.actor, body.reason, until=until)
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/review", response_model=AlertView)
async def review(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: StepBody | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Confirm how a resolved alert turned out."""
    require(identity, May.REVIEW)
    step = Step(Action.REVIEW, identity.actor, body.reason if body else "")
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/hand-to-fallback", response_model=AlertView)
async def hand_to_fallback(
    write: WriteDep,
    identity: SomebodyDep,
    alert: UUID,
    body: StepBody | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Say that people on paper have it: the watchdog's alone."""
    require(identity, May.HAND_TO_FALLBACK)
    step = Step(Action.HAND_TO_FALLBACK, identity.actor, body.reason if body else "")
    return await _take(write, alert, _version(if_match, body), step)


@router.post("/{alert}/delivered", status_code=HTTPStatus.NO_CONTENT)
async def delivered(services: ServicesDep, identity: SomebodyDep, alert: UUID) -> None:
    """Confirm that a screen shows the alert; the first confirmation counts, later ones change nothing."""
    require(identity, May.TAKE)
    async with services.scoped(identity) as connection:
        await _visible(connection, identity, alert)
        now = await alerts.get(connection, alert, lock=True)
        if now.state in ("raised", "notifying"):
            step = Step(Action.DELIVER, "system:console", identity.name)
            await alerts.apply(connection, alert, now.version, step, services.clock())


async def acknowledge_by_link(services: Services, identity: Identity, seen: Alert) -> None:
    """Take an alert for whom a notice's link names; having it already is no conflict.

    Raises:
        Taken: Somebody else has it.
        Rejected: It is over.
    """
    if seen.holder != identity.actor:
        step = Step(Action.ACKNOWLEDGE, identity.actor, "by the link in a notice")
        async with _naming_the_holder(services, identity, seen.id), services.scoped(identity) as connection:
            await _apply(connection, services, identity, seen.id, seen.version, step)


def _version(if_match: str | None, body: StepBody | None) -> int:
    """Return the version that a step was decided on.

    Raises:
        Denied: 428; the request names none.
    """
    if body is not None and body.version is not None:
        return body.version
    if if_match and (digits := if_match.strip().removeprefix("W/").strip('"')).isascii() and digits.isdigit():
        return int(digits)
    detail = "Send the alert's ETag as If-Match, or its version in the body."
    raise Denied(HTTPStatus.PRECONDITION_REQUIRED, "version_required", detail)


async def _take(write: Write, alert: UUID, version: int, step: Step) -> Response:
    """Take a step and show the alert after it; a repeat under the same key gets the first answer.

    Raises:
        NotFound: Not in the caller's scope.
        Taken: Somebody else was first; names who has it.
        Rejected: The step is not allowed, or lacks something.
    """

    async def do(connection: Connection) -> Done:
        card = await _apply(connection, write.services, write.identity, alert, version, step)
        return Done(alert_view(card, write.identity.view), version=card.alert.version)

    async with _naming_the_holder(write.services, write.identity, alert):
        return await write(do)


async def _apply(
    connection: Connection, services: Services, identity: Identity, alert: UUID, version: int, step: Step
) -> Card:
    await _visible(connection, identity, alert)
    await alerts.apply(connection, alert, version, step, services.clock())
    return await _visible(connection, identity, alert)


@asynccontextmanager
async def _naming_the_holder(services: Services, identity: Identity, alert: UUID) -> AsyncIterator[None]:
    """Say who has it, by name, where that is why a step was refused.

    Raises:
        Taken: With the holder's name and the present version.
    """
    try:
        yield
    except (Conflict, Rejected) as error:
        async with services.scoped(identity) as connection:
            card = await _visible(connection, identity, alert)
        holder = holder_of(card)
        held_by_other = holder is not None and holder.actor != identity.actor
        not_allowed = isinstance(error, Rejected) and error.reason == "not_allowed"
        if isinstance(error, Conflict) or (held_by_other and not_allowed):
            raise Taken(holder.name if holder else None, card.alert.version) from error
        raise
