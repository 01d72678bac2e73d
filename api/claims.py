"""`/api/v1/claims`: how an edge box comes by its certificate, and how it loses it.

Neighbours: `edge.claim` asks, `vigil.pki` signs, `vigil.store.claims` keeps.  Who manages boxes
makes a code for a node; the box that says it first has the node's certificate, and what the node
was issued before is revoked: a node is one box.  The two routes for boxes ask for no session: a
code or a certificate is who they are.  The list of the revoked is for the broker, and public.
"""

from __future__ import annotations

import secrets
from base64 import b64decode
from binascii import Error as NotBase64
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import IDENTIFIER, Body, Identifier
from api.passwords import digest
from api.problems import RESPONSES, Denied
from api.services import Issuer, Services, ServicesDep
from vigil import pki
from vigil.errors import NotFound, Rejected
from vigil.store import claims
from vigil.store.board import EVERYWHERE

if TYPE_CHECKING:
    from vigil.store.claims import Place
    from vigil.store.pool import Connection

CODE_LASTS: Final = timedelta(hours=24)
"""An installer's day."""
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's 32: nothing that is read as something else."""
SYMBOLS: Final = 12
"""60 bits: at the attempts allowed, one code in a billion years."""
TRIES_A_MINUTE: Final = 10
"""Of one address; an installer types a code in once or twice."""
CODES_A_MINUTE: Final = 60
"""Of one person: an estate's boxes in an hour, and no flood."""
ANSWERS: Final = RESPONSES | {429: RESPONSES[403] | {"description": HTTPStatus(429).phrase}}

router = APIRouter(prefix="/api/v1/claims", tags=["boxes"], responses=ANSWERS)
Pem = Annotated[str, StringConstraints(min_length=1, max_length=16_384, pattern=r"^[\x0a\x0d\x20-\x7e]*$")]
NodePath = Annotated[str, Path(max_length=64, pattern=IDENTIFIER, examples=["riverside-3"])]


class NewCodeBody(Body):
    """The node whose box is to be claimed."""

    node: Identifier = Field(examples=["riverside-3"])


class CodeView(BaseModel):
    """A code, shown once."""

    code: str = Field(examples=["7K3M-9QXR-T2VD"])
    node: str
    expires_at: datetime


class RedeemBody(Body):
    """A code, and the request for a certificate (PKCS #10, PEM) of the key that the box has made."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    request: Pem


class RenewBody(Body):
    """The present certificate, the request for the next, and its signature by the present key (base64)."""

    certificate: Pem
    request: Pem
    proof: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class GrantView(BaseModel):
    """What a box gets.

    Attributes:
        node: Who it is.
        certificate: Its own, as PEM.
        ca: Whom it is to trust, as PEM.
        broker: `host:port` of the broker.
        config: The node's file to begin with; with a renewal there is none.
    """

    node: str
    certificate: str
    ca: str
    broker: str = Field(examples=["broker.example:8883"])
    config: dict[str, Any] | None = None


class CertificateView(BaseModel):
    """A certificate that a node was issued."""

    serial: str
    issued_at: datetime
    not_after: datetime
    issued_for: str = Field(examples=["claim"])
    revoked_at: datetime | None
    revoked_by: str | None


class RevokedView(BaseModel):
    """How many certificates were revoked now."""

    revoked: int


@router.post("", status_code=HTTPStatus.CREATED)
async def make_code(services: ServicesDep, identity: SomebodyDep, body: NewCodeBody) -> CodeView:
    """Make a code for a node; the node's unused one is void."""
    require(identity, May.MANAGE_BOXES)
    _issuer(services)
    await _count(services, identity.actor, CODES_A_MINUTE)
    code, now = new_code(), services.clock()
    async with services.scoped(identity) as connection:
        await _place(connection, identity, body.node)
        await claims.add_code(
            connection, digest(plain(code)), body.node, identity.actor, now, now + CODE_LASTS
        )
    return CodeView(code=code, node=body.node, expires_at=now + CODE_LASTS)


@router.post("/redeem")
async def redeem(request: Request, services: ServicesDep, body: RedeemBody) -> GrantView:
    """Exchange a code for a certificate; the same key gets the same answer while the code lasts."""
    issuer = _issuer(services)
    await _count(services, _address(request), TRIES_A_MINUTE)
    key, now = pki.key_of(body.request.encode()), services.clock()
    async with services.pool.scoped(EVERYWHERE) as connection:
        node = await claims.use_code(connection, digest(plain(body.code)), key, now)
        where = await claims.place(connection, node, None) if node else None
        if where is None:
            detail = "This code is not good: it was never given, was used, or has expired. Ask for a new one."
            raise Denied(HTTPStatus.FORBIDDEN, "bad_code", detail)
        pem = await _first(connection, issuer, where, body, key, now)
        config = await claims.first_config(connection, where)
    return _grant(issuer, where.node, pem, config)


