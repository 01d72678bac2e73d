"""`/api/v1/session`: signing in and out for programs that keep a cookie; pages use forms.

Neighbour: `api.auth` does the work; `api.console.pages` has the same for people.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.access import Role
from api.auth import SomebodyDep
from api.problems import RESPONSES, Problem
from api.services import ServicesDep

if TYPE_CHECKING:
    from api.auth import Opened

router = APIRouter(prefix="/api/v1/session", tags=["session"], responses=RESPONSES)

TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {
    429: RESPONSES[401] | {"model": Problem, "description": HTTPStatus(429).phrase}
}


class Credentials(BaseModel):
    """A local account's name and password."""

    model_config = ConfigDict(extra="forbid")

    account: str = Field(min_length=1, max_length=64, examples=["li.na"])
    password: str = Field(min_length=1, max_length=1024)
    code: str = Field("", max_length=64, description="Where the account has a second factor")


class Me(BaseModel):
    """Who one is; `csrf` goes into `X-CSRF-Token` with every change."""

    actor: str = Field(examples=["person:li.na"])
    name: str
    role: Role
    estates: list[str]
    csrf: str | None


@router.post("", status_code=HTTPStatus.NO_CONTENT, responses=TOO_MANY)
async def begin(request: Request, services: ServicesDep, credentials: Credentials) -> Response:
    """Sign in; the answer sets the session's cookie."""
    before = request.cookies.get(auth.COOKIE)
    async with auth.counting_failures(services, request):
        opened = await auth.log_in(
            services, credentials.account, credentials.password, credentials.code, before
        )
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    set_cookie(request, response, opened)
    return response


@router.get("")
async def me(identity: SomebodyDep) -> Me:
    """Say who one is."""
    return Me(
        actor=identity.actor,
        name=identity.name,
        role=identity.role,
        estates=sorted(identity.estates),
        csrf=identity.csrf,
    )


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
async def end(request: Request, services: ServicesDep, _identity: SomebodyDep) -> Response:
    """Sign out."""
    await auth.log_out(services, request)
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(auth.COOKIE)
    return response


def set_cookie(request: Request, response: Response, opened: Opened) -> None:
    """Give a browser its session; over HTTPS it never sends it in the clear."""
    response.set_cookie(
        auth.COOKIE,
        opened.secret,
        max_age=int(opened.lasts.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
