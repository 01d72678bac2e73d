"""A webhook for sensors and hubs that speak HTTP.

Place in the flow: a source of `edge.__main__`.  `POST /devices/{address}` with a JSON object
in the names of `edge.sensors`, or with `quantity`, `interval_s` and `values` for batched
readings.  The answer comes when the events are durable: 200, or 503 when they cannot be.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from edge import sensors
from edge.reading import Reading, check
from edge.sensors import Known
from vigil.errors import Rejected
from vigil.events import Data, Readings, encode

if TYPE_CHECKING:
    from edge.config import Device, Http
    from edge.reading import Put
    from edge.sources import Context

MAX_BODY: Final = 64 * 1024
PATIENCE_S: Final = 10.0

Answer = Callable[[str, str, bytes], tuple[HTTPStatus, dict[str, object]]]
"""Takes path, authorization and body; returns the status and what to say."""


class HttpSource:
    """A small server, and the devices behind it.

    Attributes:
        port: Where it listens, once it runs.
    """

    def __init__(self, spec: Http, devices: list[Device], context: Context) -> None:
        self._spec, self._context = spec, context
        self._devices = {device.address or device.id: device for device in devices}
        self._known = {device.id: Known() for device in devices}
        self.port = spec.port

    async def run(self, put: Put) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()

        def answer(path: str, token: str, body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
            work = asyncio.run_coroutine_threadsafe(self._answer(path, token, body, put), loop)
            try:
                return work.result(PATIENCE_S)
            except TimeoutError:
                work.cancel()
                return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the spool has no room; try again later"}

        server = ThreadingHTTPServer((self._spec.host, self._spec.port), _handler(answer))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="webhook", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(server.shutdown)
            server.server_close()

    async def _answer(
        self, path: str, token: str, body: bytes, put: Put
    ) -> tuple[HTTPStatus, dict[str, object]]:
        if self._spec.token and not hmac.compare_digest(
            token.encode(), f"Bearer {self._spec.token}".encode()
        ):
            return HTTPStatus.UNAUTHORIZED, {"error": "the token is missing or wrong"}
        device = self._devices.get(unquote(path.removeprefix("/devices/")))
        if device is None or not path.startswith("/devices/"):
            return HTTPStatus.NOT_FOUND, {"error": "POST /devices/{address} of a device of this node"}
        try:
            readings = self._readings(device, body)
            for reading in readings:
                await put(reading)
        except Rejected as error:
            return HTTPStatus.BAD_REQUEST, {"error": error.detail}
        return HTTPStatus.OK, {"accepted": len(readings)}

    def _readings(self, device: Device, body: bytes) -> list[Reading]:
        events: list[Data]
        try:
            facts = msgspec.json.decode(body, type=dict[str, object])
            if "values" in facts:
                events = [msgspec.convert({**facts, "zone": device.zone}, Readings)]
                known = self._known[device.id]
            else:
                known, events = sensors.observed(device, facts, self._known[device.id])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected("malformed", str(error)) from None
        readings = [Reading(device.id, data, self._context.utc(), self._context.synthetic) for data in events]
        for reading in readings:
            check(reading)
        self._known[device.id] = known
        return readings


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY:
                self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {MAX_BODY} bytes"})
                return
            body = self.rfile.read(length)
            self._say(*answer(self.path, self.headers.get("Authorization", ""), body))

        def _say(self, status: HTTPStatus, said: dict[str, object]) -> None:
            raw = encode(said)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args: object) -> None:
            """Say nothing: what was accepted is counted, what was not is answered."""

    return Handler