@router.post("/renew")
async def renew(request: Request, services: ServicesDep, body: RenewBody) -> GrantView:
    """Give a box its next certificate for its present one; that one stays good until its end."""
    issuer = _issuer(services)
    await _count(services, _address(request), TRIES_A_MINUTE)
    asked, now = body.request.encode(), services.clock()
    node = pki.node_of(issuer.authority, body.certificate.encode(), asked, _proof(body.proof), now)
    serial = pki.serial_of(pki.read_certificate(body.certificate.encode()))
    async with services.pool.scoped(EVERYWHERE) as connection:
        if not await claims.is_good(connection, serial, node):
            detail = "This certificate was revoked, or its node is out of service: claim the box anew."
            raise Denied(HTTPStatus.FORBIDDEN, "revoked", detail)
        pem = await _issued(connection, issuer, node, asked, "renewal", now)
    return _grant(issuer, node, pem, None)


@router.get("/revoked", response_class=Response)
async def get_revoked(services: ServicesDep) -> Response:
    """Give the list of revoked certificates (PEM), signed, good for 30 days; for the broker's `crlfile`."""
    issuer, now = _issuer(services), services.clock()
    async with services.pool.scoped(EVERYWHERE) as connection:
        listed = await claims.revoked(connection, now)
    made = pki.revocation_list(issuer.authority, listed, now)
    return Response(made, media_type="application/x-pem-file")


@router.get("/nodes/{node}")
async def list_certificates(
    services: ServicesDep, identity: SomebodyDep, node: NodePath
) -> list[CertificateView]:
    """List what a node was issued, newest first."""
    require(identity, May.MANAGE_BOXES)
    async with services.scoped(identity) as connection:
        await _place(connection, identity, node)
        found = await claims.certificates(connection, node)
    names = CertificateView.model_fields
    return [CertificateView.model_validate({name: getattr(one, name) for name in names}) for one in found]


@router.delete("/nodes/{node}")
async def revoke(services: ServicesDep, identity: SomebodyDep, node: NodePath) -> RevokedView:
    """Revoke all of a node's certificates, and void its codes: the box was stolen, or is replaced."""
    require(identity, May.MANAGE_BOXES)
    async with services.scoped(identity) as connection:
        await _place(connection, identity, node)
        count = await claims.revoke(connection, node, identity.actor, services.clock())
    return RevokedView(revoked=count)


def new_code() -> str:
    """Make a code, in groups of four."""
    symbols = "".join(secrets.choice(ALPHABET) for _ in range(SYMBOLS))
    return "-".join(symbols[at : at + 4] for at in range(0, SYMBOLS, 4))


def plain(code: str) -> str:
    """Return a code as it counts: without what people add, and with what they meant."""
    return code.upper().translate(str.maketrans("OIL", "011", " -\t"))


async def _first(
    connection: Connection, issuer: Issuer, where: Place, body: RedeemBody, key: bytes, now: datetime
) -> str:
    """Return the certificate for a good code, and shut out what the node had before."""
    if await claims.certificate_of(connection, key) is None:
        await claims.revoke(connection, where.node, claims.SUPERSEDED, now)
    return await _issued(connection, issuer, where.node, body.request.encode(), "claim", now)


async def _issued(
    connection: Connection, issuer: Issuer, node: str, asked: bytes, issued_for: str, now: datetime
) -> str:
    """Sign a request, unless its key has been given a certificate already: then that one."""
    key = pki.key_of(asked)
    if found := await claims.certificate_of(connection, key):
        if found.node != node or found.revoked_at is not None:
            raise Rejected("used_key", "this key belongs to another claim; let the box make a new one")
        return found.pem
    issued = pki.sign_box(issuer.authority, asked, node, now)
    await claims.keep(connection, node, key, issued, issued_for, now)
    return issued.pem.decode()


def _grant(issuer: Issuer, node: str, pem: str, config: dict[str, Any] | None) -> GrantView:
    return GrantView(
        node=node, certificate=pem, ca=issuer.authority.pem.decode(), broker=issuer.broker, config=config
    )


def _issuer(services: Services) -> Issuer:
    if services.issuer is None:
        detail = "The platform has no authority for boxes: set VIGIL_API_DEVICE_CA and VIGIL_API_BROKER."
        raise Denied(HTTPStatus.SERVICE_UNAVAILABLE, "no_authority", detail)
    return services.issuer


async def _place(connection: Connection, identity: Identity, node: str) -> Place:
    """Return where a node of the caller's estates stands."""
    estates = identity.scope.estates
    where = await claims.place(connection, node, None if estates is None else sorted(estates))
    if where is None:
        raise NotFound("node", node)
    return where


async def _count(services: Services, source: str, most: int) -> None:
    """Count an attempt, which counts also where what follows is refused.

    Raises:
        Denied: 429.
    """
    async with services.pool.transaction() as connection:
        tried = await claims.count_attempt(connection, source, services.clock())
    if tried > most:
        raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "too_many", "Too many attempts; wait a minute.")


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _proof(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Rejected("not_ours", "the proof is not base64") from None
