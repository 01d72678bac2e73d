"""`/edit`: the register on the web: communities, places, boxes, devices, residents, whose device it is.

Neighbours: `api.register` checks and writes, for these pages as for programs: the forms send to its routes
(`static/forms.js`), on the version that was seen.  `api.console.forms` makes a form of each kind's body;
`api.console.people` has what belongs to a resident beside the record, `api.console.staff` who works here.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.console.community import frame
from api.console.forms import changed, fields_of
from api.console.pages import render
from api.fields import IDENTIFIER, LARGEST_ID, PLAIN
from api.register import edits
from api.register.changes import BESIDE, BY_NAME, visible_things
from api.register.kinds import KINDS, Kind
from api.services import ServicesDep
from vigil.errors import NotFound
from vigil.store import accounts, claims, register, things

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.store.pool import Connection
    from vigil.store.register import Change, Row
    from vigil.store.things import Thing

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
SIZE: Final = 100
SUGGESTED: Final = 20
SHOWN_CHANGES: Final = 20
BY_PLURAL: Final = {kind.plural: kind for kind in KINDS}
PLURAL_OF: Final = {kind.thing.name: kind.plural for kind in KINDS}
LISTED: Final[Mapping[str, tuple[str, ...]]] = {
    "communities": ("time_zone",),
    "estates": ("community",),
    "buildings": ("estate", "zones", "flagged_residents"),
    "zones": ("estate", "floor", "public"),
    "nodes": ("estate", "online", "seen_at", "retired"),
    "devices": ("node", "placement", "seen_at", "retired"),
    "residents": ("estate", "phone", "risk", "flagged"),
    "assignments": ("device", "resident", "since", "until"),
}
"""Columns of a list, beside the id and what people call it."""
MADE_UP: Final = {"residents": "r", "zones": "z", "buildings": "b"}
"""Kinds whose ids nobody has to think up: how one begins."""
PluralPath = Annotated[str, Path(max_length=32, pattern=IDENTIFIER)]
ThingPath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER)]
WordsQuery = Annotated[str, Query(max_length=100, pattern=PLAIN)]
AfterQuery = Annotated[str, Query(max_length=64, pattern=PLAIN)]


class Suggestion(BaseModel):
    """Something that a field could name."""

    id: str
    label: str


@router.get("/edit")
async def overview_page(request: Request, services: ServicesDep, identity: SomebodyDep) -> Response:
    """Show what can be edited, and the latest changes."""
    require(identity, May.SEE_REGISTER)
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        made = await register.changes(
            connection, identity.scope, visible_things(identity), SHOWN_CHANGES, LARGEST_ID
        )
    return render(request, "edit.html", **facts, **said_of(identity, made))


@router.get("/edit/{plural}")
async def list_page(
    request: Request,
    services: ServicesDep,
    identity: SomebodyDep,
    plural: PluralPath,
    q: WordsQuery = "",
    after: AfterQuery = "",
) -> Response:
    """List things of a kind, and find them by a part of what they are called."""
    kind = _kind(identity, plural)
    words = q.strip()
    facts = await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        found = await register.search(
            connection, kind.thing, identity.scope, SIZE + 1, _after(kind, after), words
        )
        if kind.noted:
            seen = [str(one["id"]) for one in found[:SIZE]]
            await accounts.note_accesses(connection, seen, identity.actor, "care", "list", services.clock())
    return render(
        request,
        "edit_list.html",
        **facts,
        plural=plural,
        rows=found[:SIZE],
        more=found[SIZE - 1]["id"] if len(found) > SIZE else None,
        columns=LISTED[plural],
        words=words,
        first=not after,
        adds=identity.may(kind.manage),
    )


@router.get("/edit/{plural}/suggest", response_class=JSONResponse)
async def suggest(
    services: ServicesDep, identity: SomebodyDep, plural: PluralPath, q: WordsQuery = ""
) -> list[Suggestion]:
    """Return what a field could name, while somebody is typing."""
    kind = _kind(identity, plural)
    async with services.scoped(identity) as connection:
        found = await register.search(
            connection, kind.thing, identity.scope, SUGGESTED, _after(kind, ""), q.strip()
        )
        if kind.noted:
            seen = [str(one["id"]) for one in found]
            await accounts.note_accesses(connection, seen, identity.actor, "care", "search", services.clock())
    return [Suggestion(id=str(one["id"]), label=one["label"] or "") for one in found]


@router.get("/edit/{plural}/new")
async def new_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, plural: PluralPath
) -> Response:
    """Show an empty form; the address may say what stands in it already."""
    kind = _kind(identity, plural)
    require(identity, kind.manage)
    facts = await frame(request, services, identity)
    begun = {name: value for name, value in request.query_params.items() if name in kind.new.model_fields}
    if plural in MADE_UP:
        begun.setdefault("id", f"{MADE_UP[plural]}-{secrets.token_hex(4)}")
    async with services.scoped(identity) as connection:
        said = await _said(connection, identity, kind, begun)
        estates = await _estates(connection, identity)
    then = f"/edit/residents/{begun['resident']}/care" if "resident" in begun else f"/edit/{plural}/{{id}}"
    return render(
        request,
        "edit_new.html",
        **facts,
        plural=plural,
        fields=fields_of(kind.new, begun, names_of(kind), said),
        estates=estates,
        then=then,
    )


@router.get("/edit/{plural}/{thing}")
async def thing_page(
    request: Request, services: ServicesDep, identity: SomebodyDep, plural: PluralPath, thing: ThingPath
) -> Response:
    """Show one thing as a form, with what has been changed of it."""
    kind = _kind(identity, plural)
    now, facts = services.clock(), await frame(request, services, identity)
    async with services.scoped(identity) as connection:
        row = await edits.found(connection, identity, kind, _id(kind, thing))
        if kind.noted:
            await edits.note_look(connection, identity, thing, kind.thing.name, now)
        said = await _said(connection, identity, kind, row)
        label = await register.label(connection, kind.thing, identity.scope, row["id"])
        made = await changes_of(connection, identity, kind.thing.name, thing)
        estates = await _estates(connection, identity)
        beside = await _beside(connection, identity, plural, thing)
    return render(
        request,
        "edit_thing.html",
        **facts,
        plural=plural,
        kind=kind,
        row=row,
        label=label or thing,
        fields=fields_of(kind.body, row, names_of(kind), said),
        estates=estates,
        changes_it=identity.may(kind.manage),
        **said_of(identity, made),
        **beside,
    )


async def _beside(connection: Connection, identity: Identity, plural: str, thing: str) -> dict[str, Any]:
    """Collect what stands beside the form of some kinds: whose device it is, the certificates of a box."""
    found: dict[str, Any] = {"assigned": None, "certificates": None}
    if plural == "devices" and identity.may(May.SEE_HELPERS):
        found["assigned"] = await assigned(connection, identity, "device", thing)
    if plural == "nodes" and identity.may(May.MANAGE_BOXES):
        found["certificates"] = await claims.certificates(connection, thing)
    return found


async def assigned(connection: Connection, identity: Identity, column: str, of: str) -> list[Row]:
    """Return whose a device is or was, or which devices are or were somebody's."""
    return await register.search(connection, things.ASSIGNMENT, identity.scope, SIZE, 0, of=(column, of))


