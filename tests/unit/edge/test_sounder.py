from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
import structlog

from edge import sounder as sounders
from edge.config import HttpAlarm, LogAlarm, ShellAlarm
from edge.local_alarm import Sounding
from edge.sounder import Horn, sounder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio

SOUNDING = Sounding("d1", "d1-1", 20.4, None)


async def test_a_command_gets_the_alarm_as_its_last_arguments(tmp_path: Path) -> None:
    told = tmp_path / "told"
    horn = sounder(ShellAlarm(command=["sh", "-c", f'echo "$@" >> {told}', "horn"]))
    await horn.sound(SOUNDING)
    await horn.identify()
    assert told.read_text() == "alarm d1 d1-1 20\nidentify\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["/nowhere/siren"], "the local alarm's command cannot be run"),
        (["false"], "the local alarm's command failed"),
        (["sh", "-c", "exec sleep 60"], "the local alarm's command failed"),
    ],
    ids=["is not there", "fails", "hangs"],
)
async def test_a_command_that_is_no_use_is_logged(
    command: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sounders, "PATIENCE_S", 0.5)
    with structlog.testing.capture_logs() as logs:
        await sounder(ShellAlarm(command=command)).sound(SOUNDING)
    assert [entry["event"] for entry in logs] == [says]


@pytest.fixture
def siren() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A siren with a webhook, and what it was told."""
    told: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_siren_on_the_network_gets_json(siren: tuple[str, list[dict[str, object]]]) -> None:
    url, told = siren
    horn = sounder(HttpAlarm(url=url))
    await horn.sound(SOUNDING)
    await horn.identify()
    assert told == [{"alarm": "d1-1", "device": "d1", "silent_s": 20.4}, {"identify": True}]


async def test_a_siren_that_does_not_answer_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        await sounder(HttpAlarm(url="http://127.0.0.1:9/")).sound(SOUNDING)
    assert [entry["event"] for entry in logs] == ["the local alarm's address does not answer"]


async def test_a_new_config_changes_how_the_box_sounds(siren: tuple[str, list[dict[str, object]]]) -> None:
    url, told = siren
    horn = Horn(LogAlarm())
    horn.use(HttpAlarm(url=url))
    await horn.identify()
    assert told == [{"identify": True}]


async def test_without_a_siren_it_stands_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        await sounder(LogAlarm()).sound(SOUNDING)
    assert logs[0]["episode"] == "d1-1"
