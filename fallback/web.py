"""The little of HTTP that the watchdog's own page needs, on the standard library alone.

Used by `page`.  The page must work when nothing else does, so there is no framework
between it and the socket: a table of routes, forms, a signed cookie, a token in each form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client.exposition import ThreadingWSGIServer

from vigil.errors import Conflict, NotFound, Rejected, Stop, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vigil.errors import VigilError

MAX_FORM: Final = 256 * 1024
"""Bytes of a form; a keyed-in paper takes 2 kB."""
COOKIE: Final = "vigil_fallback"
SLOW_S: Final = 20.0
"""A client that says nothing for so long loses its thread."""
_HEADERS: Final = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
]
_STATUS: Final[dict[type[VigilError], HTTPStatus]] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Rejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What a browser asks for.

    Attributes:
        path: Without the query.
        query: The query's fields.
        form: A form's fields; of a field that stands several times, the last.
        person: Name of who has signed in, or None.
    """

    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    person: str | None = None

    def field(self, name: str) -> str:
        """Return a field that the form must have.

        Raises:
            Rejected: `incomplete`; it is missing or empty.
        """
        value = self.form.get(name, "").strip()
        if not value:
            raise Rejected("incomplete", f"{name} is missing")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    """What the browser is given."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())


def see(path: str, *headers: tuple[str, str]) -> Response:
    """Send the browser on, so that reloading does not repeat the action."""
    return Response(b"", HTTPStatus.SEE_OTHER, headers=(("Location", path), *headers))


class Signer:
    """Signs the cookie that says who somebody is, and the token that a form carries."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cookie(self, person: str) -> tuple[str, str]:
        """Return the header that signs a person in."""
        name = base64.urlsafe_b64encode(person.encode()).decode()
        value = f"{name}.{self._mac('person', name)}"
        return ("Set-Cookie", f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict")

    def person(self, cookies: str) -> str | None:
        """Return who a browser's cookies say it is, where we have signed them."""
        morsel = SimpleCookie(cookies).get(COOKIE)
        name, _, mac = morsel.value.partition(".") if morsel else ("", "", "")
        if not name or not hmac.compare_digest(mac, self._mac("person", name)):
            return None
        return base64.urlsafe_b64decode(name).decode()

    def token(self, person: str) -> str:
        """Return the token of this person's forms."""
        return self._mac("form", person)

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def application(
    routes: Mapping[tuple[str, str], Callable[[Request], Response]],
    signer: Signer,
    wrong: Callable[[Request, HTTPStatus, str], Response],
    public: frozenset[str],
) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Return a WSGI application.

    Args:
        routes: (method, path) -> handler; a path that ends with `/*` takes what follows too.
        signer: Of cookies and forms.
        wrong: Shows an error to people.
        public: Paths that need nobody signed in.
    """

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        request = _request(environ, signer)
        try:
            response = _dispatch(request, routes, signer, public)
        except (NotFound, Rejected, Conflict, Unavailable) as error:
            response = wrong(request, _STATUS[type(error)], str(error))
        headers = [("Content-Type", response.type), ("Content-Length", str(len(response.body)))]
        start(f"{response.status.value} {response.status.phrase}", [*headers, *_HEADERS, *response.headers])
        return [response.body]

    return app


def _request(environ: dict[str, Any], signer: Signer) -> Request:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = min(int(length), MAX_FORM) if length.isdecimal() else 0
    form = environ["wsgi.input"].read(size).decode("utf-8", "replace") if size else ""
    return Request(
        method=environ["REQUEST_METHOD"],
        # WSGI hands the path over as bytes in Latin-1 clothes (PEP 3333).
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        query=dict(parse_qsl(environ.get("QUERY_STRING", ""))),
        form=dict(parse_qsl(form)),
        person=signer.person(environ.get("HTTP_COOKIE", "")),
    )


def _dispatch(
    request: Request,
    routes: Mapping[tuple[str, str], Callable[[Request], Response]],
    signer: Signer,
    public: frozenset[str],
) -> Response:
    handler = _handler(request, routes)
    if request.path not in public:
        if request.person is None:
            return see("/login")
        if request.method == "POST":
            _check_token(request, signer.token(request.person))
    return handler(request)


def _handler(
    request: Request, routes: Mapping[tuple[str, str], Callable[[Request], Response]]
) -> Callable[[Request], Response]:
    found = routes.get((request.method, request.path))
    family = request.path.rpartition("/")[0] + "/*"
    found = found or routes.get((request.method, family))
    if found is None:
        raise NotFound("page", request.path)
    return found


def _check_token(request: Request, token: str) -> None:
    if not hmac.compare_digest(request.form.get("token", ""), token):
        raise Rejected("forged", "the form did not come from this page; open the page again")


class _Quiet(WSGIRequestHandler):
    timeout = SLOW_S

    def log_message(self, *_args: object) -> None:
        """Say nothing: the log of what people did is the store's."""


class _Server(ThreadingWSGIServer):
    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A browser that goes away is no error of ours; anything else is logged with its trace."""
        _log.info("the page's client failed", client=client_address, exc_info=True)


@contextmanager
def serving(host: str, port: int, app: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> Iterator[int]:
    """Serve an application from threads while the context lasts.

    Args:
        host: Address to bind.
        port: 0 asks the system for a free one.
        app: The application.

    Yields:
        The port.

    Raises:
        Stop: The port is taken.
    """
    try:
        server = make_server(host, port, app, _Server, handler_class=_Quiet)
    except OSError as error:
        raise Stop(f"VIGIL_FALLBACK_PORT {port} on {host} cannot be used: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="page", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
