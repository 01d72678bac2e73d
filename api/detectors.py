"""`/api/v1/detectors` and `/api/v1/misses`: who may alert, how it goes among real people, what was missed.

Neighbours: `vigil.store.detectors` keeps and counts, `vigil.modes` decides by it; `api.effect` says
what alarms cost.  A version runs in shadow until somebody who is named lets it alert, with a reason;
what was not alerted of and happened is entered here by whoever hears of it.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import May
from api.auth import SomebodyDep, require
from api.effect import DAY, Since, Synthetic, Until, stretch_of
from api.fields import IDENTIFIER, PLAIN, Body, Cursor, EstateQuery, Identifier, Limit, Moment, Prose
from api.once import Done, WriteDep
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.modes import DETECTORS
from vigil.store import detectors
from vigil.store.detectors import NewMiss, NewWord

if TYPE_CHECKING:
    from api.access import Identity
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["detectors"], responses=RESPONSES)
NamedDetector = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, examples=[DETECTORS[0]])]
Why = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PLAIN, strip_whitespace=True)]
REVIEW, ALERT = 0.5, 0.95
"""Scores from which a fall is asked about and alerted at once (`processors.fusion`)."""


class WordBody(Body):
    """Let a version alert, or put it into shadow.

    Attributes:
        community: Where; without it and without an estate it is everywhere.
        review_by: When somebody has to look again; nothing ends by itself then.
    """

    version: Identifier = Field(examples=["9c4b4b27f7f3"])
    mode: Literal["alert", "shadow"]
    reason: Why = Field(examples=["Four weeks in shadow: 3 of 3 falls, 1 false alarm"])
    community: Identifier | None = None
    estate: Identifier | None = None
    review_by: Moment | None = None


class WordView(BaseModel):
    """What somebody said of a version; `current` while nobody has said anything later of that place."""

    id: int
    detector: str
    version: str
    community: str | None
    estate: str | None
    mode: Literal["alert", "shadow"]
    actor: str
    reason: str
    at: datetime
    review_by: datetime | None
    current: bool


class ComparedView(BaseModel):
    """A version on what all versions were shown; `silent_true` are true alerts it thought little of."""

    model: str
    version: str
    shadow: bool
    detections: int
    review: int
    alert: int
    true: int
    false: int
    silent_true: int


class RealWorldView(BaseModel):
    """What came of a kind of alert.

    Attributes:
        sensitivity: Found of what is known to have happened; what nobody reports is not in it.
    """

    kind: str
    alerts: int
    true: int
    false: int
    missed: int
    residents: int
    precision: float | None
    sensitivity: float | None
    false_per_resident_day: float | None


class DetectorsView(BaseModel):
    """Who may alert, how versions compare, and what came of it."""

    since: datetime
    until: datetime
    words: list[WordView]
    versions: list[ComparedView]
    real_world: list[RealWorldView]


class MissBody(Body):
    """Something that happened, and that nobody was alerted of; name a resident or a zone."""

    kind: Literal["fall", "inactivity", "no_return", "wandering", "not_up", "night_trips"] = "fall"
    estate: Identifier
    resident: Identifier | None = Field(None, examples=["r1"])
    zone: Identifier | None = None
    happened_at: Moment
    found_at: Moment
    how_found: Literal["family", "neighbour", "visit", "resident", "ambulance", "other"]
    note: Prose = ""


class WithdrawBody(Body):
    """Why it was no miss."""

    why: Why


class MissView(BaseModel):
    """A miss; `cause` is what the platform knew then."""

    id: UUID
    kind: str
    estate: str
    resident: str | None
    zone: str | None
    happened_at: datetime
    found_at: datetime
    how_found: str
    note: str
    cause: Literal["no_device", "withheld", "silent", "nothing_seen", "below", "in_shadow"]
    score: float | None
    reported_by: str
    reported_at: datetime
    withdrawn_by: str | None
    withdrawn_why: str | None
    withdrawn_at: datetime | None


@router.get("/detectors")
async def get_detectors(
    services: ServicesDep,
    identity: SomebodyDep,
    since: Since = None,
    until: Until = None,
    estate: EstateQuery = None,
    synthetic: Synthetic = None,
) -> DetectorsView:
    """Say which versions may alert, and how they do, over the caller's estates."""
    require(identity, May.SEE_EFFECT)
    stretch = stretch_of(services, since, until, estate, synthetic)
    days = (stretch.until - stretch.since) / DAY
    async with services.scoped(identity) as connection:
        said = await detectors.words(connection)
        compared = await detectors.compare(connection, stretch, identity.scope, REVIEW, ALERT)
        found = await detectors.real_world(connection, stretch, identity.scope)
    return DetectorsView(
        since=stretch.since,
        until=stretch.until,
        words=[WordView.model_validate(asdict(one)) for one in said],
        versions=[ComparedView(**asdict(one)) for one in compared],
        real_world=[
            RealWorldView(
                **asdict(one),
                precision=one.precision,
                sensitivity=one.sensitivity,
                false_per_resident_day=one.false_per_resident_day(days),
            )
            for one in found
        ],
    )


