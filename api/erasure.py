"""`/api/v1/residents/{resident}/erasure`: erasing what is known of somebody, by two people.

Neighbours: `vigil.store.erasure` says what is destroyed and what stays.  One person writes the resident's
request down, another carries it out; until then it can be withdrawn.  What was done is certified: a JSON
text, signed with the key that the roster is signed with, and noted in the audit log.
"""

from __future__ import annotations

import base64
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.access import Identity, May
from api.auth import SomebodyDep, require
from api.fields import AccountPath, Body, Name
from api.once import Done, WriteDep
from api.problems import RESPONSES, Denied
from api.services import ServicesDep
from vigil.audit.chain import canonical
from vigil.errors import NotFound, Rejected
from vigil.roster import fingerprint
from vigil.store import accounts, erasure, own, residents
from vigil.store.erasure import Erasure

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from vigil.store.pool import Connection

router = APIRouter(prefix="/api/v1/residents", tags=["residents"], responses=RESPONSES)


class ErasureBody(Body):
    """A resident's request."""

    request: Name = Field(
        description="Where it is kept, never its words", examples=["letter 26-017, cabinet 3"]
    )


class ErasureView(BaseModel):
    """A request to erase, and what became of it.

    Attributes:
        certificate: What was done, as canonical JSON; the signature is over its bytes.
        signature: Ed25519, base64; None where the platform has no key, or nothing is done yet.
        key: Fingerprint of the key that signed.
    """

    resident: str
    request: str
    asked_by: str
    asked_at: datetime
    done_by: str | None
    done_at: datetime | None
    certificate: str | None
    signature: str | None
    key: str | None


@router.get("/{resident}/erasure")
async def get_erasure(services: ServicesDep, identity: SomebodyDep, resident: AccountPath) -> ErasureView:
    """Say whether somebody's data are to be erased, or were."""
    require(identity, May.ERASE)
    async with services.scoped(identity) as connection:
        return _view(await _found(connection, identity, resident))


@router.post("/{resident}/erasure", status_code=HTTPStatus.CREATED, response_model=ErasureView)
async def ask(write: WriteDep, identity: SomebodyDep, resident: AccountPath, body: ErasureBody) -> Response:
    """Write down that a resident asks for it; another person has to carry it out."""
    require(identity, May.ERASE)

    async def do(connection: Connection) -> Done:
        now = write.services.clock()
        await _resident(connection, identity, resident)
        await erasure.ask(connection, resident, body.request, identity.actor, now)
        await accounts.note_access(connection, resident, identity.actor, "erasure", "erasure asked", now)
        return Done(_view(await _found(connection, identity, resident)), HTTPStatus.CREATED)

    return await write(do)


@router.delete("/{resident}/erasure", status_code=HTTPStatus.NO_CONTENT)
async def withdraw(write: WriteDep, identity: SomebodyDep, resident: AccountPath) -> Response:
    """Take a request back, while it is not carried out."""
    require(identity, May.ERASE)

    async def do(connection: Connection) -> Done:
        found = await _found(connection, identity, resident)
        if not await erasure.withdraw(connection, found.id, identity.actor, write.services.clock()):
            raise Rejected("not_allowed", "it was carried out; nothing brings the data back")
        return Done(None)

    return await write(do)


@router.post("/{resident}/erasure/carry-out", response_model=ErasureView)
async def carry_out(write: WriteDep, identity: SomebodyDep, resident: AccountPath) -> Response:
    """Erase, as the second person; nothing brings the data back."""
    require(identity, May.ERASE)

    async def do(connection: Connection) -> Done:
        await _resident(connection, identity, resident)
        services = write.services
        done = await perform(connection, resident, identity.actor, services.roster_key, services.clock())
        return Done(_view(done))

    return await write(do)


async def perform(
    connection: Connection, resident: str, actor: str, key: Ed25519PrivateKey | None, now: datetime
) -> Erasure:
    """Carry a request out, and certify it.

    Raises:
        NotFound: Nobody has asked for it.
        Denied: 403; the same person has.
        Rejected: `not_allowed`; it is done.
    """
    await own.act_for_platform(connection)
    found = await erasure.found(connection, resident, lock=True)
    if found is None:
        raise NotFound("erasure", resident)
    if found.done_at is not None:
        raise Rejected("not_allowed", "it was carried out already")
    if found.asked_by == actor:
        raise Denied(HTTPStatus.FORBIDDEN, "second_person", "Another person than who asked has to do it.")
    await accounts.note_access(connection, resident, actor, "erasure", "erasure done", now)
    removed = await erasure.erase(connection, resident, now)
    certificate = canonical(_facts(found, actor, removed, now))
    signature = None
    if key is not None:
        signed = base64.b64encode(key.sign(certificate.encode())).decode()
        signature = (signed, fingerprint(key.public_key()))
    await erasure.certify(connection, found.id, actor, now, certificate, signature)
    done = await erasure.found(connection, resident)
    assert done is not None, "its row is locked since it was read"  # noqa: S101 - for the type checker: nobody can have removed it
    return done


def _facts(found: Erasure, actor: str, removed: dict[str, int], now: datetime) -> dict[str, Any]:
    """Say what a certificate says; it names nobody but by id."""
    return {
        "resident": found.resident,
        "request": found.request,
        "asked_by": found.asked_by,
        "asked_at": found.asked_at.isoformat(),
        "done_by": actor,
        "done_at": now.isoformat(),
        "rows": removed,
        "key": "destroyed",
    }


async def _resident(connection: Connection, identity: Identity, resident: str) -> None:
    if await residents.resident(connection, resident, identity.scope) is None:
        raise NotFound("resident", resident)


async def _found(connection: Connection, identity: Identity, resident: str) -> Erasure:
    await _resident(connection, identity, resident)
    found = await erasure.found(connection, resident)
    if found is None:
        raise NotFound("erasure", resident)
    return found


def _view(found: Erasure) -> ErasureView:
    return ErasureView.model_validate(found, from_attributes=True)
