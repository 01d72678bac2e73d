"""What each thing of the register may hold, as people send it and see it.

Neighbours: `api.register.kinds` says where each is kept and what is checked beside its shape.
What is shown is built without checking: an import may have brought what a form would not take.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from api.fields import PLAIN, Body, Identifier, Moment, Name, Phone, Prose


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; one is Asia/Shanghai") from None
    return name


TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=PLAIN), AfterValidator(_zone_name)
]
BuildingName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PLAIN)]
Metres = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]


class CommunityBody(Body):
    """A community; nights and hours of its policies are by its time zone."""

    name: Name = Field(examples=["阳光社区"])
    time_zone: TimeZone = Field("Asia/Shanghai", examples=["Asia/Shanghai"])


class EstateBody(Body):
    """An estate of a community."""

    community: Identifier = Field(examples=["sunny"])
    name: Name = Field(examples=["天通苑一区"])


class BuildingBody(Body):
    """A building of an estate; with another name its homes and who looks after it go along."""

    estate: Identifier = Field(examples=["tiantong-1"])
    name: BuildingName = Field(examples=["3号楼"])
    access_note: Prose = Field(
        "", description="How a helper comes in", examples=["Door code at the caretaker's, 010-5550102"]
    )


class ZoneBody(Body):
    """A place that devices watch: a home, or somewhere public, where a legal basis has to be named."""

    estate: Identifier = Field(examples=["tiantong-1"])
    name: Name = Field(description="As it stands on the door", examples=["2单元 401"])
    building: BuildingName | None = Field(None, examples=["3号楼"])
    floor: int | None = Field(None, ge=-20, le=200, examples=[4])
    public: bool = False
    legal_basis: Annotated[Prose, Field(min_length=1)] | None = Field(
        None, description="Why a public place may be watched", examples=["Residents' assembly, 2026-01-12"]
    )
    x_m: Metres | None = Field(None, description="Metres east of the estate's corner")
    y_m: Metres | None = Field(None, description="Metres north of it")

    @model_validator(mode="after")
    def _public_has_a_basis(self) -> ZoneBody:
        if self.public and not self.legal_basis:
            raise ValueError("legal_basis: a public place is watched only with one; name it")
        return self


class NodeBody(Body):
    """An edge box: what it sends is taken while it is not retired."""

    estate: Identifier = Field(examples=["tiantong-1"])
    zone: Identifier | None = Field(None, examples=["z-3-lobby"])
    retired: bool = False


class DeviceBody(Body):
    """A device at a box: in a home or a public place (`zone`), or worn (`placement`)."""

    node: Identifier = Field(examples=["riverside-3"])
    zone: Identifier | None = Field(None, examples=["z-3-2-401"])
    kind: Identifier = Field(examples=["pendant"])
    placement: Literal["waist", "chest", "wrist"] | None = Field(
        None, description="Where on the body; None: it is not worn", examples=["waist"]
    )
    retired: bool = False


class ResidentBody(Body):
    """A resident; who helps them is at `/residents/{id}/helpers`."""

    estate: Identifier = Field(examples=["tiantong-1"])
    home: Identifier | None = Field(None, description="A zone", examples=["z-3-2-401"])
    name: Name = Field(examples=["王秀英"])
    phone: Phone | None = Field(None, examples=["13900000001"])
    flagged: bool = Field(False, description="Watched over")
    risk: Literal[1, 2, 3] = Field(1, description="3 is seen to first", examples=[3])
    lives_alone: bool = True


class AssignmentBody(Body):
    """Whose device it is, or was, and when; something worn is one person's at a time."""

    device: Identifier = Field(examples=["pendant-17"])
    resident: Identifier = Field(examples=["r-1"])
    since: Moment | None = Field(None, description="None: ever", examples=["2026-03-01T08:00:00+08:00"])
    until: Moment | None = Field(None, description="None: until it is changed", examples=[None])

    @model_validator(mode="after")
    def _has_a_length(self) -> AssignmentBody:
        if self.since and self.until and self.until <= self.since:
            raise ValueError("until: has to come after since")
        return self


class NewCommunityBody(CommunityBody):
    """A new community."""

    id: Identifier = Field(examples=["sunny"])


class NewEstateBody(EstateBody):
    """A new estate; its id stands in the topics of its boxes."""

    id: Identifier = Field(examples=["tiantong-1"])


class NewBuildingBody(BuildingBody):
    """A new building."""

    id: Identifier = Field(examples=["tiantong-1-3"])


class NewZoneBody(ZoneBody):
    """A new place."""

    id: Identifier = Field(examples=["z-3-2-401"])


class NewNodeBody(NodeBody):
    """A new box; a code for its certificate comes from `/claims`."""

    id: Identifier = Field(examples=["riverside-3"])


class NewDeviceBody(DeviceBody):
    """A new device, by the id that its box calls it."""

    id: Identifier = Field(examples=["pendant-17"])


class NewResidentBody(ResidentBody):
    """A new resident; nothing is watched for which they have not consented."""

    id: Identifier = Field(examples=["r-1"])


class CommunityView(CommunityBody):
    """A community; `version` is the ETag's number, here and with all other things."""

    id: str = Field(examples=["sunny"])
    version: int = Field(examples=[1])


class EstateView(EstateBody):
    """An estate."""

    id: str = Field(examples=["tiantong-1"])
    version: int = Field(examples=[1])


class BuildingView(BuildingBody):
    """A building, with how many places and flagged residents it has."""

    id: str = Field(examples=["tiantong-1-3"])
    version: int = Field(examples=[1])
    zones: int = Field(examples=[48])
    flagged_residents: int = Field(examples=[6])


class ZoneView(ZoneBody):
    """A place."""

    id: str = Field(examples=["z-3-2-401"])
    version: int = Field(examples=[1])


class NodeView(NodeBody):
    """A box, and when it was last heard."""

    id: str = Field(examples=["riverside-3"])
    version: int = Field(examples=[1])
    synthetic: Literal["canary", "drill", "demo"] | None
    online: bool | None
    seen_at: datetime | None


class DeviceView(DeviceBody):
    """A device, and what its box said of it last."""

    id: str = Field(examples=["pendant-17"])
    version: int = Field(examples=[1])
    model: str | None = Field(examples=["WB-2"])
    firmware: str | None = Field(examples=["1.4.0"])
    seen_at: datetime | None


class ResidentDetail(ResidentBody):
    """A resident."""

    id: str = Field(examples=["r-1"])
    version: int = Field(examples=[1])


class AssignmentView(AssignmentBody):
    """Whose device it is, or was."""

    id: int = Field(examples=[7])
    version: int = Field(examples=[1])


class PlaceView(BaseModel):
    """Where a device hung; `since` None is from the beginning, `until` None is still."""

    zone: str
    since: datetime | None
    until: datetime | None
