# No postponed annotations here: the shape of a body is chosen when a kind's routes are made.
"""`/api/v1/communities`, `/estates`, ... `/assignments`: the same six routes for every kind of thing.

Neighbours: `api.register.kinds` says what the kinds are, `api.register.edits` changes them,
`api.register.changes` tells who changed what.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.auth import SomebodyDep, require
from api.fields import IDENTIFIER, LARGEST_ID, AccountPath, Cursor, EstateQuery, IfMatch, Limit
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES
from api.register import edits, kinds
from api.register.bodies import PlaceView
from api.register.edits import Edit
from api.register.kinds import Kind
from api.services import ServicesDep
from vigil.store import register
from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1", tags=["register"], responses=RESPONSES)
TextPath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, description="Its id")]
NumberPath = Annotated[int, Path(ge=1, le=LARGEST_ID, description="Its id")]


def _list(kind: Kind) -> None:
    name, first = kind.plural, 0 if kind.thing.numbered else ""

    @router.get(
        f"/{kind.plural}",
        name=f"list_{name}",
        description=f"List the {name} of one's estates, by id.",
        response_model=Page[kind.view],  # type: ignore[name-defined]  # the kind's own shape
    )
    async def listing(
        services: ServicesDep,
        identity: SomebodyDep,
        estate: EstateQuery = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Any:
        require(identity, kind.see)
        after = position(cursor, type(first), first)
        async with services.scoped(identity) as connection:
            found = await register.rows(connection, kind.thing, identity.scope, limit + 1, after, estate)
        shown, following = page(found, limit, [one["id"] for one in found])
        return Page.model_construct(items=_views(kind, shown), next=following)


def _views(kind: Kind, rows: Sequence[register.Row]) -> list[Any]:
    return [edits.view(kind, one) for one in rows]


def _get(kind: Kind) -> None:
    name, path = kind.thing.name, NumberPath if kind.thing.numbered else TextPath

    @router.get(
        f"/{kind.plural}/{{thing}}",
        name=f"get_{name}",
        description=f"Return one {name}.",
        response_model=kind.view,
    )
    async def get(
        services: ServicesDep,
        identity: SomebodyDep,
        thing: path,  # type: ignore[valid-type]  # a number or a name, by the kind
        response: Response,
    ) -> Any:
        require(identity, kind.see)
        async with services.scoped(identity) as connection:
            found = await edits.found(connection, identity, kind, thing)
            if kind.noted:
                await edits.note_look(connection, identity, str(thing), name, services.clock())
        response.headers["ETag"] = etag(found["version"])
        return edits.view(kind, found)


def _add(kind: Kind) -> None:
    name = kind.thing.name

    @router.post(
        f"/{kind.plural}",
        name=f"add_{name}",
        description=f"Add a {name}.",
        status_code=HTTPStatus.CREATED,
        response_model=kind.view,
    )
    async def add(write: WriteDep, identity: SomebodyDep, body: kind.new) -> Response:  # type: ignore[name-defined]  # the kind's own shape
        require(identity, kind.manage)

        async def do(connection: Connection) -> Done:
            shown: Any = await edits.add(Edit(connection, identity, write.services.clock()), kind, body)
            return Done(shown, HTTPStatus.CREATED, 1, f"/api/v1/{kind.plural}/{shown.id}")

        return await write(do)


def _change(kind: Kind) -> None:
    name, path = kind.thing.name, NumberPath if kind.thing.numbered else TextPath

    @router.put(
        f"/{kind.plural}/{{thing}}",
        name=f"change_{name}",
        description=f"Change a {name}, on the version that was seen.",
        response_model=kind.view,
    )
    async def change(
        write: WriteDep,
        identity: SomebodyDep,
        thing: path,  # type: ignore[valid-type]  # a number or a name, by the kind
        body: kind.body,  # type: ignore[name-defined]  # the kind's own shape
        if_match: IfMatch = None,
    ) -> Response:
        require(identity, kind.manage)

        async def do(connection: Connection) -> Done:
            before = await edits.found(connection, identity, kind, thing, lock=True)
            check_version(if_match, before["version"])
            shown = await edits.change(Edit(connection, identity, write.services.clock()), kind, before, body)
            return Done(shown, version=before["version"] + 1)

        return await write(do)


def _remove(kind: Kind) -> None:
    name, path = kind.thing.name, NumberPath if kind.thing.numbered else TextPath

    @router.delete(
        f"/{kind.plural}/{{thing}}",
        name=f"remove_{name}",
        description=f"Take a {name} out, where nothing rests on it; an undo brings it back.",
        status_code=HTTPStatus.NO_CONTENT,
    )
    async def remove(
        write: WriteDep,
        identity: SomebodyDep,
        thing: path,  # type: ignore[valid-type]  # a number or a name, by the kind
        if_match: IfMatch = None,
    ) -> Response:
        require(identity, kind.manage)

        async def do(connection: Connection) -> Done:
            before = await edits.found(connection, identity, kind, thing, lock=True)
            check_version(if_match, before["version"])
            await edits.remove(Edit(connection, identity, write.services.clock()), kind, before)
            return Done(None)

        return await write(do)


for _kind in kinds.KINDS:
    if _kind.listed:
        _list(_kind)
    _get(_kind)
    _add(_kind)
    _change(_kind)
    if _kind.removed:
        _remove(_kind)


@router.get("/devices/{device}/places")
async def get_places(services: ServicesDep, identity: SomebodyDep, device: AccountPath) -> list[PlaceView]:
    """Say where a device hung and when, the latest first; who wore it is in `/assignments`."""
    require(identity, kinds.DEVICES.see)
    async with services.scoped(identity) as connection:
        await edits.found(connection, identity, kinds.DEVICES, device)
        found = await register.places(connection, device)
    return [PlaceView(zone=zone, since=since, until=until) for zone, since, until in found]
