"""Every error as RFC 9457 problem details: what happened, and what the caller can do.

Neighbours: routes raise the errors of `vigil.errors` or `Denied`; this module alone turns them
into answers, so that one error reads the same wherever it happens.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from vigil.errors import Conflict, NotFound, Rejected, Unavailable, VigilError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request, Response

MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "urn:vigil:problem:"
RETRY_AFTER_S: Final = 2
_NOT_SO: Final = "The request is not as it should be"
_log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """An error as RFC 9457 has it.

    Attributes:
        type: Names the kind of problem, for programs.
        title: The kind of problem, for people.
        status: The HTTP status again.
        detail: What happened this time, and the remedy.
        instance: The path asked for.
        holder: With `conflict`: the name of who has it, where somebody does.
        version: With `conflict`: the alert's present version.
        errors: With `invalid`: where in the request, what is wrong there, a constant that names it (`code`),
            and the limit that was passed, where it is one.
    """

    type: str = Field(examples=[TYPES + "conflict"])
    title: str = Field(examples=["Somebody else was first"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["Li Na has this alert."])
    instance: str = Field(examples=["/api/v1/alerts/0b9b…/acknowledge"])
    holder: str | None = None
    version: int | None = None
    errors: list[dict[str, str]] | None = None


class Denied(VigilError):
    """The caller has not shown who they are, or may not do this.

    Attributes:
        status: 401, 403, or 429.
        kind: A short constant, such as `no_session`.
        retry_after_s: With 429: when the caller may come again.
    """

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, *, retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class Taken(Conflict):
    """A conflict about an alert, with the name for people and the version to go on from.

    Attributes:
        holder: Name of who has it, or None.
        version: Present version.
    """

    def __init__(self, holder: str | None, version: int) -> None:
        super().__init__("this alert", holder)
        self.version = version


class Invalid(Rejected):
    """A field holds what cannot be, in view of everything else; names the field and the remedy.

    Attributes:
        pointer: Where in the request, such as `/body/home`.
        code: A short constant, by which the console says it in its own language.
    """

    def __init__(self, pointer: str, detail: str, code: str = "invalid") -> None:
        self.pointer = pointer
        self.code = code
        super().__init__("invalid", f"{pointer}: {detail}")


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(code).phrase}
    for code in (400, 401, 403, 404, 409, 412, 422, 428, 429, 503)
}
"""What the OpenAPI document says of errors."""


def answer(request: Request, status: int, kind: str, title: str, detail: str, **more: Any) -> Response:
    """Build the answer for one problem."""
    if wants_page(request):
        page: Response = request.app.state.error_page(request, status)
        return page
    body = {"type": TYPES + kind, "title": title, "status": status, "detail": detail}
    body |= {"instance": request.url.path, **more}
    return JSONResponse(body, status, _headers(status), MEDIA_TYPE)


def _headers(status: int) -> Mapping[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="vigil"'}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {}


def wants_page(request: Request) -> bool:
    """Whether a person is looking: a browser that asks for a page, not for the API."""
    return "text/html" in request.headers.get("Accept", "") and not request.url.path.startswith("/api/")


def install(app: FastAPI) -> None:
    """Make an application answer every error as a problem, and to people as a page.

    `app.state.error_page` makes the page of a status.
    """
    app.add_exception_handler(VigilError, _vigil)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _vigil(request: Request, error: Exception) -> Response:
    match error:
        case Denied():
            return _denied(request, error)
        case NotFound():
            return answer(request, 404, "not_found", "Not found", str(error))
        case Conflict():
            return _conflict(request, error)
        case Rejected():
            return _rejected(request, error)
        case Unavailable():
            return answer(request, 503, "unavailable", "Away for a moment", str(error))
        case _:
            return await _unexpected(request, error)


def _denied(request: Request, error: Denied) -> Response:
    response = answer(request, error.status, error.kind, error.status.phrase, str(error))
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return response


def _rejected(request: Request, error: Rejected) -> Response:
    if isinstance(error, Invalid):
        found = {"pointer": error.pointer, "detail": error.detail.removeprefix(f"{error.pointer}: ")}
        found["code"] = error.code
        return answer(request, 422, "invalid", _NOT_SO, error.detail, errors=[found])
    status = 409 if error.reason == "not_allowed" else 422
    return answer(request, status, error.reason, "Not possible like this", error.detail)


def _conflict(request: Request, error: Conflict) -> Response:
    detail = f"{error.holder} has it." if error.holder else "It was changed meanwhile; look at it again."
    version = error.version if isinstance(error, Taken) else None
    return answer(
        request, 409, "conflict", "Somebody else was first", detail, holder=error.holder, version=version
    )


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [_error(one) for one in found]
    detail = "; ".join(f"{e['pointer']}: {e['detail']}" for e in errors)
    return answer(request, 422, "invalid", _NOT_SO, detail, errors=errors)


_LIMITS: Final = ("max_length", "min_length", "ge", "gt", "le", "lt")


def _error(found: Mapping[str, Any]) -> dict[str, str]:
    """Say where something is wrong, what, and past which limit."""
    limits = [str(found["ctx"][name]) for name in _LIMITS if name in found.get("ctx", {})]
    said = {"pointer": "/" + "/".join(map(str, found["loc"])), "detail": str(found["msg"])}
    return said | {"code": str(found["type"])} | ({"limit": limits[0]} if limits else {})


async def _http(request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    return answer(request, status, status.name.lower(), status.phrase, status.description or status.phrase)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error", path=request.url.path, exc_info=error)
    return answer(request, 500, "internal", "Our fault", "Something went wrong here; it was written down.")
