"""Sends what the spool holds, and lets rows go when the platform says that it has them.

Place in the flow: between `edge.spool` and `edge.link`.  `step` does one round: take
receipts, sound what nobody confirmed, send what is due, alarms first; `edge.outbox`
decides what that is.  A broker's acknowledgement frees a place in the window and nothing
else: a row stays in the spool until the platform's receipt (pitfalls 1 to 8).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from edge.local_alarm import TOO_OLD_S
from edge.outbox import LANES
from edge.reading import Reading
from vigil.errors import Rejected, Unavailable
from vigil.events import (
    Birth,
    Data,
    Envelope,
    LaneEnd,
    LocalAlarm,
    PlatformState,
    Receipt,
    decode_data,
    encode,
)
from vigil.failpoints import passing
from vigil.topics import Kind, Lane, platform_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from edge.config import Device, Node
    from edge.intake import Intake
    from edge.link import Incoming, Link
    from edge.local_alarm import Sounding, Watch
    from edge.orders import Orders
    from edge.outbox import Outbox
    from edge.sounder import Sounder
    from edge.spool import Key, Row, Spool
    from edge.timesync import Instant, Now

RESERVED: Final = 4
"""Places of the window that only alarms may take."""
ROUND_S: Final = 0.5
"""The longest that anything due waits for its round."""
LATE_S: Final = 60.0
"""An event older than this when it is first sent is marked as replayed."""
SPREAD_S: Final = 10.0
"""Seconds over which boxes that come back together spread what is not an alarm."""
BACKLOG: Final = 50
"""Rows, alarms apart, from which on a box that connects first waits for a moment."""
MANY: Final = 10_000
"""Alarms of an earlier start that are looked at."""

_log = structlog.get_logger(__name__)
sent_total = Counter("vigil_edge_sent_total", "Events handed to the broker.", ["lane", "again"])
receipts_total = Counter("vigil_edge_receipts_total", "Receipts from the platform.", ["lane"])
alarms_total = Counter("vigil_edge_local_alarms_total", "Local alarms sounded.")
rows_gauge = Gauge("vigil_edge_spool_rows", "Rows that the platform has not accounted for.", ["lane"])


class Publisher:
    """A node's voice: carries the spool's rows to the platform.

    Attributes:
        rounds: How many rounds it has begun; one that grows is alive.
    """

    def __init__(
        self,
        node: Node,
        link: Link,
        spool: Spool,
        intake: Intake,
        outbox: Outbox,
        watch: Watch,
        sounder: Sounder,
        orders: Orders,
        now: Now,
        rng: Random,
    ) -> None:
        self._node, self._link, self._spool, self._intake = node, link, spool, intake
        self._outbox, self._watch, self._sounder, self._orders = outbox, watch, sounder, orders
        self._now, self._rng = now, rng
        self._address = node.address
        self._session = ""
        self._born = False
        self._quiet_until = 0.0
        self._storing = True
        self._incarnation = ""
        self._receipts: dict[tuple[str, Lane], int] = {}
        self.rounds = 0
        self._wake = asyncio.Event()
        self._inbox: list[Incoming] = []
        self._taken: list[Incoming] = []
        self._unspooled: list[Reading] = []
        self._sounding: set[asyncio.Task[None]] = set()
        intake.listeners.append(self._accepted)
        intake.refused.append(self._refused)

    # What the link and the intake tell, in the event loop.

    def connected(self, session: str, *, kept: bool = True) -> None:
        """Tell the platform what is here; hold back for a moment what is not urgent.

        Args:
            session: Id of the connection.
            kept: The broker still knows us; if not, it has been made anew, and what it had
                acknowledged and not yet passed on may be gone.
        """
        if self._session and not kept:
            self._send_all_again()
        self._session = session
        self._born = False
        backlog = sum(rows for lane, rows in self._spool.depth().items() if lane is not Lane.ALARM)
        if backlog > BACKLOG:
            self._quiet_until = self._now().mono + SPREAD_S * self._rng.random()
        self._wake.set()

    def acknowledged(self) -> None:
        """Go on: the window has a free place."""
        self._wake.set()

    def received(self, message: Incoming) -> None:
        """Keep a message for the next round."""
        self._inbox.append(message)
        self._wake.set()

    def _accepted(self, readings: Sequence[Reading], rows: Sequence[Row]) -> None:
        now = self._now().mono
        for reading, row in zip(readings, rows, strict=True):
            self._outbox.expect(row.key.lane)
            self._watch.accepted(row.key, reading.device, reading.data, now, reading.synthetic)
        # Where the spool had to shed, it has reported so on this lane.
        self._outbox.expect(Lane.EVENT)
        self._wake.set()

    def _refused(self, reading: Reading) -> None:
        """An alarm that no disk took is sounded at once: nobody else will ever hear of it."""
        self._unspooled.append(reading)
        self._wake.set()

    # One round after the other.

    async def run(self) -> None:
        """Go on for ever."""
        await self._remember()
        while True:
            self._wake.clear()
            self.rounds += 1
            try:
                await self.step()
            except Unavailable as error:
                _log.error("the spool does not answer", why=str(error))
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets the wake-up.
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_S):
                    await self._wake.wait()

    async def step(self) -> bool:
        """Do one round; return whether anything was sent."""
        await self._take_messages()
        await self._sound_what_is_due()
        if not self._link.up:
            return False
        if not self._born:
            await self._announce()
        served = [await self._serve(lane) for lane in LANES]
        return any(served)

    def announce_again(self, node: Node) -> None:
        """Send births again, for a node whose devices have changed."""
        self._node, self._born = node, False
        self._wake.set()

    async def _remember(self) -> None:
        """Go on waiting for the alarms of an earlier start; what was sounded then is not sounded again."""
        for row in await self._intake.call(self._spool.reports):
            data = _data_of(row)
            if isinstance(data, LocalAlarm):
                self._watch.sounded(data.episode)
        now = self._now()
        for row in await self._intake.call(self._spool.pending, Lane.ALARM, None, MANY):
            data = _data_of(row)
            age = None if data is None else self._age(row, row.envelope(), now)
            if data is not None and age is not None and age < TOO_OLD_S:
                self._watch.accepted(row.key, row.device, data, now.mono, row.envelope().synthetic)

    async def _announce(self) -> None:
        self._born = True
        lanes = await self._intake.call(self._spool.ends)
        for device in self._node.devices:
            birth = self._birth(device, lanes if device.id == self._node.node else [])
            self._link.publish(self._address.topic(Kind.BIRTH, device.id), encode(birth), retain=True)

    def _birth(self, device: Device, lanes: list[LaneEnd]) -> Birth:
        return Birth(
            session=self._session,
            model=device.model or device.kind,
            firmware=device.firmware,
            capabilities=[device.kind, *([device.worn] if device.worn else [])],
            zones=[device.zone] if device.zone else [],
            lanes=lanes,
        )

    # Taking.

    async def _take_messages(self) -> None:
        messages, self._inbox = self._inbox, []
        # Noted first: what the spool cannot take in this round is acknowledged after a later one.
        self._taken += messages
        for message in messages:
            try:
                await self._take(message)
            except (Rejected, msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning(
                    "a message from the platform makes no sense", topic=message.topic, why=str(error)
                )
        await self._release()
        for message in self._taken:
            self._link.acknowledge(message)
        self._taken.clear()

    async def _take(self, message: Incoming) -> None:
        if message.topic == platform_state(self._address.community):
            self._take_state(msgspec.json.decode(message.payload, type=PlatformState))
        elif message.topic == self._address.topic(Kind.RECEIPT):
            receipt = msgspec.json.decode(message.payload, type=Receipt)
            receipts_total.labels(receipt.lane).inc()
            stored = max(self._receipts.get((receipt.boot, receipt.lane), 0), receipt.stored)
            self._receipts[receipt.boot, receipt.lane] = stored
        else:
            reply = await self._orders.take(message.topic, message.payload)
            if reply is not None:
                self._link.publish(self._address.topic(Kind.REPLY), encode(reply))

    def _take_state(self, state: PlatformState) -> None:
        storing = state.up and state.storing
        if storing and not self._storing:
            self._outbox.storing_again(self._now().mono)
        self._storing = storing
        if self._incarnation and state.incarnation not in ("", self._incarnation):
            self._send_all_again()  # Kafka has another log; what was only in the old one is gone
        self._incarnation = state.incarnation or self._incarnation

    def _send_all_again(self) -> None:
        """Send what is not stored yet once more: alarms now, the rest spread over some seconds."""
        self._outbox.resend(tuple(Lane), None, 0, self._now().mono, SPREAD_S)
        self._wake.set()

    async def _release(self) -> None:
        if not self._receipts:
            return
        receipts = [Receipt(boot=boot, lane=lane, stored=n) for (boot, lane), n in self._receipts.items()]
        await self._intake.call(self._spool.release, receipts)
        self._receipts.clear()
        for receipt in receipts:
            ordinal = self._spool.ordinal_of(receipt.boot)
            if ordinal is not None:
                self._outbox.receipt(ordinal, receipt.lane, receipt.stored)
                self._watch.stored(ordinal, receipt.lane, receipt.stored)
        for lane, rows in self._spool.depth().items():
            rows_gauge.labels(lane).set(rows)

    # Sounding.

    async def _sound_what_is_due(self) -> None:
        unspooled, self._unspooled = self._unspooled, []
        for reading in unspooled:
            own = f"{reading.device}-{reading.time:%Y%m%dT%H%M%S}"
            self._watch.refused(reading.device, reading.data, own, reading.synthetic)
        for sounding in self._watch.due(self._now().mono):
            await self._sound(sounding)

    async def _sound(self, sounding: Sounding) -> None:
        alarms_total.inc()
        task = asyncio.create_task(self._sounder.sound(sounding), name="local-alarm")
        self._sounding.add(task)
        task.add_done_callback(self._sounding.discard)
        told = LocalAlarm(episode=sounding.episode, silent_s=round(sounding.silent_s, 1))
        with suppress(Unavailable):
            await self._intake.put(Reading(sounding.device, told, self._now().utc, sounding.synthetic))

    # Sending.

    async def _serve(self, lane: Lane) -> bool:
        """Send what is due of a lane, as far as the window allows."""
        now = self._now().mono
        if lane is not Lane.ALARM and now < self._quiet_until:
            return False
        worked = False
        for key in self._outbox.due(lane, now, storing=self._storing)[: self._free(lane)]:
            worked |= await self._send_again(key)
        return await self._send_fresh(lane) or worked

    async def _send_again(self, key: Key) -> bool:
        if self._outbox.given_up(key):
            await self._set_aside(key)
            return True
        row = await self._intake.call(self._spool.row, key)
        if row is None:
            self._outbox.forget(key)
            return False
        return await self._send(row)

    async def _send_fresh(self, lane: Lane) -> bool:
        limit = min(self._free(lane), self._outbox.room(lane))
        if limit <= 0 or not self._outbox.look(lane):
            return False
        rows = await self._intake.call(self._spool.pending, lane, self._outbox.cursor(lane), limit)
        if len(rows) == limit:
            self._outbox.expect(lane)
        for row in rows:
            if self._outbox.sends(row.key):
                self._outbox.passed(row.key)
            elif not await self._send(row):
                self._outbox.expect(lane)
                break
        return bool(rows)

    async def _send(self, row: Row) -> bool:
        """Hand a row to the broker; return False where the connection did not take it."""
        try:
            envelope = row.envelope()
        except Rejected as error:
            _log.error("a row of the spool is damaged and stands aside", why=str(error))
            await self._set_aside(row.key)
            return True
        now, again = self._now(), self._outbox.sends(row.key) > 0
        age = self._age(row, envelope, now)
        late = again or row.key.ordinal != self._spool.ordinal or age is None or age > LATE_S
        payload = encode(msgspec.structs.replace(envelope, age=age, replayed=late))
        if not self._link.publish(self._address.topic(Kind(row.key.lane), row.device), payload):
            return False
        passing("edge.after_publish")
        self._outbox.sent(row.key, now.mono)
        sent_total.labels(row.key.lane, "yes" if again else "no").inc()
        return True

    async def _set_aside(self, key: Key) -> None:
        await self._intake.call(self._spool.set_aside, key, self._outbox.sends(key), self._now())
        self._outbox.forget(key)
        self._outbox.passed(key)
        self._outbox.expect(Lane.EVENT)

    def _free(self, lane: Lane) -> int:
        return max(self._link.free() - (0 if lane is Lane.ALARM else RESERVED), 0)

    def _age(self, row: Row, envelope: Envelope, now: Instant) -> float | None:
        """Return the seconds since an event happened, None where no clock can tell."""
        if row.machine == now.machine:
            return round(max(now.mono - row.happened, 0.0), 3)
        if envelope.clock == now.clock == "synced":
            return round(max((now.utc - envelope.time).total_seconds(), 0.0), 3)
        return None


def _data_of(row: Row) -> Data | None:
    try:
        return decode_data(row.envelope())
    except Rejected:
        return None
