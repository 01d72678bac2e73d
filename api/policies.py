"""`/api/v1/policies`: who is told by what and when, as versioned data.

Neighbours: `api.escalation.policies` says which one applies, `vigil.store.policies` keeps every
version.  A version is never changed: `PUT` writes the next one.  A round that is under way goes
on with the version it began with.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.escalation.policies import DEFAULTS, Ask, Channel, Policy, PolicyStep, Target
from api.fields import Body, Cursor, Identifier, IfMatch, Limit, NamePath
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.services import ServicesDep
from api.staff import refuse_beyond
from vigil.alerts import Priority
from vigil.errors import NotFound, Rejected
from vigil.store import policies
from vigil.store.accounts import EVERY_ESTATE
from vigil.store.policies import PolicyRow

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/policies", tags=["policies"], responses=RESPONSES)
DAY_S: Final = 86_400
LAST: Final = 2**31 - 1
Hour = Annotated[int, Field(ge=0, le=23)]


class StepBody(Body):
    """One step of a policy.

    Attributes:
        wait_s: Seconds from the beginning.
        repeats: How often it is said again, `every_s` apart.
    """

    wait_s: float = Field(ge=0, le=DAY_S, examples=[0])
    target: Target
    channel: Channel
    repeats: int = Field(0, ge=0, le=20)
    every_s: float = Field(30, ge=5, le=DAY_S)


class AskBody(Body):
    """The resident is asked whether all is well, by a call or a page.

    Attributes:
        within_s: How long an answer is waited for; none goes on.
        first: Nobody else is told before that.
    """

    within_s: float = Field(ge=10, le=120, examples=[45])
    first: bool = False


class PolicyBody(Body):
    """What a policy says, and what it is for; None fits everything.

    Attributes:
        from_hour: First local hour at which it applies.
        to_hour: The last one; may lie past midnight.
        attend_within_s: Acknowledged, but nobody there by then: the alert opens again.
        again_every_s: After the last step the last ones are said again, this far apart.
    """

    priority: Priority
    estate: Identifier | None = None
    kind: Identifier | None = Field(None, examples=["fall"])
    from_hour: Hour | None = Field(None, examples=[22])
    to_hour: Hour | None = Field(None, examples=[6])
    steps: list[StepBody] = Field(min_length=1, max_length=50)
    attend_within_s: float = Field(600, ge=60, le=DAY_S)
    again_every_s: float = Field(120, ge=30, le=DAY_S)
    ask: AskBody | None = None


class NewPolicyBody(PolicyBody):
    """A new policy."""

    name: Identifier = Field(examples=["night"])


class PolicyView(PolicyBody):
    """A policy in one version; `built_in` ones apply where no other does, and are not changed."""

    name: str
    version: int
    built_in: bool = False
    retired: bool = False
    made_by: str | None = None
    made_at: datetime | None = None


@router.get("")
async def list_policies(
    services: ServicesDep, identity: SomebodyDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[PolicyView]:
    """List the policies that apply, each in its newest version."""
    require(identity, May.SEE_POLICIES)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await policies.newest(connection, limit + 1, after)
    shown, following = page(found, limit, [one.name for one in found])
    mine = [one for one in shown if one.estate is None or identity.scope.covers(one.estate, None)]
    return Page(items=[_view(one) for one in mine], next=following)


@router.get("/built-in")
async def list_built_in(identity: SomebodyDep) -> list[PolicyView]:
    """List what applies where no policy of one's own does."""
    require(identity, May.SEE_POLICIES)
    return [
        PolicyView.model_validate(msgspec.to_builtins(policy) | {"priority": priority, "built_in": True})
        for priority, policy in DEFAULTS.items()
    ]


@router.get("/{name}")
async def get_policy(
    services: ServicesDep, identity: SomebodyDep, name: NamePath, response: Response
) -> PolicyView:
    """Return a policy in its newest version."""
    require(identity, May.SEE_POLICIES)
    async with services.scoped(identity) as connection:
        found = await _current(connection, identity, name)
    response.headers["ETag"] = etag(found.version)
    return _view(found)


@router.get("/{name}/versions")
async def list_versions(
    services: ServicesDep,
    identity: SomebodyDep,
    name: NamePath,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Cursor = None,
) -> Page[PolicyView]:
    """List every version of a policy, the newest first: who wrote what when."""
    require(identity, May.SEE_POLICIES)
    before = min(position(cursor, int, LAST), LAST)
    async with services.scoped(identity) as connection:
        found = await policies.versions(connection, name, limit + 1, before)
    mine = [one for one in found if one.estate is None or identity.scope.covers(one.estate, None)]
    shown, following = page(mine, limit, [one.version for one in mine])
    return Page(items=[_view(one) for one in shown], next=following)


