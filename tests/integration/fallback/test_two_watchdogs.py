"""Two watchdogs look at each other, and call a dead man's switch outside both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from deploy.embedded.servers import free_port
from tests.integration.fallback.test_canary_way import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@contextmanager
def dead_mans_switch() -> Iterator[tuple[str, list[str]]]:
    """A service that is called while somebody lives."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", called
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watchdog(folder: Path, page: int, peer: int, heartbeat: str) -> subprocess.Popen[bytes]:
    """Start one beside a platform that is not there: what counts here is the other watchdog."""
    nowhere = free_port()
    environment = os.environ | {
        "VIGIL_MQTT_PORT": str(nowhere),
        "VIGIL_FALLBACK_API": f"http://127.0.0.1:{nowhere}",
        "VIGIL_FALLBACK_STATE": str(folder / f"{page}.db"),
        "VIGIL_FALLBACK_CANARIES": f"c1/e1/canary-{page}",
        "VIGIL_FALLBACK_PORT": str(page),
        "VIGIL_FALLBACK_PEER": f"http://127.0.0.1:{peer}/",
        "VIGIL_FALLBACK_HEARTBEAT": f"{heartbeat}/{page}",
    }
    return subprocess.Popen([sys.executable, "-m", "fallback"], env=environment)


def causes(page: int) -> list[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/verdict.json", timeout=5) as answer:
            said: list[str] = json.load(answer)["estates"]["e1"]["causes"]
            return said
    except OSError:
        return ["it does not answer"]


def test_the_one_that_is_left_tells_of_the_others_death_and_both_called_the_switch(tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    with dead_mans_switch() as (url, called):
        processes = [watchdog(tmp_path, one, two, url), watchdog(tmp_path, two, one, url)]
        try:
            until(lambda: {f"/{one}", f"/{two}"} <= set(called), 60)
            until(lambda: not any(each.startswith("peer") for each in causes(one) + causes(two)), 60)
            processes[1].kill()
            until(lambda: any(each.startswith("peer") for each in causes(one)), 60)
        finally:
            for process in processes:
                process.terminate()
                process.wait(20)
