"""`/api/v1/break-glass` and `/api/v1/access-cases`: looks beyond one's estates, and what is looked into.

Neighbours: `api.misuse` decides what becomes a case, `vigil.store.cases` keeps both, `/me` shows a resident
who broke the glass for them, and why.

Rules
-----
1. Whoever helps may look at one resident beyond their estates: at once, with a reason, for an hour.
2. That opens a case, due within a day; so does what the rules of misuse see in the access log.
3. A case has an owner, who is not the one it is about; who it is about does not close it.
4. A case that is overdue, or that nobody owns, is a trouble alert on the board.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import structlog
from fastapi import APIRouter, Query, Response
from prometheus_client import Counter
from pydantic import BaseModel, Field, StringConstraints

from api import misuse
from api.access import May
from api.auth import SomebodyDep, require
from api.fields import PROSE, Body, Identifier, Limit, Prose
from api.misuse import Duty, Look, Suspicion
from api.once import Done, WriteDep
from api.problems import RESPONSES, Denied
from api.residents import Helper, helpers_view
from api.services import ServicesDep
from vigil.alerts import Priority
from vigil.errors import NotFound, Rejected, Unavailable
from vigil.events import derived_id
from vigil.store import accounts, alerts, cases, own, residents
from vigil.store.board import EVERYWHERE
from vigil.store.cases import Case, Glass
from vigil.store.detections import Detection

if TYPE_CHECKING:
    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool
    from vigil.store.residents import ResidentRow

router = APIRouter(prefix="/api/v1", tags=["access cases"], responses=RESPONSES)
OPEN_FOR: Final = timedelta(hours=1)
REVIEWED_WITHIN: Final = timedelta(hours=24)
EVERY_S: Final = 300.0
LOOK_BACK: Final = timedelta(hours=24)
_opened = Counter(
    "vigil_access_cases_total", "Cases that were opened about who looked at residents.", ["kind"]
)
_log = structlog.get_logger(__name__)
Why = Annotated[str, StringConstraints(min_length=10, max_length=500, pattern=PROSE, strip_whitespace=True)]


class GlassBody(Body):
    """Whom to look at, and why it cannot wait; the resident will read the reason."""

    resident: Identifier
    reason: Why = Field(examples=["Her neighbour rings from the stairs: she lies behind the door"])


class GlassView(BaseModel):
    """What one may see for an hour."""

    id: UUID
    until: datetime
    resident: str
    name: str
    phone: str | None
    building: str | None
    home: str | None
    floor: int | None
    key_holders: list[Helper]
    family: list[Helper]
    note: str


class CaseView(BaseModel):
    """A case; `about` is the actor whose looks it is about.

    Attributes:
        facts: What the rule saw, or the reason that was given.
        overdue: It should be closed by now.
    """

    id: UUID
    kind: Literal["break_glass", "bulk", "own_family", "off_shift"]
    estate: str
    about: str
    resident: str | None
    facts: dict[str, Any]
    opened_at: datetime
    due_at: datetime
    owner: str | None
    overdue: bool
    outcome: Literal["justified", "misuse", "unclear"] | None
    note: str
    closed_by: str | None
    closed_at: datetime | None


class CloseBody(Body):
    """How a case ended, and what was found."""

    outcome: Literal["justified", "misuse", "unclear"]
    note: Annotated[Prose, Field(min_length=1)] = Field(examples=["Asked both; the fall was real"])


@router.post("/break-glass", status_code=HTTPStatus.CREATED, response_model=GlassView)
async def break_glass(write: WriteDep, identity: SomebodyDep, body: GlassBody) -> Response:
    """Look at a resident beyond one's estates, for an hour; they read the reason, and it is reviewed."""
    require(identity, May.BREAK_GLASS)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        if await residents.resident(connection, body.resident, identity.scope) is not None:
            raise Rejected("not_allowed", "this resident is of your estates; there is no glass to break")
        await own.act_for_platform(connection)
        found = await residents.resident(connection, body.resident, EVERYWHERE)
        if found is None:
            raise NotFound("resident", body.resident)
        glass = Glass(uuid4(), found.id, identity.actor, None, body.reason, now, now + OPEN_FOR)
        await cases.break_glass(connection, glass)
        await _review(connection, glass, found.estate)
        await _note(connection, glass, now)
        return Done(_shown(glass, found), HTTPStatus.CREATED, location=f"/api/v1/break-glass/{glass.id}")

    return await write(do)


@router.get("/break-glass/{glass}")
async def get_broken(services: ServicesDep, identity: SomebodyDep, glass: UUID) -> GlassView:
    """Look again, within the hour; every look is written down."""
    require(identity, May.BREAK_GLASS)
    now = services.clock()
    async with services.scoped(identity) as connection:
        await own.act_for_platform(connection)
        found = await cases.glass(connection, glass)
        if found is None or found.actor != identity.actor:
            raise NotFound("broken glass", str(glass))
        if now >= found.until:
            raise Denied(
                HTTPStatus.FORBIDDEN, "over", "The hour is over; break the glass again, with the reason."
            )
        resident = await residents.resident(connection, found.resident, EVERYWHERE)
        if resident is None:
            raise NotFound("resident", found.resident)
        await _note(connection, found, now)
    return _shown(found, resident)


