"""`/api/v1/configs`: what a box is told, who decided it, and what the box says of it; and commands.

Neighbours: `vigil.boxconfig` says what may be set, `vigil.store.configs` keeps every version,
`ingest.configs` publishes the newest and `edge.remote_config` takes it.  A version is never changed:
`PUT` writes the next one.  Consents are no setting: what a device may not be used for is read from
the register with every version.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.claims import NodePath
from api.fields import Body, Cursor, Identifier, IfMatch, Limit, Reason
from api.once import Done, WriteDep, check_version, etag
from api.paging import Page, page, position
from api.problems import RESPONSES, Denied, Invalid
from api.services import ServicesDep
from vigil import boxconfig
from vigil.boxconfig import Document, Settings
from vigil.errors import NotFound, Rejected
from vigil.store import configs
from vigil.store.configs import Answer, Order, Standing, State, Version
from vigil.store.registry import devices_of

if TYPE_CHECKING:
    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/configs", tags=["boxes"], responses=RESPONSES)
Fraction = Annotated[float, Field(ge=0, le=1, examples=[0.5])]
Corner = Annotated[list[Fraction], Field(min_length=2, max_length=2, examples=[[0.5, 0.25]])]
Area = Annotated[
    list[Corner], Field(min_length=3, max_length=64, examples=[[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]])
]
HOUR_S: Final = 3600.0


class ViewBody(Body):
    """How a camera is to look at its place.

    Attributes:
        fps: Frames a second that are analysed, instead of the file's.
        masks: Private areas beside the file's: corners in fractions of the frame.
        zones: Areas by the zone's id, instead of the file's.
    """

    fps: float | None = Field(None, ge=1, le=30, examples=[8])
    masks: list[Area] = Field([], max_length=64)
    zones: dict[Identifier, Area] | None = Field(None, examples=[{}])


class DeviceBody(Body):
    """What is set of a device; `off`: it is not to observe, whatever anybody has agreed to."""

    off: bool = False
    placement: Literal["waist", "chest", "wrist"] | None = None
    view: ViewBody | None = None


class SettingsBody(Body):
    """What people set of a box; what is left out stays as the installer's file has it."""

    devices: dict[Identifier, DeviceBody] = Field({}, max_length=500, examples=[{}])
    spool_max_mb: int | None = Field(None, ge=16, le=1_048_576, examples=[512])


class ConfigBody(Body):
    """The next version: all that is set, and why.

    Attributes:
        lift_held: What the box holds back and the platform does not know (it came back from a backup)
            is allowed again.
    """

    settings: SettingsBody = Field(examples=[{"spool_max_mb": 512}])
    reason: Annotated[Reason, Field(min_length=1)]
    lift_held: bool = False


class BoxView(BaseModel):
    """How a box stands.

    Attributes:
        version: The newest; 0 where there is none.
        has: The version the box goes by; None before its first answer.
        refused: Why it refused the newest.
        off: Devices that the box has switched off.
        held: Whether the newest holds back what a person has to look at.
    """

    node: str
    estate: str
    state: State
    version: int
    made_at: datetime | None
    has: int | None
    answered_at: datetime | None
    refused: str | None = Field(examples=["no source is named door-3"])
    off: list[str]
    held: bool


class ConfigView(BoxView):
    """A box's newest version, and how the box stands to it.

    Attributes:
        without: Device -> purposes that nobody has agreed to; of the register, no setting.
        held_back: The same, of the box itself.
    """

    settings: SettingsBody = Field(examples=[{"spool_max_mb": 512}])
    without: dict[str, list[str]] = Field(examples=[{}])
    held_back: dict[str, list[str]] = Field(examples=[{}])


class VersionView(BaseModel):
    """One version, and what the box answered to it.

    Attributes:
        accepted: None: it has not answered, or a later one came before.
        refused: Why it refused.
    """

    version: int
    made_by: str
    reason: str
    made_at: datetime
    settings: SettingsBody = Field(examples=[{"spool_max_mb": 512}])
    without: dict[str, list[str]] = Field(examples=[{}])
    accepted: bool | None
    refused: str | None = Field(examples=["no source is named door-3"])
    answered_at: datetime | None


