"""What the platform orders: a new config, or a command.

Place in the flow: `edge.publisher` hands over what comes on `config` and `cmd/{device}`
and sends the reply.  A command is carried out once, however often the broker delivers it,
and not at all after it has expired.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from vigil.errors import Rejected
from vigil.events import Command, Reply
from vigil.topics import Kind, Lane, parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge.intake import Intake
    from edge.outbox import Outbox
    from edge.sounder import Sounder
    from edge.spool import Spool
    from edge.timesync import Now

REMEMBERED: Final = 64
"""Commands whose repetition is recognised."""
SPREAD_S: Final = 10.0
"""Seconds over which a node spreads what it is ordered to send again, alarms apart."""


class Orders:
    """Takes orders and carries them out."""

    def __init__(
        self,
        spool: Spool,
        intake: Intake,
        outbox: Outbox,
        sounder: Sounder,
        now: Now,
        *,
        reload: Callable[[], Awaitable[None]],
        configure: Callable[[bytes], Awaitable[Reply]],
    ) -> None:
        """Build it.

        Args:
            spool: Where rows to be sent again are.
            intake: Its thread.
            outbox: What has been sent.
            sounder: Lets an installer find the box.
            now: The clocks.
            reload: Reads the node's file again.
            configure: Takes a config from the platform and says what became of it.
        """
        self._spool, self._intake, self._outbox, self._sounder = spool, intake, outbox, sounder
        self._now, self._reload, self._configure = now, reload, configure
        self._done: deque[tuple[str, Reply]] = deque(maxlen=REMEMBERED)

    async def take(self, topic: str, payload: bytes) -> Reply | None:
        """Carry out an order; return the reply, or None where none is due.

        Raises:
            Rejected: It is no order.
        """
        kind = parse(topic).kind
        if kind is Kind.CONFIG:
            return await self._configure(payload) if payload else None
        if kind is not Kind.CMD:
            raise Rejected("wrong_topic", f"{topic} is not for this node")
        try:
            return await self._command(msgspec.json.decode(payload, type=Command))
        except msgspec.DecodeError as error:
            raise Rejected("malformed", f"no command: {error}") from None

    async def _command(self, command: Command) -> Reply:
        for id_, reply in self._done:
            if id_ == command.id:
                return reply
        reply = await self._carried_out(command)
        self._done.append((command.id, reply))
        return reply

    async def _carried_out(self, command: Command) -> Reply:
        if command.expires <= self._now().utc:
            return Reply(
                to=command.id, accepted=False, reason=f"expired at {command.expires:%Y-%m-%dT%H:%M:%SZ}"
            )
        try:
            if command.command == "resend":
                await self._resend(command)
            elif command.command == "reload":
                await self._reload()
            else:
                await self._sounder.identify()
        except Rejected as error:
            return Reply(to=command.id, accepted=False, reason=error.detail)
        return Reply(to=command.id, accepted=True)

    async def _resend(self, command: Command) -> None:
        """Send what is still here again, from a number on where boot and lane are given."""
        lanes = [command.lane] if command.lane else list(Lane)
        ordinal = None if command.boot is None else self._spool.ordinal_of(command.boot)
        if command.boot is not None and ordinal is None:
            raise Rejected("unknown_boot", f"{command.boot} is no boot of this spool")
        from_seq = command.from_seq or 1
        for lane in lanes:
            if command.boot is not None and ordinal is not None:
                await self._intake.call(self._spool.bring_back, command.boot, lane, from_seq)
                self._outbox.step_back(lane, ordinal, from_seq)
                self._outbox.expect(lane)
        self._outbox.resend(lanes, ordinal, from_seq, self._now().mono, SPREAD_S)