@router.get("/access-cases")
async def list_cases(
    services: ServicesDep,
    identity: SomebodyDep,
    everything: Annotated[bool, Query(description="Closed ones as well")] = False,
    limit: Limit = 100,
) -> list[CaseView]:
    """List what has to be looked into about who looked, what is due first."""
    require(identity, May.SEE_CASES)
    now = services.clock()
    async with services.scoped(identity) as connection:
        found = await cases.cases(connection, identity.scope, limit, everything=everything)
    return [_view(one, now) for one in found]


@router.post("/access-cases/{case}/close", response_model=CaseView)
async def close(write: WriteDep, identity: SomebodyDep, case: UUID, body: CloseBody) -> Response:
    """Say how a case ended; not for the one it is about."""
    require(identity, May.SEE_CASES)
    require(identity, May.REVIEW)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        found = await cases.case(connection, case, identity.scope)
        if found is None:
            raise NotFound("case", str(case))
        if found.about == identity.actor:
            raise Denied(HTTPStatus.FORBIDDEN, "own_case", "Nobody closes a case about themselves.")
        if found.closed_at is not None:
            raise Rejected("not_allowed", "this case is closed")
        await cases.close(connection, case, body.outcome, body.note, identity.actor, now)
        closed = await cases.case(connection, case, identity.scope)
        assert closed is not None, "its row is locked since it was read"  # noqa: S101 - for the type checker: nobody can have removed it
        return Done(_view(closed, now))

    return await write(do)


async def _review(connection: Connection, glass: Glass, estate: str) -> None:
    """Open the case that reviews a broken glass; it has the same id."""
    owner = await cases.owner_for(connection, estate, glass.actor)
    facts = {"reason": glass.reason, "until": glass.until.isoformat()}
    due = glass.at + REVIEWED_WITHIN
    case = Case(glass.id, "break_glass", estate, glass.actor, glass.resident, facts, glass.at, due, owner)
    await cases.open_case(connection, case)
    _opened.labels("break_glass").inc()


async def _note(connection: Connection, glass: Glass, now: datetime) -> None:
    what = f"record:{glass.id}"
    await accounts.note_access(connection, glass.resident, glass.actor, "break glass", what, now)


def _shown(glass: Glass, found: ResidentRow) -> GlassView:
    helpers = helpers_view(found)
    return GlassView(
        id=glass.id,
        until=glass.until,
        resident=found.id,
        name=found.name,
        phone=found.phone,
        building=found.building,
        home=found.home,
        floor=found.floor,
        key_holders=helpers.key_holders,
        family=helpers.family,
        note=helpers.note,
    )


def _view(found: Case, now: datetime) -> CaseView:
    facts = {name: getattr(found, name) for name in Case.__dataclass_fields__}
    return CaseView(**facts, overdue=found.closed_at is None and found.due_at <= now)


class Watch:
    """Reads the access log on a clock, opens cases, and tells of those that nobody closes.

    Args:
        pool: In the rights of the API.
        clock: Present time.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.step()
            except Unavailable as error:
                _log.warning("the access log waits to be looked at", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def step(self) -> int:
        """Look once; returns how many cases were opened."""
        now = self._clock()
        async with self._pool.transaction() as connection:
            opened = 0
            for one in await suspicions(connection, now - LOOK_BACK):
                opened += await self._open(connection, one, now)
            for case in await cases.overdue(connection, now):
                await _tell(connection, case, now)
        return opened

    async def _open(self, connection: Connection, one: Suspicion, now: datetime) -> bool:
        owner = await cases.owner_for(connection, one.estate, one.actor)
        facts = {"count": one.count, "first": one.at.isoformat(), "looks": list(one.looks)}
        id_ = derived_id("access case", one.rule, one.actor, one.key)
        case = Case(
            id_, one.rule, one.estate, one.actor, one.resident, facts, now, now + REVIEWED_WITHIN, owner
        )
        new = await cases.open_case(connection, case)
        if new:
            _opened.labels(one.rule).inc()
        return new


async def suspicions(connection: Connection, since: datetime) -> list[Suspicion]:
    """Ask the rules about everything that was looked at since then."""
    looks = [Look(*row) for row in await cases.looks(connection, since)]
    phones = await cases.phones(connection, sorted({look.actor for look in looks}))
    singly = {look.resident for look in looks if look.what not in misuse.LISTS and look.actor in phones}
    numbers = await cases.numbers(connection, sorted(singly))
    duties: dict[str, list[Duty]] = {}
    for actor, start, end in await cases.duties(connection, since):
        duties.setdefault(actor, []).extend([Duty(start, end)] if start and end else [])
    return [
        *misuse.bulk(looks),
        *misuse.own_family(looks, phones, numbers),
        *misuse.off_shift(looks, duties),
    ]


async def _tell(connection: Connection, case: Case, now: datetime) -> None:
    """Raise a trouble alert about a case that waits."""
    summary = {
        "en": f"A case about who looked at residents ({case.kind}) is overdue or has no owner",
        "zh": f"一个查看记录核查事项（{case.kind}）已逾期或无人负责",
    }
    found = Detection(
        id=derived_id("case overdue", case.id),
        event=derived_id("case", case.id),
        time=now,
        kind="platform",
        subject=f"case:{case.id}",
        resident=None,
        zone=None,
        estate=case.estate,
        device="access cases",
        score=1.0,
        model="rule",
        model_version="1",
        explanation=summary,
        synthetic=None,
        made_at=now,
    )
    await alerts.raise_found(connection, found, Priority.TROUBLE, now)
