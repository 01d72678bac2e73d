"""The envelope and two shapes of data as pydantic models, equal to those of `vigil.events`."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Readings(BaseModel):
    """As `vigil.events.Readings`."""

    quantity: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
    interval_s: Annotated[float, Field(gt=0)]
    values: Annotated[list[float], Field(min_length=1, max_length=2000)]
    zone: Id | None = None


class FallSuspected(BaseModel):
    """As `vigil.events.FallSuspected`."""

    accel_mg: Annotated[
        list[Annotated[int, Field(ge=-32768, le=32767)]], Field(min_length=600, max_length=600)
    ]
    peak_g: Annotated[float, Field(ge=0)]
    placement: Literal["waist", "chest", "wrist"]
    episode: str
    rate_hz: Literal[50] = 50
    zone: Id | None = None


class _Envelope(BaseModel):
    """As `vigil.events.Envelope`."""

    id: UUID
    source: str
    subject: Id
    time: AwareDatetime
    boot: Annotated[str, Field(pattern=r"^[0-9]{1,9}-[0-9a-f]{8}$")]
    lane: Literal["alarm", "event", "telemetry", "health"]
    seq: Annotated[int, Field(ge=1, le=2**62)]
    specversion: Literal["1.0"]
    datacontenttype: Literal["application/json"] = "application/json"
    age: Annotated[float, Field(ge=0)] | None = None
    clock: Literal["synced", "holdover", "unsynced"] = "unsynced"
    clockerr: Annotated[float, Field(ge=0)] = 0.0
    replayed: bool = False
    synthetic: Literal["canary", "drill", "demo"] | None = None


class ReadingsEvent(_Envelope):
    """An envelope with readings in it."""

    type: Literal["vigil.telemetry.readings.v1"]
    data: Readings


class FallEvent(_Envelope):
    """An envelope with a window in it."""

    type: Literal["vigil.alarm.fall_suspected.v1"]
    data: FallSuspected


events: TypeAdapter[ReadingsEvent | FallEvent] = TypeAdapter(
    Annotated[ReadingsEvent | FallEvent, Field(discriminator="type")]
)
