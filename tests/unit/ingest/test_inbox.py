"""A session at brokers that misbehave, as no real one can be made to: small servers of the test's own."""

from __future__ import annotations

import asyncio
import ssl
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from ingest import inbox as inboxes
from ingest import link as links
from ingest import wire
from ingest.inbox import Inbox
from ingest.link import opened
from tests.unit.ingest.test_wire import WELCOME, packet, publish
from vigil import runtime
from vigil.errors import Unavailable
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Script = Callable[["Peer"], Awaitable[None]]

pytestmark = pytest.mark.asyncio
WINDOW = 20
TOPICS = ["vigil/v1/+/+/+/alarm/+", "vigil/v1/+/+/+/state"]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PAUSE_S", 0.001)
    monkeypatch.setattr(runtime, "LONGEST_WAIT_S", 0.001)


class Peer:
    """A broker's end of one connection."""

    def __init__(self, protocol: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol, self._reader, self._writer = protocol, reader, writer

    async def packet(self) -> tuple[int, bytes]:
        head, length = await self._reader.readexactly(2)
        if length > 127:
            length = length & 127 | (await self._reader.readexactly(1))[0] << 7
        return head, await self._reader.readexactly(length)

    async def acknowledged(self, count: int) -> list[int]:
        """The packet ids of so many acknowledgements, in their order; signs of life left out."""
        mids: list[int] = []
        while len(mids) < count:
            head, body = await self.packet()
            if head == 0x40:
                mids.append(struct.unpack("!H", body)[0])
        return mids

    async def send(self, *raw: bytes) -> None:
        self._writer.write(b"".join(raw))
        await self._writer.drain()

    async def welcome(self, *, granted: bytes = b"\x01\x01") -> None:
        await self.greeted()
        while (await self.packet())[0] != 0x82:
            pass
        await self.send(packet(0x90, b"\x00\x01" + (b"\x00" if self.protocol == 5 else b"") + granted))

    async def published(self) -> tuple[str, int, bytes]:
        """The next message's topic, packet id and payload."""
        while True:
            head, body = await self.packet()
            if head >> 4 == 3:
                break
        at = 2 + struct.unpack("!H", body[:2])[0]
        (mid,) = struct.unpack("!H", body[at : at + 2])
        return body[2:at].decode(), mid, body[at + 2 + (self.protocol == 5) :]

    async def greeted(self, welcome: bytes = b"") -> None:
        assert (await self.packet())[0] == 0x10
        await self.send(welcome or WELCOME[self.protocol])

    async def acknowledge(self, *mids: int) -> None:
        await self.send(*(struct.pack("!HH", 0x4002, mid) for mid in mids))

    async def until_gone(self) -> None:
        while await self._reader.read(65536):
            pass

    def messages(self, first: int, last: int, *, size: int = 5) -> bytes:
        numbers = range(first, last + 1)
        return b"".join(publish(self.protocol, b"t", b"%0*d" % (size, n), n) for n in numbers)


class Broker:
    """Plays a script at each connection, the last one at all further ones."""

    def __init__(self, protocol: int, *scripts: Script) -> None:
        self.protocol, self._scripts = protocol, scripts
        self.connections = 0
        self.failure: BaseException | None = None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Peer(self.protocol, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except AssertionError as error:
            self.failure = error
        finally:
            writer.close()


async def gone(peer: Peer) -> None:
    await peer.welcome()
    await peer.until_gone()


@asynccontextmanager
async def serving(
    broker: Broker, context: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[MqttSettings]:
    server = await asyncio.start_server(broker, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield MqttSettings(mqtt_port=port, mqtt_protocol=broker.protocol, **settings)  # type: ignore[arg-type]
    finally:
        server.close()
        await server.wait_closed()
        if broker.failure is not None:
            raise broker.failure


@asynccontextmanager
async def inbox(broker: Broker, **settings: Any) -> AsyncIterator[Inbox]:
    async with serving(broker, **settings) as at, Inbox(at, "one", TOPICS, WINDOW) as made:
        yield made


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)


async def taken(box: Inbox, count: int) -> list[wire.Message]:
    got: list[wire.Message] = []
    while len(got) < count:
        got += await box.take(count - len(got))
    return got


@pytest.mark.parametrize("protocol", [4, 5])
async def test_what_comes_together_is_acknowledged_in_one_write_in_the_order_in_which_it_came(
    protocol: int,
) -> None:
    mids: list[int] = []
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 9))
        mids.extend(await peer.acknowledged(9))
        done.set()
        await peer.until_gone()

    async with inbox(Broker(protocol, script)) as box:
        messages = await taken(box, 9)
        assert [message.payload for message in messages] == [b"%05d" % n for n in range(1, 10)]
        assert mids == []
        box.acknowledge(messages)
        await done.wait()
    assert mids == list(range(1, 10))


async def test_a_sessions_old_messages_may_come_and_be_acknowledged_before_the_subscription_is_granted() -> (
    None
):
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        assert (await peer.packet())[0] == 0x10
        await peer.send(WELCOME[4], peer.messages(1, 2))
        assert await peer.acknowledged(2) == [1, 2]
        done.set()

    async with inbox(Broker(4, script, gone)) as box:
        box.acknowledge(await taken(box, 2))
        await done.wait()


async def test_after_garbage_the_connection_is_made_anew_and_nothing_was_acknowledged() -> None:
    async def rubbish(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 3), b"\xff\xff\xff\xff\xff\xff")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.acknowledged(1)

    async def sound(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 3))
        assert await peer.acknowledged(3) == [1, 2, 3]
        done.set()
        await peer.until_gone()

    done = asyncio.Event()
    broker = Broker(4, rubbish, sound)
    with structlog.testing.capture_logs() as logs:
        async with inbox(broker) as box:
            messages = await taken(box, 3)
            box.acknowledge(messages)
            await done.wait()
    assert {message.session for message in messages} == {2}
    assert "breaks the protocol: a length of more than four bytes" in str(logs)


