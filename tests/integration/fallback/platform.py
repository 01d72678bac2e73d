"""The least that a canary meets: receipts from a real broker, and the three routes of the API."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from fallback.canary import Run
from vigil import events, mqtt
from vigil.events import Receipt
from vigil.topics import Kind, every_node, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    import paho.mqtt.client as paho

    from vigil.settings import MqttSettings


class FakePlatform:
    """Stores and alerts whatever comes, and remembers what was asked of it.

    Attributes:
        seen: The canaries that came by MQTT.
        asked: Actions on alerts, as (action, body).
    """

    def __init__(self, settings: MqttSettings) -> None:
        self.seen: list[events.Envelope] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._frames: queue.Queue[str] = queue.Queue()
        self._settings = settings
        self._subscribed = threading.Event()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve while the context lasts; gives the API's address."""
        client = mqtt.client(self._settings, "fake-platform", window=20, clean=True)
        client.on_connect = mqtt.guarded(lambda c, *_: c.subscribe(every_node(Kind.ALARM), 1))
        client.on_subscribe = mqtt.guarded(lambda *_: self._subscribed.set())
        client.on_message = mqtt.guarded(self._take)
        mqtt.connect(client, self._settings, window=20, clean=True)
        client.loop_start()
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            assert self._subscribed.wait(10)
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self._frames.put("")
            server.shutdown()
            thread.join()
            server.server_close()
            client.disconnect()
            client.loop_stop()

    def _take(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        topic, envelope = parse(message.topic), events.decode(bytes(message.payload))
        events.check_origin(envelope, topic)
        self.seen.append(envelope)
        receipt = Receipt(boot=envelope.boot, lane=envelope.lane, stored=envelope.seq)
        client.publish(topic.address.topic(Kind.RECEIPT), events.encode(receipt), 1)
        alert = Run(envelope.id, "e1", "n", envelope.time).alert
        self._frames.put(f"id: 1\nevent: raise\ndata: {json.dumps(shown(alert))}\n\n")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/api/v1/stream"):
                    self._stream()
                else:
                    self._answer({"alerts": [], "change": 0})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                platform.asked.append((self.path.rpartition("/")[2], body))
                self._answer({"version": body["version"] + 1})

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                while frame := platform._frames.get():
                    self.wfile.write(frame.encode())
                    self.wfile.flush()

            def _answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


def shown(alert: UUID) -> dict[str, Any]:
    return {"id": str(alert), "state": "raised", "version": 1, "synthetic": "canary"}
