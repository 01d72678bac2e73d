"""Writes: in one transaction, at most once per idempotency key, on the version that was seen.

Neighbours: every route that changes something other than an alert (whose steps carry their
version and actor, and are repeatable by that).  `vigil.store.once` keeps the answers.

`Idempotency-Key` makes a repeat harmless when an answer was lost: within 24 h the same key with
the same request gets the first answer again, marked `Idempotency-Replayed`; with another
request it is refused.  A write that failed keeps nothing, and may be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.access import Identity
from api.auth import SomebodyDep
from api.problems import Denied
from api.services import Services, ServicesDep
from vigil.errors import Rejected
from vigil.store import once
from vigil.store.once import Answered
from vigil.store.pool import Connection

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]*$",
        description="Made up by the caller, once per write; a repeat gets the first answer again",
        examples=["6f1c0c1e-7d9c-4a52-9c4e-0a4f2b1d7f55"],
    ),
]


@dataclass(frozen=True, slots=True)
class Done:
    """What a write has led to; `body` None is an answer without one."""

    body: BaseModel | None
    status: int = HTTPStatus.OK
    version: int | None = None
    location: str | None = None

    def answer(self, request: bytes) -> Answered:
        """Put it into the words of HTTP."""
        headers = {} if self.version is None else {"ETag": etag(self.version)}
        headers |= {} if self.location is None else {"Location": self.location}
        status = self.status if self.body is not None else HTTPStatus.NO_CONTENT
        return Answered(request, int(status), headers, self.body.model_dump_json() if self.body else "")


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one caller."""

    services: Services
    identity: Identity
    key: str | None
    request: bytes

    async def __call__(self, do: Callable[[Connection], Awaitable[Done]]) -> Response:
        """Do it, unless it was done before.

        Args:
            do: Does it on a connection in a transaction, which also keeps the answer.
        """
        async with self.services.scoped(self.identity) as connection:
            found = await self._before(connection)
            if found is not None:
                return _response(found, {"Idempotency-Replayed": "true"})
            answer = (await do(connection)).answer(self.request)
            if self.key is not None:
                await once.keep(connection, self.identity.actor, self.key, answer)
        return _response(answer, {})

    async def _before(self, connection: Connection) -> Answered | None:
        """Claim the key; return the answer that was given to it before.

        Raises:
            Rejected: `key_reused`: the key was used for another request.
        """
        if self.key is None:
            return None
        now = self.services.clock()
        if await once.claim(connection, self.identity.actor, self.key, self.request, now):
            return None
        found = await once.find(connection, self.identity.actor, self.key)
        if found is None or found.request != self.request:
            raise Rejected("key_reused", "this Idempotency-Key belongs to another request; make up a new one")
        return found


def _response(answer: Answered, more: Mapping[str, str]) -> Response:
    media_type = "application/json" if answer.body else None
    return Response(answer.body or None, answer.status, {**answer.headers, **more}, media_type)


async def _write(
    request: Request, services: ServicesDep, identity: SomebodyDep, key: KeyHeader = None
) -> Write:
    asked = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body())
    asked.update(request.headers.get("If-Match", "").encode())
    return Write(services, identity, key, asked.digest())


WriteDep = Annotated[Write, Depends(_write)]


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


def seen(if_match: str | None) -> int:
    """Return the version that a change was decided on.

    Raises:
        Denied: 428 where the request names none.
    """
    digits = (if_match or "").strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        detail = "Send the ETag of what you have seen as If-Match."
        raise Denied(HTTPStatus.PRECONDITION_REQUIRED, "version_required", detail)
    return int(digits)


def check_version(if_match: str | None, version: int) -> None:
    """Refuse a change that was decided on an older version.

    Raises:
        Denied: 428 or 412.
    """
    if seen(if_match) != version:
        detail = f"It was changed meanwhile and is at version {version} now; look at it again."
        raise Denied(HTTPStatus.PRECONDITION_FAILED, "changed", detail)
