"""Logs, metrics and the small server for ops that every process carries.

`/metrics` for Prometheus; `/healthz`: the process lives; `/readyz`: it can do its work,
with each check by name, and how far it has come with each kind of work.  Checks and progress
read state and never wait.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import msgspec
import structlog
from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.progress import Progress

Check = Callable[[], str | None]
"""Returns None when all is well, else what is wrong in a few words."""


def configure_logging(process: str, form: str, level: str) -> None:
    """Send structured logs to standard error, one event a line.

    Args:
        process: Name of the room, on every line.
        form: `json`, or `console` for people.
        level: Lowest level that is written.
    """
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


@contextmanager
def ops_server(
    host: str, port: int, checks: Mapping[str, Check], progress: Mapping[str, Progress] | None = None
) -> Iterator[int]:
    """Serve `/metrics`, `/healthz` and `/readyz` from a thread while the context lasts.

    Args:
        host: Address to bind.
        port: 0 asks the system for a free one.
        checks: What must be well for `/readyz` to say so; may grow later.
        progress: How far each kind of work has come.

    Yields:
        The port.

    Raises:
        Stop: The port is taken.
    """
    try:
        server = make_server(
            host, port, _app(checks, progress or {}), ThreadingWSGIServer, handler_class=_Quiet
        )
    except OSError as error:
        raise Stop(f"VIGIL_OPS_PORT {port} on {host} cannot be used: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ops-server", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Say nothing: scrapes are not news."""


def _app(
    checks: Mapping[str, Check], progress: Mapping[str, Progress]
) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    metrics: Callable[[dict[str, Any], Any], Iterable[bytes]] = make_wsgi_app(REGISTRY)

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start)
        if path == "/healthz":
            return _answer(start, HTTPStatus.OK, {"status": "ok"})
        if path == "/readyz":
            return _ready(start, checks, progress)
        return _answer(start, HTTPStatus.NOT_FOUND, {"error": "/metrics, /healthz or /readyz"})

    return app


def _ready(start: Any, checks: Mapping[str, Check], progress: Mapping[str, Progress]) -> Iterable[bytes]:
    results = {name: _result(check) for name, check in dict(checks).items()}
    well = not any(results.values())
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    body: dict[str, object] = {"ready": well, "checks": {n: r or "ok" for n, r in results.items()}}
    if progress:
        body["progress"] = {name: msgspec.to_builtins(work()) for name, work in progress.items()}
    return _answer(start, status, body)


def _result(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - what cannot even be checked is not well
        return f"{type(error).__name__}: {error}"


def _answer(start: Any, status: HTTPStatus, body: object) -> Iterable[bytes]:
    start(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
