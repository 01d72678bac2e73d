"""`/edit/accounts`, `/edit/duty`, `/edit/policies`, `/edit/silences`: who works here, when, and how alarms go.

Neighbours: `api.staff`, `api.contacts`, `api.own` (whose account it is), `api.tasks` (beats), `api.rota` and
`api.policies` check and write what these forms send.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api import policies, rota
from api.access import OWN_ONLY, ROBOTS, Identity, May, Role
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.editor import SIZE, AfterQuery, ThingPath, WordsQuery, said_of
from api.console.pages import render
from api.contacts import MOST, list_contacts
from api.escalation.policies import Channel, Target
from api.fields import LARGEST_ID
from api.passwords import LEAST_LENGTH
from api.register.changes import visible_things
from api.services import ServicesDep
from api.staff import visible
from vigil.alerts import Priority
from vigil.errors import NotFound
from vigil.store import accounts, board, own, register, residents, staff, tasks, things
from vigil.store import rota as rows
from vigil.store.rota import Window

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
AHEAD: Final = timedelta(days=35)
SHOWN: Final = 500
ROLES: Final = [role for role in Role if role not in ROBOTS]
DUTIES: Final = ("officer", "supervisor", "grid_worker")
CHANNELS: Final = [Channel.MESSAGE, Channel.VOICE]
STEP_CHANNELS: Final = [channel for channel in Channel if channel is not Channel.RESIDENT]
TARGETS: Final = [target for target in Target if target is not Target.RESIDENT]
VERSIONS: Final = 20
_FIRST: Final = UUID(int=0)


@router.get("/edit/accounts")
async def accounts_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, q: WordsQuery = "", after: AfterQuery = ""
) -> Response:
    """List who may sign in."""
    require(identity, May.SEE_STAFF)
    words, facts = q.strip(), await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await staff.members(connection, identity.scope, SIZE + 1, after, words=words)
    return render(
        request,
        "edit_accounts.html",
        **facts,
        people=found[:SIZE],
        more=found[SIZE - 1].id if len(found) > SIZE else None,
        words=words,
        first=not after,
        adds=identity.may(May.MANAGE_STAFF),
    )


@router.get("/edit/accounts/new")
async def new_account_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show an empty form for an account; `role` and `resident` of the address stand in it already."""
    require(identity, May.MANAGE_STAFF)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        estates = await register.search(connection, things.ESTATE, identity.scope, SIZE, "")
    resident = request.query_params.get("resident", "")
    return render(
        request,
        "edit_account.html",
        **facts,
        **_account_facts(identity),
        member=None,
        role=request.query_params.get("role", ""),
        estates=estates,
        then="/edit/accounts/{id}" + (f"?resident={resident}" if resident else ""),
    )


@router.get("/edit/accounts/{account}")
async def account_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, account: ThingPath
) -> Response:
    """Show an account: role and estates, whose it is, which buildings, how somebody is reached."""
    require(identity, May.SEE_STAFF)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await visible(connection, identity, account)
        estates = await register.search(connection, things.ESTATE, identity.scope, SIZE, "")
        beats = await tasks.beats(connection, account)
        tied = await own.ties(connection, account) if identity.may(May.MANAGE_STAFF) else []
        people = [await residents.resident(connection, one.resident, identity.scope) for one in tied]
    mine = identity.actor == f"person:{account}" or identity.may(May.MANAGE_ROTA)
    return render(
        request,
        "edit_account.html",
        **facts,
        **_account_facts(identity),
        now=services.clock(),
        member=found,
        role=found.role,
        estates=estates,
        beats=beats,
        ties=[one for one in people if one is not None],
        asked=request.query_params.get("resident", ""),
        contacts=(await list_contacts(services, identity, account)).items if mine else None,
        then="",
    )


def _account_facts(identity: Identity) -> dict[str, Any]:
    return {
        "roles": ROLES,
        "own_only": OWN_ONLY,
        "channels": CHANNELS,
        "positions": MOST,
        "least": LEAST_LENGTH,
        "every": identity.scope.estates is None,
        "staffs": identity.may(May.MANAGE_STAFF),
        "plans": identity.may(May.MANAGE_ROTA),
    }


