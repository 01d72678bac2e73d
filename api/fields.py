"""The kinds of values that requests hold, checked before anything is done with them.

Neighbours: every route with a body.  PostgreSQL takes no NUL, and reads no year above 9999
back: what it would choke on is refused here, with the field's name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Header, Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

_YEARS: Final = range(2000, 2101)
LARGEST_ID: Final = 2**63 - 1
PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
"""One line of text."""
PROSE: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Text that may have lines."""
IDENTIFIER: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
PHONE: Final = r"^[0-9+() -]*$"


def _near(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("lies outside the years 2000 to 2100")
    return moment.astimezone(UTC)


Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PLAIN, strip_whitespace=True)]
Prose = Annotated[str, StringConstraints(max_length=500, pattern=PROSE)]
Reason = Annotated[Prose, Field(examples=["Neighbour says she is at her daughter's"])]
Phone = Annotated[str, StringConstraints(max_length=32, pattern=PHONE)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=IDENTIFIER)]
EstateIds = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^(\*|[A-Za-z0-9._-]+)$")]],
    Field(max_length=100, examples=[["tiantong-1"]]),
]
Moment = Annotated[AwareDatetime, AfterValidator(_near), Field(examples=["2026-03-01T08:00:00+08:00"])]

AccountPath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, examples=["li.na"])]
NamePath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, examples=["night"])]
IdPath = Annotated[int, Path(ge=1, le=LARGEST_ID, examples=[7])]
EstateQuery = Annotated[str | None, Query(max_length=64, pattern=IDENTIFIER, examples=["tiantong-1"])]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items of a page")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]
IfMatch = Annotated[
    str | None, Header(max_length=64, description='The ETag that was seen, such as `"3"`', examples=['"3"'])
]


class Body(BaseModel):
    """A request's body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Body):
    """From a moment until another."""

    starts_at: Moment
    ends_at: Moment