class CommandBody(Body):
    """An order to a box.

    Attributes:
        command: `identify`: let somebody find it; `reload`: read the installer's file again.
        expires_in_s: Afterwards the box refuses it.
    """

    command: Literal["identify", "reload"]
    expires_in_s: float = Field(300, ge=10, le=HOUR_S, examples=[300])


class CommandView(BaseModel):
    """A command, and what became of it."""

    id: UUID
    command: str = Field(examples=["identify"])
    made_by: str
    made_at: datetime
    expires_at: datetime
    state: Literal["waiting", "done", "refused", "expired"]
    answered_at: datetime | None
    reason: str | None


@router.get("")
async def list_configs(
    services: ServicesDep,
    identity: SomebodyDep,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[BoxView]:
    """List how boxes stand to their configs; `state=refused` are those to look at."""
    require(identity, May.MANAGE_BOXES)
    after = position(cursor, str, "")
    async with services.scoped(identity) as connection:
        found = await configs.standings(connection, identity.scope, limit + 1, after, state)
    shown, following = page(found, limit, [one.node for one in found])
    return Page(items=[BoxView(**_standing(one)) for one in shown], next=following)


@router.get("/{node}")
async def get_config(
    services: ServicesDep, identity: SomebodyDep, node: NodePath, response: Response
) -> ConfigView:
    """Return a box's newest version, and whether the box goes by it."""
    require(identity, May.MANAGE_BOXES)
    async with services.scoped(identity) as connection:
        found = await _current(connection, identity, node)
        newest = await configs.newest(connection, node)
    response.headers["ETag"] = etag(found.version)
    return _view(found, newest)


@router.put("/{node}", response_model=ConfigView)
async def change_config(
    write: WriteDep, identity: SomebodyDep, node: NodePath, body: ConfigBody, if_match: IfMatch = None
) -> Response:
    """Write the next version; a connected box applies it within seconds, without a restart."""
    require(identity, May.MANAGE_BOXES)

    async def do(connection: Connection) -> Done:
        found = await _current(connection, identity, node)
        check_version(if_match, found.version)
        made = await set_config(
            connection,
            found,
            settings_of(body.settings),
            made_by=identity.actor,
            reason=body.reason,
            lift_held=body.lift_held,
            now=write.services.clock(),
        )
        return Done(_view(await _current(connection, identity, node), made), version=made.version)

    return await write(do)


@router.get("/{node}/versions")
async def list_versions(
    services: ServicesDep,
    identity: SomebodyDep,
    node: NodePath,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Cursor = None,
) -> Page[VersionView]:
    """List every version of a box, the newest first: who decided what and why, and what the box answered."""
    require(identity, May.MANAGE_BOXES)
    before = min(position(cursor, int, configs.MOST + 1), configs.MOST + 1)
    async with services.scoped(identity) as connection:
        await _current(connection, identity, node)
        found = await configs.history(connection, node, limit + 1, before)
        answers = await configs.answers(connection, node, [one.version for one in found])
    shown, following = page(found, limit, [one.version for one in found])
    return Page(items=[_version(one, answers.get(one.version)) for one in shown], next=following)


@router.get("/{node}/commands")
async def list_commands(
    services: ServicesDep,
    identity: SomebodyDep,
    node: NodePath,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> list[CommandView]:
    """List a box's latest commands, and what became of them."""
    require(identity, May.MANAGE_BOXES)
    async with services.scoped(identity) as connection:
        await _current(connection, identity, node)
        found = await configs.orders(connection, node, limit)
    return [_command(one, services.clock()) for one in found]


@router.post("/{node}/commands", status_code=HTTPStatus.CREATED, response_model=CommandView)
async def add_command(write: WriteDep, identity: SomebodyDep, node: NodePath, body: CommandBody) -> Response:
    """Give a box a command, until it answers or the command ends."""
    require(identity, May.MANAGE_BOXES)

    async def do(connection: Connection) -> Done:
        await _current(connection, identity, node)
        now = write.services.clock()
        ends = now + timedelta(seconds=body.expires_in_s)
        order = Order(uuid4(), node, body.command, identity.actor, now, ends)
        await configs.add_order(connection, order)
        return Done(_command(order, now), HTTPStatus.CREATED)

    return await write(do)


def settings_of(body: SettingsBody) -> Settings:
    """Return what the box is to understand.

    Raises:
        Invalid: Names the field.
    """
    try:
        return boxconfig.settings(body.model_dump(mode="json", exclude_unset=True, exclude_none=True))
    except Rejected as error:
        raise _invalid(error) from None


async def set_config(
    connection: Connection,
    found: Standing,
    settings: Settings,
    *,
    made_by: str,
    reason: str,
    lift_held: bool,
    now: datetime,
) -> Version:
    """Check settings against the register and keep them as the node's next version.

    Args:
        connection: Inside a transaction.
        found: How the node stands; its version is the one that was seen.
        settings: All that is set.
        made_by: `person:...`.
        reason: Why.
        lift_held: Whether what the box held back is allowed again.
        now: Present time.

    Raises:
        Invalid: Names the field and the remedy.
        Denied: 412: somebody else has written a version meanwhile.
    """
    await _check(connection, found, settings)
    before = await configs.newest(connection, found.node)
    document = Document(
        community=await configs.community_of(connection, found.estate),
        estate=found.estate,
        node=found.node,
        version=await configs.next_number(connection, found.node),
        settings=settings,
        without=configs.without_of(await devices_of(connection, [found.node]), now),
        held={} if lift_held or before is None else before.content.held,
    )
    if (size := len(boxconfig.encode(document))) > boxconfig.LARGEST:
        why = f"{size} bytes; a box takes at most {boxconfig.LARGEST}: draw fewer or simpler areas"
        raise Invalid("/body/settings", why, "too_large")
    made = await configs.add(connection, document, made_by, reason, now)
    if made is None:
        detail = "A version was written meanwhile; look at it again."
        raise Denied(HTTPStatus.PRECONDITION_FAILED, "changed", detail)
    return made


async def _check(connection: Connection, found: Standing, settings: Settings) -> None:
    try:
        boxconfig.check(settings, await configs.kinds(connection, found.node))
    except Rejected as error:
        raise _invalid(error) from None
    for id_, device in settings.devices.items():
        zones = device.view.zones if device.view and device.view.zones else {}
        if unknown := await configs.unknown_zones(connection, found.estate, zones):
            why = f"{unknown[0]!r} is no zone of estate {found.estate}; register it, or name one that is"
            raise Invalid(f"/body/settings/devices/{id_}/view/zones/{unknown[0]}", why, "unknown_zone")


def _invalid(error: Rejected) -> Invalid:
    """Return what `vigil.boxconfig` has against settings, with the field as a JSON pointer."""
    said, _, at = error.detail.partition(" - at `$")
    path = at.rstrip("`").removeprefix(".settings").replace(".", "/").replace("[", "/").replace("]", "")
    remedy = "; name a device that is registered at it, or leave it out"
    return Invalid(f"/body/settings{path}", said + (remedy if path.startswith("/devices") else ""))


async def _current(connection: Connection, identity: Identity, node: str) -> Standing:
    found = await configs.standing(connection, node)
    if found is None or not identity.scope.covers(found.estate, None):
        raise NotFound("node", node)
    return found


def _standing(found: Standing) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Standing.__dataclass_fields__}


def _settings(content: Settings) -> SettingsBody:
    return SettingsBody.model_validate_json(boxconfig.encode_settings(content))


def _view(found: Standing, newest: Version | None) -> ConfigView:
    content = newest.content if newest else None
    return ConfigView(
        **_standing(found),
        settings=_settings(content.settings if content else Settings()),
        without=content.without if content else {},
        held_back=content.held if content else {},
    )


def _version(one: Version, answer: Answer | None) -> VersionView:
    content = one.content
    return VersionView(
        version=one.version,
        made_by=one.made_by,
        reason=one.reason,
        made_at=one.made_at,
        settings=_settings(content.settings),
        without=content.without,
        accepted=None if answer is None else answer.refused is None,
        refused=answer.refused if answer else None,
        answered_at=answer.answered_at if answer else None,
    )


def _command(order: Order, now: datetime) -> CommandView:
    return CommandView(
        id=order.id,
        command=order.command,
        made_by=order.made_by,
        made_at=order.made_at,
        expires_at=order.expires_at,
        state=_outcome(order, now),
        answered_at=order.answered_at,
        reason=order.reason,
    )


def _outcome(order: Order, now: datetime) -> Literal["waiting", "done", "refused", "expired"]:
    if order.accepted is not None:
        return "done" if order.accepted else "refused"
    return "waiting" if now < order.expires_at else "expired"
