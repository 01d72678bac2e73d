"""Each kind of thing of the register: who may see and change it, and what it rests on.

Neighbours: `api.register.routes` makes the same routes for every kind, `vigil.store.things` says
where each is kept.  What is checked here names the field and the remedy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from api.access import May
from api.problems import Invalid
from api.register import bodies
from vigil.store import register, things
from vigil.store.register import Row
from vigil.store.things import Thing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from api.fields import Body
    from vigil.store.board import Scope
    from vigil.store.pool import Connection

Check = Callable[["Connection", "Scope", Row, Any], Awaitable[None]]
"""Looks at the values of a row with its id (None: a new one); raises `Invalid`."""


async def _nothing(_connection: Connection, _scope: Scope, _values: Row, _id: Any) -> None:
    """Check nothing beside the shape and what it rests on."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing, with what its routes need.

    Attributes:
        thing: Where it is kept.
        plural: Its place in addresses.
        new: Shape of a new one.
        body: Shape of a change.
        view: Shape of what is shown.
        see: Who may see it.
        manage: Who may change it.
        rests_on: Fields that name another thing, which has to be in the caller's scope.
        check: What else has to hold.
        noted: Every look at one is a look at a resident, and is written down.
        listed: It is listed here; residents are in `api.residents`.
        removed: It may be taken out; what has a history of its own is retired or unflagged instead.
    """

    thing: Thing
    plural: str
    new: type[Body]
    body: type[Body]
    view: type[BaseModel]
    see: May
    manage: May
    rests_on: Mapping[str, Thing] = field(default_factory=dict)
    check: Check = _nothing
    noted: bool = False
    listed: bool = True
    removed: bool = True


async def check_rests(connection: Connection, kind: Kind, scope: Scope, values: Row, id_: Any) -> None:
    """Check that everything a row names is there, and that it all fits together.

    Raises:
        Invalid: Names the field and the remedy.
    """
    for name, other in kind.rests_on.items():
        if values[name] is not None and await register.row(connection, other, values[name], scope) is None:
            detail = f"there is no {other.name} {values[name]} in your estates; add it first, or name another"
            raise Invalid(f"/body/{name}", detail, "no_such")
    await kind.check(connection, scope, values, id_)


async def _same_estate(connection: Connection, pointer: str, zone: str | None, estate: str | None) -> None:
    stands = None if zone is None else await register.estate_of(connection, things.ZONE, zone)
    if stands is not None and stands != estate:
        detail = f"zone {zone} is in estate {stands}, not in {estate}; name one of {estate}"
        raise Invalid(pointer, detail, "other_estate")


async def _home_is_near(connection: Connection, _scope: Scope, values: Row, _id: Any) -> None:
    await _same_estate(connection, "/body/home", values["home"], values["estate"])


async def _box_is_near(connection: Connection, _scope: Scope, values: Row, _id: Any) -> None:
    await _same_estate(connection, "/body/zone", values["zone"], values["estate"])


async def _device_is_near(connection: Connection, _scope: Scope, values: Row, _id: Any) -> None:
    estate = await register.estate_of(connection, things.NODE, values["node"])
    await _same_estate(connection, "/body/zone", values["zone"], estate)


async def _one_wearer(connection: Connection, _scope: Scope, values: Row, id_: Any) -> None:
    """Refuse a second wearer at a time, and the same person twice."""
    device, resident = values["device"], values["resident"]
    stands = await register.estate_of(connection, things.DEVICE, device)
    lives = await register.estate_of(connection, things.RESIDENT, resident)
    if stands != lives:
        raise Invalid(
            "/body/device",
            f"device {device} is in estate {stands}, {resident} in {lives}; give one of {lives}",
            "other_estate",
        )
    for other, worn in await register.overlapping(connection, device, values["since"], values["until"], id_):
        if worn or other == resident:
            remedy = "end that assignment first (`until`), or begin later"
            detail = f"device {device} is assigned to {other} at that time; {remedy}"
            raise Invalid("/body/since", detail, "assigned")


COMMUNITIES: Final = Kind(
    things.COMMUNITY,
    "communities",
    bodies.NewCommunityBody,
    bodies.CommunityBody,
    bodies.CommunityView,
    see=May.SEE_REGISTER,
    manage=May.MANAGE_REGISTER,
)
ESTATES: Final = Kind(
    things.ESTATE,
    "estates",
    bodies.NewEstateBody,
    bodies.EstateBody,
    bodies.EstateView,
    rests_on={"community": things.COMMUNITY},
    see=May.SEE_REGISTER,
    manage=May.MANAGE_REGISTER,
)
BUILDINGS: Final = Kind(
    things.BUILDING,
    "buildings",
    bodies.NewBuildingBody,
    bodies.BuildingBody,
    bodies.BuildingView,
    rests_on={"estate": things.ESTATE},
    see=May.SEE_REGISTER,
    manage=May.MANAGE_REGISTER,
)
ZONES: Final = Kind(
    things.ZONE,
    "zones",
    bodies.NewZoneBody,
    bodies.ZoneBody,
    bodies.ZoneView,
    rests_on={"estate": things.ESTATE},
    see=May.SEE_REGISTER,
    manage=May.MANAGE_REGISTER,
)
NODES: Final = Kind(
    things.NODE,
    "nodes",
    bodies.NewNodeBody,
    bodies.NodeBody,
    bodies.NodeView,
    rests_on={"estate": things.ESTATE, "zone": things.ZONE},
    check=_box_is_near,
    see=May.SEE_REGISTER,
    manage=May.MANAGE_BOXES,
)
DEVICES: Final = Kind(
    things.DEVICE,
    "devices",
    bodies.NewDeviceBody,
    bodies.DeviceBody,
    bodies.DeviceView,
    rests_on={"node": things.NODE, "zone": things.ZONE},
    check=_device_is_near,
    see=May.SEE_REGISTER,
    manage=May.MANAGE_BOXES,
)
RESIDENTS: Final = Kind(
    things.RESIDENT,
    "residents",
    bodies.NewResidentBody,
    bodies.ResidentBody,
    bodies.ResidentDetail,
    see=May.SEE_HELPERS,
    manage=May.MANAGE_REGISTER,
    rests_on={"estate": things.ESTATE, "home": things.ZONE},
    check=_home_is_near,
    noted=True,
    listed=False,
    removed=False,
)
ASSIGNMENTS: Final = Kind(
    things.ASSIGNMENT,
    "assignments",
    bodies.AssignmentBody,
    bodies.AssignmentBody,
    bodies.AssignmentView,
    see=May.SEE_HELPERS,
    manage=May.MANAGE_HELPERS,
    rests_on={"device": things.DEVICE, "resident": things.RESIDENT},
    check=_one_wearer,
)
KINDS: Final = (COMMUNITIES, ESTATES, BUILDINGS, ZONES, NODES, DEVICES, RESIDENTS, ASSIGNMENTS)