@router.get("/edit/duty")
async def duty_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show planned shifts, who stands in, leave, what is missing, and what was changed."""
    require(identity, May.SEE_STAFF)
    now, facts = services.clock(), await frame(request, services, identity)
    window = Window(now, now + AHEAD, 0, SHOWN, None)
    async with services.scoped(identity) as connection:
        shifts = await rows.shifts(connection, window, identity.scope)
        covers = await rows.covers(connection, window, identity.scope)
        leaves = await rows.leaves(connection, window, identity.scope)
        names = {one.id: one.name for one in await staff.members(connection, identity.scope, SHOWN)}
        seen = [name for name in visible_things(identity) if name in ("shift", "leave")]
        made = await register.changes(connection, identity.scope, seen, 20, LARGEST_ID)
    return render(
        request,
        "edit_duty.html",
        **facts,
        shifts=sorted(shifts, key=lambda one: (one.starts_at, one.duty)),
        covers=covers,
        leaves=leaves,
        names=names,
        standing=await rota.duty_now(services, identity, None),
        duties=DUTIES,
        plans=identity.may(May.MANAGE_ROTA),
        now=now,
        **said_of(identity, made),
    )


@router.get("/edit/duty/{shift}")
async def shift_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, shift: ThingPath
) -> Response:
    """Show one shift as a form, and who is to stand in for a part of it."""
    require(identity, May.SEE_STAFF)
    if not (shift.isascii() and shift.isdigit() and len(shift) < len(str(LARGEST_ID))):
        raise NotFound("shift", shift)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await rows.shift(connection, int(shift))
        if found is None:
            raise NotFound("shift", shift)
        await visible(connection, identity, found.account)
        names = {one.id: one.name for one in await staff.members(connection, identity.scope, SHOWN)}
        made = await register.changes(connection, identity.scope, ["shift"], 20, LARGEST_ID, shift)
    return render(
        request,
        "edit_shift.html",
        **facts,
        shift=found,
        names=names,
        duties=DUTIES,
        plans=identity.may(May.MANAGE_ROTA),
        **said_of(identity, made),
    )


@router.get("/edit/policies")
async def policies_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """List how alerts are escalated: one's own policies, and what applies where there is none."""
    require(identity, May.SEE_POLICIES)
    facts = await frame(request, services, identity)
    mine = await policies.list_policies(services, identity, SHOWN, None)
    return render(
        request,
        "edit_policies.html",
        **facts,
        mine=mine.items,
        built_in=await policies.list_built_in(identity),
        adds=identity.may(May.MANAGE_POLICIES),
    )


@router.get("/edit/policies/new")
async def new_policy_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show a form for a policy, begun with what applies now for a priority."""
    require(identity, May.MANAGE_POLICIES)
    wanted = request.query_params.get("from", Priority.CRITICAL)
    begun = next((one for one in await policies.list_built_in(identity) if one.priority == wanted), None)
    return await _policy(request, services, identity, begun, None)


@router.get("/edit/policies/{name}")
async def policy_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, name: ThingPath
) -> Response:
    """Show a policy as a form, and its earlier versions, each of which can be put back."""
    require(identity, May.SEE_POLICIES)
    found = await policies.get_policy(services, identity, name, Response())
    return await _policy(request, services, identity, found, name)


async def _policy(
    request: Request,
    services: ServicesDep,
    identity: Identity,
    shown: policies.PolicyView | None,
    name: str | None,
) -> Response:
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        estates = await register.search(connection, things.ESTATE, identity.scope, SIZE, "")
    before = await policies.list_versions(services, identity, name, VERSIONS, None) if name else None
    fields = set(policies.PolicyBody.model_fields)
    return render(
        request,
        "edit_policy.html",
        **facts,
        policy=shown,
        name=name,
        estates=estates,
        versions=[
            (one, one.model_dump(mode="json", include=fields)) for one in (before.items if before else [])
        ],
        priorities=list(Priority),
        targets=TARGETS,
        channels=STEP_CHANNELS,
        may=identity.may(May.MANAGE_POLICIES),
    )


@router.get("/edit/silences")
async def silences_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """List the alerts that rest, who said so and why; taking one ends its silence."""
    require(identity, May.SEE_ALERTS)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await board.silences(connection, identity.scope, SHOWN, _FIRST)
        cards = [await board.find_card(connection, one.alert, identity.scope) for one in found]
        names = await _names(connection, [one.actor for one in found])
    return render(
        request,
        "edit_silences.html",
        **facts,
        resting=[(one, card) for one, card in zip(found, cards, strict=True) if card is not None],
        names=names,
        takes=identity.may(May.TAKE),
    )


async def _names(connection: Connection, actors: list[str]) -> dict[str, str]:
    """Return what actors are called."""
    found = {}
    for actor in set(actors):
        account = await accounts.find_account(connection, actor.partition(":")[2])
        found[actor] = account.name if account else actor
    return found