@router.post("", status_code=HTTPStatus.CREATED, response_model=PolicyView)
async def add_policy(write: WriteDep, identity: SomebodyDep, body: NewPolicyBody) -> Response:
    """Write a policy; a name that was retired may be used again."""
    require(identity, May.MANAGE_POLICIES)
    _check(identity, body)

    async def do(connection: Connection) -> Done:
        await policies.lock(connection)
        before = await _newest(connection, body.name)
        if before is not None and not before.retired:
            raise Rejected("not_allowed", f"there is a policy {body.name} already; change it with PUT")
        version = before.version + 1 if before else 1
        new = _row(body.name, version, body, identity, write.services.clock())
        await policies.add_version(connection, new)
        return Done(_view(new), HTTPStatus.CREATED, version, f"/api/v1/policies/{body.name}")

    return await write(do)


@router.put("/{name}", response_model=PolicyView)
async def change_policy(
    write: WriteDep, identity: SomebodyDep, name: NamePath, body: PolicyBody, if_match: IfMatch = None
) -> Response:
    """Write the next version of a policy."""
    require(identity, May.MANAGE_POLICIES)
    _check(identity, body)

    async def do(connection: Connection) -> Done:
        await policies.lock(connection)
        before = await _current(connection, identity, name)
        _check_reach(identity, before.estate)
        check_version(if_match, before.version)
        new = _row(name, before.version + 1, body, identity, write.services.clock())
        await policies.add_version(connection, new)
        return Done(_view(new), version=new.version)

    return await write(do)


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT)
async def retire_policy(
    write: WriteDep, identity: SomebodyDep, name: NamePath, if_match: IfMatch = None
) -> Response:
    """Let a policy apply no longer; its versions stay on record."""
    require(identity, May.MANAGE_POLICIES)

    async def do(connection: Connection) -> Done:
        await policies.lock(connection)
        before = await _current(connection, identity, name)
        _check_reach(identity, before.estate)
        check_version(if_match, before.version)
        now = write.services.clock()
        last = msgspec.structs.replace(_policy(before), version=before.version + 1)
        where = (before.priority, before.estate, before.kind, before.from_hour, before.to_hour)
        body = msgspec.to_builtins(last)
        gone = PolicyRow(name, last.version, *where, body, retired=True, made_by=identity.actor, made_at=now)
        await policies.add_version(connection, gone)
        return Done(None)

    return await write(do)


def _check(identity: Identity, body: PolicyBody) -> None:
    """Refuse a policy that begins with nobody, fits half a day, or reaches beyond the caller.

    Raises:
        Rejected: `invalid`.
        Denied: 403.
    """
    if (body.from_hour is None) != (body.to_hour is None):
        raise Rejected("invalid", "/body: from_hour and to_hour go together")
    if min(step.wait_s for step in body.steps) > 0:
        raise Rejected("invalid", "/body/steps: somebody has to be told at once (wait_s 0)")
    if all(step.channel is Channel.CONSOLE for step in body.steps):
        raise Rejected("invalid", "/body/steps: a console that nobody looks at tells nobody")
    if any(step.channel is Channel.PUSH for step in body.steps):
        raise Rejected("invalid", "/body/steps: push goes along with every message and call")
    if any(step.target == Target.RESIDENT or step.channel == Channel.RESIDENT for step in body.steps):
        raise Rejected("invalid", "/body/steps: a resident is asked by `ask`, not by a step")
    if body.ask and body.ask.first and body.priority is Priority.CRITICAL:
        raise Rejected("invalid", "/body/ask: a critical alert waits for nobody; ask beside the officers")
    _check_reach(identity, body.estate)


def _check_reach(identity: Identity, estate: str | None) -> None:
    refuse_beyond(identity, [EVERY_ESTATE if estate is None else estate])


async def _newest(connection: Connection, name: str) -> PolicyRow | None:
    return next(iter(await policies.versions(connection, name, 1, LAST)), None)


async def _current(connection: Connection, identity: Identity, name: str) -> PolicyRow:
    found = await _newest(connection, name)
    hidden = found is None or found.retired
    if found is None or hidden or not (found.estate is None or identity.scope.covers(found.estate, None)):
        raise NotFound("policy", name)
    return found


def _row(name: str, version: int, body: PolicyBody, identity: Identity, now: datetime) -> PolicyRow:
    steps = tuple(PolicyStep(**step.model_dump()) for step in body.steps)
    ask = Ask(body.ask.within_s, body.ask.first) if body.ask else None
    policy = Policy(name, version, steps, body.attend_within_s, body.again_every_s, ask)
    content: dict[str, Any] = msgspec.to_builtins(policy)
    where = (body.priority, body.estate, body.kind, body.from_hour, body.to_hour)
    return PolicyRow(name, version, *where, content, retired=False, made_by=identity.actor, made_at=now)


def _policy(row: PolicyRow) -> Policy:
    return msgspec.convert(row.body, Policy)


def _view(row: PolicyRow) -> PolicyView:
    facts = {name: getattr(row, name) for name in PolicyRow.__dataclass_fields__ if name != "body"}
    return PolicyView.model_validate(row.body | facts)
