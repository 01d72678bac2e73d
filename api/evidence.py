"""`/api/v1/evidence` and an alert's frames: pictures that residents have agreed to, and nothing else.

Neighbours: `edge.evidence` asks for permits and hands frames over, `vigil.evidence` says in what
form, `vigil.store.evidence` keeps them sealed and asks the register of consents each time.  A box
shows who it is by its certificate and a signature, as when it renews (`api.claims`).  Who looks at a
frame says for which purpose, and each resident concerned can read that in the log of accesses.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import Body
from api.problems import RESPONSES, Denied
from api.services import Issuer, Services, ServicesDep
from vigil import evidence, pki
from vigil.errors import NotFound, Rejected
from vigil.evidence import Asked, Shown
from vigil.store import accounts, board, claims
from vigil.store import evidence as frames
from vigil.store.board import EVERYWHERE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from vigil.store.evidence import Frame
    from vigil.store.pool import Connection

PERMIT_LASTS: Final = timedelta(hours=1)
"""A box that is not reached makes no frame from then on, whatever it was told before."""
TAKEN_WITHIN: Final = timedelta(hours=72)
"""A box keeps a frame for a day; its clock may be wrong by as much again."""
PICTURE: Final = "image/jpeg"
_STARTS: Final = b"\xff\xd8\xff"
"""Of a JPEG."""

T = TypeVar("T", Asked, Shown)
router = APIRouter(prefix="/api/v1", tags=["evidence"], responses=RESPONSES)
Pem = Annotated[str, StringConstraints(min_length=1, max_length=16_384, pattern=r"^[\x0a\x0d\x20-\x7e]*$")]


class For(StrEnum):
    """What a frame is looked at for."""

    ALERT = "alert"
    REVIEW = "review"


class SignedBody(Body):
    """What a box says, signed by the key of its certificate (base64)."""

    certificate: Pem
    statement: Annotated[str, StringConstraints(min_length=1, max_length=2 * evidence.LARGEST)]
    proof: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class PermitView(BaseModel):
    """Which of a box's cameras may make frames as evidence, and the key they are sealed to (base64)."""

    version: int
    until: datetime
    seal_to: str
    devices: list[str] = Field(examples=[["hall-camera"]])


class TakenView(BaseModel):
    """The platform has a frame."""

    id: UUID


class FrameView(BaseModel):
    """A frame that may be looked at until it is gone."""

    id: UUID
    device: str
    taken_at: datetime
    expires_at: datetime


@router.post("/evidence/permits")
async def ask_permit(services: ServicesDep, body: SignedBody) -> PermitView:
    """Tell a box which of its cameras may make frames, by everybody's consent as it is now."""
    issuer, key = _sealing(services)
    now = services.clock()
    async with services.pool.scoped(EVERYWHERE) as connection:
        node, _ = await _said(connection, issuer, body, Asked, now)
        version, devices = await frames.permitted(connection, node, now)
    seal_to = msgspec.to_builtins(evidence.public_of(key))
    return PermitView(version=version, until=now + PERMIT_LASTS, seal_to=seal_to, devices=devices)


@router.post("/evidence/frames", status_code=HTTPStatus.CREATED)
async def take_frame(services: ServicesDep, body: SignedBody) -> TakenView:
    """Take a frame of a box's camera, if everybody concerned agrees now; the same one again is no other."""
    issuer, key = _sealing(services)
    now = services.clock()
    async with services.pool.scoped(EVERYWHERE) as connection:
        node, shown = await _said(connection, issuer, body, Shown, now)
        _picture(key, node, shown.device, shown.episode, shown.taken_at, shown.sealed)
        if abs(now - shown.taken_at) > TAKEN_WITHIN:
            raise Rejected("too_old", "this frame was not taken lately")
        id_ = evidence.frame_id(node, shown)
        if not await frames.keep(connection, id_, node, shown, now):
            detail = "This camera may make no frames: it is not this box's, or not everybody agrees."
            raise Denied(HTTPStatus.FORBIDDEN, "no_consent", detail)
    return TakenView(id=id_)


@router.get("/alerts/{alert}/frames")
async def list_frames(services: ServicesDep, identity: SomebodyDep, alert: UUID) -> list[FrameView]:
    """List the frames of what an alert rests on."""
    require(identity, May.SEE_FRAMES)
    async with services.scoped(identity) as connection:
        found = await _of_alert(connection, identity, alert, services.clock())
    names = FrameView.model_fields
    return [FrameView.model_validate({name: getattr(one, name) for name in names}) for one in found]


@router.get(
    "/alerts/{alert}/frames/{frame}",
    response_class=Response,
    responses={200: {"content": {PICTURE: {}}, "description": "The frame, blurred around the person"}},
)
async def get_frame(
    services: ServicesDep,
    identity: SomebodyDep,
    alert: UUID,
    frame: UUID,
    purpose: Annotated[For, Query(description="What it is looked at for; the resident can read it")],
) -> Response:
    """Show a frame; that it was looked at, by whom and for what is written down."""
    require(identity, May.SEE_FRAMES)
    _, key = _sealing(services)
    now = services.clock()
    async with services.scoped(identity) as connection:
        found = next((f for f in await _of_alert(connection, identity, alert, now) if f.id == frame), None)
        if found is None:
            raise NotFound("frame", str(frame))
        what = f"frame:{frame}"
        await accounts.note_accesses(connection, found.residents, identity.actor, purpose, what, now)
    shown = _picture(key, found.node, found.device, found.episode, found.taken_at, found.sealed)
    return Response(shown, media_type=PICTURE, headers={"Cache-Control": "no-store"})


async def _of_alert(connection: Connection, identity: Identity, alert: UUID, now: datetime) -> list[Frame]:
    if await board.find_card(connection, alert, identity.scope) is None:
        raise NotFound("alert", str(alert))
    return await frames.of_alert(connection, alert, now)


async def _said(
    connection: Connection, issuer: Issuer, body: SignedBody, shape: type[T], now: datetime
) -> tuple[str, T]:
    """Return whose box says something, and what."""
    text = body.statement.encode()
    node = pki.node_of(issuer.authority, body.certificate.encode(), text, _proof(body.proof), now)
    serial = pki.serial_of(pki.read_certificate(body.certificate.encode()))
    if not await claims.is_good(connection, serial, node):
        detail = "This certificate was revoked, or its node is out of service: claim the box anew."
        raise Denied(HTTPStatus.FORBIDDEN, "revoked", detail)
    try:
        return node, msgspec.json.decode(text, type=shape)
    except msgspec.DecodeError as error:
        raise Rejected("malformed", f"statement: {error}") from None


def _picture(
    key: X25519PrivateKey, node: str, device: str, episode: str, taken_at: datetime, sealed: bytes
) -> bytes:
    """Open a frame, which has to be a picture."""
    opened = evidence.unseal(key, sealed, evidence.facts(node, device, episode, taken_at))
    if not opened.startswith(_STARTS):
        raise Rejected("not_sealed", "what was sealed is no picture")
    return opened


def _sealing(services: Services) -> tuple[Issuer, X25519PrivateKey]:
    if services.issuer is None or services.issuer.frames is None:
        detail = "The platform takes no frames as evidence: it has no key for them (`deploy.pki frames`)."
        raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, "no_frames", detail)
    return services.issuer, services.issuer.frames


def _proof(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Rejected("not_ours", "the proof is not base64") from None
