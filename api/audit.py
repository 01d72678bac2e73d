"""`/api/v1/audit`: what people did, for who checks them; and where the chain stands, for the watchdog.

Neighbours: `vigil.audit` chains and signs, `fallback.checkpoints` keeps what was signed in a
place that the platform cannot reach.  Entries name no resident but by id, and no values.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import May
from api.auth import SomebodyDep, require
from api.problems import RESPONSES, Denied
from api.services import ServicesDep
from vigil.store import audit

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=RESPONSES)


class EntryView(BaseModel):
    """One act.

    Attributes:
        act: insert, update or delete, of a row of `thing`.
        changed: Columns that an update changed.
        kept: Values that are nobody's secret.
    """

    seq: int
    at: datetime
    actor: str = Field(examples=["person:li.na"])
    act: str
    thing: str = Field(examples=["consent"])
    key: dict[str, Any]
    changed: list[str] = []
    kept: dict[str, Any] = {}


class AuditView(BaseModel):
    """A page of acts, newest first; `next` is the cursor of the page after, or null."""

    entries: list[EntryView]
    next: int | None


class CheckpointView(BaseModel):
    """Where the chain stood, signed; hash and signature in base64."""

    seq: int
    hash: str
    at: datetime
    signature: str


@router.get("/audit")
async def get_audit(
    services: ServicesDep,
    identity: SomebodyDep,
    cursor: Annotated[int | None, Query(ge=1, description="Of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditView:
    """List what people did, newest first, to somebody who answers for every estate."""
    require(identity, May.SEE_AUDIT)
    if identity.scope.estates is not None:
        raise Denied(HTTPStatus.FORBIDDEN, "scope", "The audit log is of all estates: so must its reader be.")
    async with services.scoped(identity) as connection:
        rows = await audit.latest(connection, cursor, limit)
    return AuditView(
        entries=[EntryView(seq=seq, **entry) for seq, entry in rows],
        next=rows[-1][0] if len(rows) == limit else None,
    )


@router.get("/fallback/checkpoint")
async def get_checkpoint(services: ServicesDep, identity: SomebodyDep) -> CheckpointView:
    """Give the newest signature under the audit log, to keep elsewhere."""
    require(identity, May.SEE_ROSTER)
    async with services.scoped(identity) as connection:
        newest = await audit.checkpoints(connection, most=1)
    if not newest:
        raise Denied(HTTPStatus.NOT_FOUND, "unsigned", "The audit log has not been signed yet.")
    one = newest[0]
    return CheckpointView(seq=one.seq, hash=one.hash, at=one.at, signature=one.signature)