async def test_what_was_taken_before_the_connection_broke_is_not_acknowledged_on_the_next_one() -> None:
    broken = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 2))
        await broken.wait()

    async def second(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(2, 3))
        assert await peer.acknowledged(2) == [2, 3]
        done.set()
        await peer.until_gone()

    done = asyncio.Event()
    broker = Broker(5, first, second)
    async with inbox(broker) as box:
        old = await taken(box, 2)
        broken.set()
        new = await taken(box, 2)
        box.acknowledge(old)
        box.acknowledge(new)
        await done.wait()


REFUSALS: dict[str, tuple[int, bytes, bytes]] = {
    "a password": (4, b"\x20\x02\x00\x04", b""),
    "a password, in MQTT 5": (5, b"\x20\x03\x00\x86\x00", b""),
    "a subscription": (4, WELCOME[4], b"\x01\x80"),
    "acknowledgement": (4, WELCOME[4], b"\x00\x01"),
    "half an answer": (4, WELCOME[4], b"\x01"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_a_member_that_is_refused_is_not_ready_says_why_and_goes_on_trying(what: str) -> None:
    protocol, connack, granted = REFUSALS[what]

    async def refuse(peer: Peer) -> None:
        await peer.packet()
        await peer.send(connack)
        await peer.packet()
        await peer.send(packet(0x90, b"\x00\x01" + granted))
        await peer.until_gone()

    broker = Broker(protocol, refuse, refuse, gone)
    with structlog.testing.capture_logs() as logs:
        async with inbox(broker) as box:
            assert box.trouble() == "MQTT connection one is down"
            await until(lambda: box.trouble() is None)
    assert broker.connections == 3
    reasons = [line["error"] for line in logs if line["event"] == "waiting"]
    assert len(reasons) == 2
    assert all("refuses us" in r or "does not let us subscribe" in r for r in reasons)


async def test_a_broker_that_never_answers_is_left_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ANSWER_S", 0.02)

    async def silent(peer: Peer) -> None:
        await peer.until_gone()

    broker = Broker(4, silent, gone)
    async with inbox(broker) as box:
        await until(lambda: box.trouble() is None)
    assert broker.connections == 2


async def test_nobody_there_is_a_reason_to_wait() -> None:
    async with serving(Broker(4, gone)) as at:
        pass
    with pytest.raises(Unavailable, match="MQTT broker is unavailable"):
        await opened(at, wire.Reader(4), lambda _: None)


async def test_a_broker_that_stops_answering_is_noticed_and_one_that_answers_is_kept() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.packet()
        await peer.send(WELCOME[4])
        for _ in range(3):
            assert await peer.packet() == (0xC0, b"")
            await peer.send(b"\xd0\x00")
        await peer.until_gone()

    async with serving(Broker(4, deaf)) as at:
        link = await opened(at, wire.Reader(4), lambda _: None)
        hello = wire.connect(4, "one", keepalive=1, session_s=30, window=WINDOW)
        await link.greet(hello, 0.02)
        assert (await link.ended).startswith("nothing heard for")


async def test_the_brokers_own_wish_for_signs_of_life_is_followed() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.send(packet(0x20, b"\x00\x00\x03\x13\x00\x00"))
        await peer.until_gone()

    async with serving(Broker(5, script)) as at:
        link = await opened(at, wire.Reader(5), lambda _: None)
        await link.greet(wire.connect(5, "one", keepalive=1, session_s=30, window=WINDOW), 0.01)
        assert link._timer is None  # it wants none
        await link.leave()


async def test_a_goodbye_of_the_broker_is_told_with_its_reason() -> None:
    async def taken_over(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(b"\xe0\x01\x8e")
        await peer.until_gone()

    with structlog.testing.capture_logs() as logs:
        async with inbox(Broker(5, taken_over, gone)) as box:
            await until(lambda: box._session == 2 and box.trouble() is None)
    (reason,) = [line["reason"] for line in logs if line["event"] == "broker connection ended"]
    assert "session taken over" in reason


@pytest.mark.parametrize(("count", "size"), [(4000, 2000), (100, 100_000)], ids=["too many", "too large"])
async def test_a_broker_that_sends_more_than_was_agreed_is_not_read_until_there_is_room(
    count: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "MOST_BYTES", 1_000_000)
    flooded = asyncio.Event()

    async def flood(peer: Peer) -> None:
        await peer.welcome()
        for number in range(count):
            await peer.send(publish(4, b"t", b"%0*d" % (size, number), 0))
        flooded.set()
        await peer.until_gone()

    async with inbox(Broker(4, flood)) as box:
        await until(lambda: box._link is not None and not box._link._transport.is_reading())
        assert not flooded.is_set()  # the broker is the one that waits
        got = most = 0
        while got < count:
            most = max(most, sum(len(waiting.payload) for waiting in box._waiting))
            for message in await box.take(10):
                assert int(message.payload[-9:]) == got
                got += 1
        assert most <= min(1_000_000, WINDOW * size) + size + 256 * 1024  # and what one read brings
        assert box._bytes == 0


FEW = WINDOW // inboxes.FEW_OF
FOR_EVER = 3600.0


async def test_more_than_a_few_messages_are_taken_without_waiting_for_others() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, FEW - 1))
        await peer.send(peer.messages(FEW, FEW))
        await peer.until_gone()

    async with inbox(Broker(5, script)) as box:
        assert len(await box.take(WINDOW, FOR_EVER)) >= FEW


async def test_a_few_messages_wait_for_others_no_longer_than_they_are_told_to() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 1))
        await peer.until_gone()

    async with inbox(Broker(5, script)) as box:
        assert [message.mid for message in await box.take(WINDOW, 0.001)] == [1]