async def changes_of(connection: Connection, identity: Identity, thing: str, id_: str) -> list[Change]:
    """Return the latest changes of a thing; of a resident, of helpers and profile too."""
    names = [thing, *(("helpers", "profile") if thing == "resident" else ())]
    seen = [name for name in names if name in visible_things(identity)]
    return await register.changes(connection, identity.scope, seen, SHOWN_CHANGES, LARGEST_ID, id_)


def said_of(identity: Identity, made: list[Change]) -> dict[str, Any]:
    """Collect what the template `_changes.html` needs."""
    return {"changes": made, "changed": changed, "undoes": _undoable(identity, made), "plural_of": PLURAL_OF}


def _undoable(identity: Identity, made: list[Change]) -> frozenset[int]:
    """Return which changes the caller may take back: the latest of each thing, once."""
    latest: dict[tuple[str, str], int] = {}
    for one in made:
        latest.setdefault((one.thing, one.thing_id), one.id)
    mine = {one.id for one in made if one.undone_by is None and identity.may(_manage(one.thing))}
    return frozenset(mine & set(latest.values()))


def _manage(thing: str) -> May:
    return BESIDE[thing].manage if thing in BESIDE else BY_NAME[thing].manage


def names_of(kind: Kind) -> dict[str, str]:
    """Return which fields of a kind name another thing, and of which kind."""
    return {name: PLURAL_OF[thing.name] for name, thing in kind.rests_on.items()}


async def _said(
    connection: Connection, identity: Identity, kind: Kind, values: Mapping[str, Any]
) -> dict[str, str]:
    """Return what people call the things that some values name."""
    found: dict[str, str] = {}
    for name, thing in kind.rests_on.items():
        if values.get(name) is not None and (said := await _label(connection, identity, thing, values[name])):
            found[name] = said
    return found


async def _label(connection: Connection, identity: Identity, thing: Thing, id_: str) -> str | None:
    return await register.label(connection, thing, identity.scope, id_)


async def _estates(connection: Connection, identity: Identity) -> list[Row]:
    return await register.search(connection, things.ESTATE, identity.scope, SIZE, "")


def _kind(identity: Identity, plural: str) -> Kind:
    """Return a kind that the caller may see.

    Raises:
        NotFound: There is no such kind.
        Denied: 403.
    """
    kind = BY_PLURAL.get(plural)
    if kind is None:
        raise NotFound("page", f"/edit/{plural}")
    require(identity, kind.see)
    return kind


def _after(kind: Kind, after: str) -> str | int:
    if not kind.thing.numbered:
        return after
    return int(after) if after.isascii() and after.isdigit() and len(after) < len(str(LARGEST_ID)) else 0


def _id(kind: Kind, thing: str) -> str | int:
    """Return an id as the database has it.

    Raises:
        NotFound: It is no number where ids are numbers.
    """
    if not kind.thing.numbered:
        return thing
    if not (thing.isascii() and thing.isdigit() and len(thing) < len(str(LARGEST_ID))):
        raise NotFound(kind.thing.name, thing)
    return int(thing)
