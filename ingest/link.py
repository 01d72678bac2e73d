"""One connection to an MQTT broker, from CONNECT to its end.

Place in the flow: broker -> here (`ingest.wire` takes the bytes apart) -> `ingest.inbox`, and
`ingest.downlink` -> here -> broker; each makes a new one when this has ended.  It delivers messages
and the broker's acknowledgements, as many as have come together, and acknowledges nothing by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final, TypeVar, cast

import structlog

from ingest import wire
from ingest.wire import Connack, Goodbye, Message, Puback, Suback, Unsuback
from vigil import mqtt
from vigil.errors import ProtocolError, Unavailable
from vigil.runtime import retrying

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ingest.wire import Packet
    from vigil.settings import MqttSettings

ANSWER_S: Final = 10.0
"""Longest wait for a connection, and for each of the broker's answers."""
LEAVE_S: Final = 1.0
"""Longest wait for a broker to read our last bytes."""
PAUSE_S: Final = 1.0
"""Longest wait before connecting again; two members of one name would otherwise never rest."""
_log = structlog.get_logger(__name__)
P = TypeVar("P", Connack, Suback, Unsuback)


def _publishes_nothing(_acknowledged: list[Puback]) -> None:
    """Stand in where the reader lets no acknowledgement through."""


class Link(asyncio.Protocol):
    """A connection; `opened` makes one.

    Attributes:
        ended: Done when the connection has ended, with the reason.
    """

    def __init__(
        self,
        reader: wire.Reader,
        deliver: Callable[[list[Message]], None],
        acknowledged: Callable[[list[Puback]], None] = _publishes_nothing,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._reader = reader
        self._deliver = deliver
        self._acknowledged = acknowledged
        self._answers: asyncio.Queue[Packet] = asyncio.Queue()
        self._heard = True
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket; asyncio calls it."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end; asyncio calls it."""
        if self._timer is not None:
            self._timer.cancel()
        self.ended.set_result(self._reason or str(error or "the broker hung up"))

    def data_received(self, data: bytes) -> None:
        """Take what has come, and deliver its messages together; asyncio calls it."""
        self._heard = True
        try:
            packets = self._reader.feed(data)
        except ProtocolError as error:
            self.abort(error.why)
            return
        messages = [packet for packet in packets if type(packet) is Message]
        acknowledged = [packet for packet in packets if type(packet) is Puback]
        if len(messages) + len(acknowledged) < len(packets):
            for packet in packets:
                self._control(packet)
        if acknowledged:
            self._acknowledged(acknowledged)
        if messages:
            self._deliver(messages)

    def _control(self, packet: Packet) -> None:
        match packet:
            case Connack() | Suback() | Unsuback():
                self._answers.put_nowait(packet)
            case Goodbye(reason):
                self.abort(f"the broker says goodbye: {wire.explained(reason)}")
            case _:
                return  # a message, its acknowledgement, or a sign of life, which was noted

    async def greet(self, hello: bytes, keepalive_s: float) -> Connack:
        """Introduce ourselves, and be silent no longer than agreed from then on; return the answer.

        Raises:
            Unavailable: The broker refuses, or does not answer.
        """
        self.write(hello)
        answer = await self._answer(Connack)
        if answer.reason:
            raise Unavailable("MQTT broker", f"refuses us: {wire.explained(answer.reason)}")
        self._keep_alive(keepalive_s if answer.keepalive is None else answer.keepalive)
        return answer

    async def subscribe(self, request: bytes, topics: Sequence[str]) -> None:
        """Subscribe.

        Raises:
            Unavailable: The broker refuses one of the topics, or grants it without acknowledgement.
        """
        self.write(request)
        answer = await self._answer(Suback)
        if answer.granted != (1,) * len(topics):
            why = ", ".join(map(wire.explained, answer.granted))
            raise Unavailable("MQTT broker", f"does not let us subscribe to {topics}: {why}")

    async def _answer(self, kind: type[P], limit_s: float | None = None) -> P:
        limit_s = ANSWER_S if limit_s is None else limit_s
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait((answer, self.ended), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            why = self.ended.result() if self.ended.done() else f"no {kind.__name__} for {limit_s:.0f} s"
            raise Unavailable("MQTT broker", why)
        packet = answer.result()
        if not isinstance(packet, kind):
            raise ProtocolError(f"{packet} instead of a {kind.__name__}")
        return packet

    def _keep_alive(self, every_s: float) -> None:
        """Show the broker that we live, and end the connection if it does not show the same."""
        if every_s == 0:  # the broker wants none
            return
        if not self._heard and self._transport.is_reading():
            self.abort(f"nothing heard for {every_s:.0f} s")
            return
        self._heard = False
        self.write(wire.PINGREQ)
        self._timer = self._loop.call_later(every_s, self._keep_alive, every_s)

    def write(self, data: bytes) -> None:
        """Send bytes; after the end of the connection they go nowhere."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read no more: the broker must wait."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def abort(self, reason: str) -> None:
        """End the connection at once."""
        self._reason = reason
        self._transport.abort()

    async def leave(self, unsubscribing: bytes = b"") -> None:
        """Take leave; the broker keeps the session and what was not acknowledged.

        Args:
            unsubscribing: An UNSUBSCRIBE for what is not to wait for us until we come back.
        """
        if unsubscribing:
            self.write(unsubscribing)
            with contextlib.suppress(Unavailable):
                await self._answer(Unsuback, LEAVE_S)
        self.write(wire.DISCONNECT)
        self._transport.close()
        await asyncio.wait((self.ended,), timeout=LEAVE_S)
        self._transport.abort()


def hello(
    settings: MqttSettings, client_id: str, *, session_s: int, window: int, clean: bool = False
) -> bytes:
    """Return a CONNECT with the protocol and the credentials of the settings."""
    secret = settings.mqtt_password
    return wire.connect(
        settings.mqtt_protocol,
        client_id,
        keepalive=mqtt.KEEPALIVE_S,
        username=settings.mqtt_username,
        password=secret.get_secret_value() if secret else None,
        session_s=session_s,
        window=window,
        clean=clean,
    )


async def stay_connected(
    client_id: str, connect: Callable[[], Awaitable[Link]], part: Callable[[Link], Awaitable[None]]
) -> None:
    """Connect, and connect again when the connection has ended, for ever.

    Args:
        client_id: For the log.
        connect: Makes a connection ready for use; tried again where it is `Unavailable`.
        part: Called at the end of each, also when we are the ones who end it.
    """
    while True:
        link = await retrying(connect)
        try:
            _log.info("connected to broker", client=client_id)
            reason = await asyncio.shield(link.ended)
            _log.warning("broker connection ended", client=client_id, reason=reason)
        finally:
            await part(link)
        await asyncio.sleep(PAUSE_S * random.uniform(0.2, 1.0))  # noqa: S311 - jitter, not a secret


async def opened(
    settings: MqttSettings,
    reader: wire.Reader,
    deliver: Callable[[list[Message]], None],
    acknowledged: Callable[[list[Puback]], None] = _publishes_nothing,
) -> Link:
    """Connect the socket; the caller greets.

    Raises:
        Unavailable: Nobody answers there.
    """
    make = asyncio.get_running_loop().create_connection(
        lambda: Link(reader, deliver, acknowledged),
        settings.mqtt_host,
        settings.mqtt_port,
        ssl=mqtt.tls(settings),
    )
    try:
        return (await asyncio.wait_for(make, ANSWER_S))[1]
    except (OSError, TimeoutError) as error:
        raise Unavailable("MQTT broker", error or "no connection in time") from None