async def test_what_waited_for_others_when_the_connection_broke_comes_again_by_the_next_one() -> None:
    async def one(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 1))

    async def many(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, FEW + 1))
        await peer.until_gone()

    async with inbox(Broker(5, one, many)) as box:
        got = [message.mid for message in await box.take(WINDOW, FOR_EVER)]
        assert got == list(range(1, len(got) + 1))
        assert len(got) >= FEW


SHARED = ["$share/ingest/vigil/v1/+/+/+/alarm/+", "vigil/v1/+/+/+/state"]


def departure(seen: list[bytes], *answer: bytes) -> Script:
    """Note what a member says when it leaves; `answer` is what it hears to the first of it."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        answers = list(answer)
        while not seen or seen[-1][0] != 0xE0:
            head, body = await peer.packet()
            if head != 0xC0:
                seen.append(bytes([head]) + body)
                await peer.send(*answers)
                answers.clear()
        await peer.until_gone()

    return script


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_member_that_leaves_gives_its_share_to_the_others_and_keeps_what_is_its_own(
    protocol: int,
) -> None:
    seen: list[bytes] = []
    async with serving(Broker(protocol, departure(seen, packet(0xB0, b"\x00\x02")))) as at:
        async with Inbox(at, "one", SHARED, WINDOW) as box:
            await until(lambda: box.trouble() is None)
        await until(lambda: bool(seen) and seen[-1][0] == 0xE0)
    unsubscribed, goodbye = seen
    assert unsubscribed[0] == 0xA2
    assert unsubscribed.endswith(SHARED[0].encode())
    assert goodbye == b"\xe0"


async def test_whoever_shares_nothing_stays_subscribed_and_the_broker_holds_what_comes() -> None:
    seen: list[bytes] = []
    async with serving(Broker(5, departure(seen))) as at:
        async with Inbox(at, "one", TOPICS, WINDOW) as box:
            await until(lambda: box.trouble() is None)
        await until(lambda: bool(seen))
    assert seen == [b"\xe0"]


async def test_a_broker_that_does_not_answer_holds_no_member_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "LEAVE_S", 0.01)
    seen: list[bytes] = []
    async with serving(Broker(5, departure(seen))) as at:
        async with Inbox(at, "one", SHARED, WINDOW) as box:
            await until(lambda: box.trouble() is None)
        await until(lambda: len(seen) == 2)
    assert seen[-1] == b"\xe0"


async def test_what_ends_the_connecting_for_good_ends_who_waits_for_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(inboxes, "opened", broken)
    async with Inbox(MqttSettings(), "one", TOPICS, WINDOW) as box:
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            await box.take(1)


async def test_the_connection_is_encrypted_and_the_brokers_certificate_checked(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(peer.messages(1, 1))
        await peer.until_gone()

    ours, others = certified(tmp_path / "ours"), tmp_path / "others"
    certified(others)
    async with serving(Broker(5, script), ours, mqtt_ca=tmp_path / "ours/ca.pem") as at:
        async with Inbox(at, "one", TOPICS, WINDOW) as box:
            await taken(box, 1)
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await opened(at.model_copy(update={"mqtt_ca": others / "ca.pem"}), wire.Reader(5), lambda _: None)


def certified(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate for the loopback that signs itself."""
    from datetime import UTC, datetime
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