@router.post("/detectors/{detector}/modes", response_model=WordView, status_code=HTTPStatus.CREATED)
async def post_mode(
    write: WriteDep, identity: SomebodyDep, detector: NamedDetector, body: WordBody
) -> Response:
    """Let a version of a detector alert somewhere, or put it into shadow, with a reason."""
    require(identity, May.MANAGE_POLICIES)
    _refuse_beyond(identity, body)

    async def do(connection: Connection) -> Done:
        word = NewWord(detector=detector, actor=identity.actor, **body.model_dump())
        number = await detectors.speak(connection, word, write.services.clock())
        (said,) = [one for one in await detectors.words(connection, detector) if one.id == number]
        return Done(WordView.model_validate(asdict(said)), HTTPStatus.CREATED)

    return await write(do)


def _refuse_beyond(identity: Identity, body: WordBody) -> None:
    """Refuse words on places beyond one's own: who has some estates speaks of an estate of theirs."""
    estates = identity.scope.estates
    if estates is None:
        return
    if body.estate is None:
        raise Denied(
            HTTPStatus.FORBIDDEN, "forbidden", "estate: only who has every estate speaks of more than one"
        )
    if body.estate not in estates:
        raise NotFound("estate", body.estate)


@router.get("/misses")
async def get_misses(
    services: ServicesDep,
    identity: SomebodyDep,
    since: Since = None,
    until: Until = None,
    estate: EstateQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[MissView]:
    """List what was missed, the latest first."""
    require(identity, May.SEE_HELPERS)
    stretch = stretch_of(services, since, until, estate)
    after = position(cursor, tuple[datetime, UUID], None)
    async with services.scoped(identity) as connection:
        found = await detectors.misses(connection, stretch, identity.scope, limit + 1, after)
    shown, following = page(found, limit, [(one.happened_at, one.id) for one in found])
    return Page(items=[MissView.model_validate(asdict(one)) for one in shown], next=following)


@router.post("/misses", response_model=MissView, status_code=HTTPStatus.CREATED)
async def post_miss(write: WriteDep, identity: SomebodyDep, body: MissBody) -> Response:
    """Put on record what happened and was not alerted of; it counts into the measured sensitivity."""
    require(identity, May.SEE_HELPERS)
    if not identity.scope.covers(body.estate, None):
        raise NotFound("estate", body.estate)

    async def do(connection: Connection) -> Done:
        new = NewMiss(id=uuid4(), reported_by=identity.actor, **body.model_dump())
        made = await detectors.report_miss(connection, new, write.services.clock())
        return Done(MissView.model_validate(asdict(made)), HTTPStatus.CREATED)

    return await write(do)


@router.post("/misses/{miss}/withdraw", response_model=MissView)
async def post_withdraw(write: WriteDep, identity: SomebodyDep, miss: UUID, body: WithdrawBody) -> Response:
    """Take a miss back that was none; it stays on record, and counts no more."""
    require(identity, May.REVIEW)

    async def do(connection: Connection) -> Done:
        before = await detectors.get_miss(connection, miss)
        if not identity.scope.covers(before.estate, None):
            raise NotFound("miss", str(miss))
        now = write.services.clock()
        made = await detectors.withdraw_miss(connection, miss, identity.actor, body.why, now)
        return Done(MissView.model_validate(asdict(made)))

    return await write(do)
