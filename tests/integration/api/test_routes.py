"""Routes to people as they are: receivers that hang, refuse, and lie; a worker killed in the middle."""

from __future__ import annotations

import asyncio
import signal
import socketserver
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pytest
from pydantic import SecretStr

from api.escalation import channels
from api.escalation.channels import AppriseSender
from api.escalation.messages import Message
from tests.integration.api.conftest import REGISTRY, detection
from tests.integration.api.test_process import running
from vigil.alerts import Priority
from vigil.clock import utc_now
from vigil.errors import Unavailable
from vigil.store import accounts, alerts, escalation
from vigil.store.accounts import NewAccount
from vigil.store.alerts import NewAlert
from vigil.store.detections import insert_detections
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
MESSAGE = Message("紧急：跌倒", "一区 · 3号楼\n点此接手：http://console/take/x")


@dataclass
class Receiver:
    """A server on the loopback that behaves as it is told to.

    Attributes:
        heard: What was sent to it.
        port: Where it listens.
        hangs: Answers nothing until it is let go.
    """

    answer: bytes
    heard: list[bytes] = field(default_factory=list)
    port: int = 0
    hangs: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)


class _Http(socketserver.StreamRequestHandler):
    receiver: ClassVar[Receiver]

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.receiver.heard.append(self.rfile.read(length))
        if self.receiver.hangs:
            self.receiver.let_go.wait()
        self.wfile.write(self.receiver.answer)


class _Smtp(socketserver.StreamRequestHandler):
    receiver: ClassVar[Receiver]

    def handle(self) -> None:
        if self.receiver.hangs:
            self.receiver.let_go.wait()
            return
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                body = b""
                while (part := self.rfile.readline()).strip() != b".":
                    body += part
                self.receiver.heard.append(body)
                self.wfile.write(self.receiver.answer)
                if not self.receiver.answer:
                    return
            elif line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_who: Any) -> None:
        """A client that has given up is no error of ours."""


@contextmanager
def serving(kind: type[_Http | _Smtp], receiver: Receiver) -> Iterator[Receiver]:
    handler = type("Handler", (kind,), {"receiver": receiver})
    with _Server(("127.0.0.1", 0), handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.let_go.set()
            server.shutdown()
            thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"


def url_of(kind: type[_Http | _Smtp], receiver: Receiver) -> str:
    if kind is _Http:
        return f"json://127.0.0.1:{receiver.port}/notice"
    return f"mailto://127.0.0.1:{receiver.port}?from=vigil@example.org&to=li@example.org&mode=insecure"


def send(url: str) -> None:
    asyncio.run(AppriseSender().send(url, MESSAGE))


@pytest.mark.parametrize(("kind", "answer"), [(_Http, OK), (_Smtp, b"250 taken\r\n")])
def test_a_route_that_takes_a_notice_has_all_of_it(kind: type[_Http | _Smtp], answer: bytes) -> None:
    with serving(kind, Receiver(answer)) as receiver:
        send(url_of(kind, receiver))
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(_Http, REFUSED), (_Http, b"what?\r\n\r\n"), (_Http, b""), (_Smtp, b"554 no\r\n"), (_Smtp, b"")],
)
def test_a_route_that_refuses_or_answers_nonsense_is_a_route_that_fails(
    kind: type[_Http | _Smtp], answer: bytes
) -> None:
    with serving(kind, Receiver(answer)) as receiver, pytest.raises(Unavailable):
        send(url_of(kind, receiver))


@pytest.mark.parametrize("kind", [_Http, _Smtp])
def test_a_route_that_hangs_is_given_up_in_time_for_the_next_contact(
    kind: type[_Http | _Smtp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SEND_S", 0.3)

    async def give_up(url: str) -> None:
        with pytest.raises(Unavailable, match="no answer within"):
            await AppriseSender().send(url, MESSAGE)
        receiver.let_go.set()  # so that the thread, which nobody can cancel, ends

    with serving(kind, Receiver(OK, hangs=True)) as receiver:
        asyncio.run(give_up(url_of(kind, receiver)))


def test_a_route_that_is_not_there_is_a_route_that_fails() -> None:
    with serving(_Http, Receiver(OK)) as gone:
        pass
    with pytest.raises(Unavailable):
        send(url_of(_Http, gone))


async def _night(database: str, url: str) -> None:
    """An officer on duty with one contact, and a fall."""
    now = utc_now()
    found = detection(1, "resident:r1", "fall", "e1", "r1", None, now)
    new = NewAlert(
        id=found.id,
        subject=found.subject,
        kind="fall",
        priority=Priority.CRITICAL,
        estate="e1",
        zone="z1",
        resident="r1",
        event_time=now,
        summary={"en": "Hard impact", "zh": "剧烈撞击"},
        synthetic=None,
        detection=found.id,
    )
    async with open_pool(SecretStr(database), "test", 1) as pool, pool.transaction() as connection:
        await connection.execute(REGISTRY)
        await accounts.put_account(connection, NewAccount("li", "Li", "duty_officer", ("*",)), None)
        await escalation.put_contact(connection, "li", 0, "message", url, now)
        await insert_detections(connection, [found])
        await alerts.raise_alert(connection, new, now)


def _wait_until(receiver: Receiver, count: int) -> None:
    """Wait until something was sent; the limit only ends a test that has failed."""
    deadline = time.monotonic() + 60
    while len(receiver.heard) < count:
        assert time.monotonic() < deadline, "nothing was sent"
        time.sleep(0.02)


def test_a_process_killed_between_claim_and_record_says_it_again_with_a_label(database: str) -> None:
    with serving(_Http, Receiver(OK, hangs=True)) as receiver:
        asyncio.run(_night(database, url_of(_Http, receiver)))
        with running(database) as (process, _):
            _wait_until(receiver, 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        receiver.hangs = False
        with psycopg.connect(database, autocommit=True) as connection:
            claimed = connection.execute("SELECT FROM notice WHERE tries = 1 AND sent_at IS NULL")
            assert claimed.fetchall()
            connection.execute("UPDATE notice SET due_at = now() WHERE sent_at IS NULL")  # the lease is over
        before = len(receiver.heard)
        with running(database):
            _wait_until(receiver, before + 1)
    assert "【重复通知】".encode() not in receiver.heard[0]
    assert b"\\u3010\\u91cd\\u590d" in receiver.heard[before] or "【重复".encode() in receiver.heard[before]
