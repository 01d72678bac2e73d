"""The publisher against a connection that keeps what it is given and fails when it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
import pytest_asyncio

from edge.box import looks_like_fall
from edge.config import Device, Node
from edge.intake import Intake
from edge.link import WINDOW, Incoming
from edge.local_alarm import Sounding, Watch
from edge.orders import Orders
from edge.outbox import Outbox
from edge.publisher import RESERVED, Publisher
from edge.reading import Reading
from edge.spool import Spool
from tests.unit.edge.parts import ADDRESS, Clocks, data_for, window
from vigil.errors import Unavailable
from vigil.events import (
    Birth,
    Command,
    Envelope,
    LocalAlarm,
    PlatformState,
    Receipt,
    Reply,
    Tombstone,
    decode,
    decode_data,
    encode,
)
from vigil.topics import Kind, Lane, parse, platform_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

OTHERS = [lane for lane in Lane if lane is not Lane.ALARM]


@dataclass
class FakeLink:
    up: bool = True
    full: bool = False
    sent: list[tuple[str, bytes, bool]] = field(default_factory=list)
    acknowledged: list[Incoming] = field(default_factory=list)
    in_flight: int = 0

    def free(self) -> int:
        return WINDOW - self.in_flight

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        if not self.up or self.full:
            return False
        self.sent.append((topic, payload, retain))
        self.in_flight += 1
        return True

    def acknowledge(self, message: Incoming) -> None:
        self.acknowledged.append(message)


@dataclass
class FakeSounder:
    sounded: list[Sounding] = field(default_factory=list)
    identified: int = 0

    async def sound(self, sounding: Sounding) -> None:
        self.sounded.append(sounding)

    async def identify(self) -> None:
        self.identified += 1


class Bench:
    """A node without sources, and the platform's side of its connection."""

    def __init__(self, path: Path, clocks: Clocks | None = None) -> None:
        self.clocks = clocks or Clocks()
        self.link, self.sounder, self.outbox = FakeLink(), FakeSounder(), Outbox(Random(1))
        self.spool = Spool(path, ADDRESS, self.clocks.now())
        self.intake = Intake(self.spool, self.clocks.now)
        self.node = Node(
            community="c1",
            estate="e1",
            node="n1",
            devices=[Device(id="n1", kind="hub"), Device(id="d1", kind="pendant", zone="z1")],
        )
        self.orders = Orders(
            self.spool,
            self.intake,
            self.outbox,
            self.sounder,
            self.clocks.now,
            reload=self._nothing,
            configure=self._configure,
        )
        self.publisher = Publisher(
            self.node,
            self.link,  # type: ignore[arg-type]  # has the methods that are used
            self.spool,
            self.intake,
            self.outbox,
            Watch(looks_like_fall),
            self.sounder,
            self.orders,
            self.clocks.now,
            Random(1),
        )
        self.ended = False
        self.writing = asyncio.create_task(self.intake.run(), name="intake")

    async def _nothing(self) -> None:
        pass

    async def _configure(self, payload: bytes) -> Reply:
        return Reply(to="config", accepted=False, reason=payload.decode())

    async def put(self, *lanes: Lane) -> None:
        at = self.clocks.utc()
        await self.intake.put_all([Reading("d1", data_for(lane), at) for lane in lanes])

    async def put_fall(self, **which: str) -> None:
        await self.intake.put(Reading("d1", window(**which), self.clocks.utc()))  # type: ignore[arg-type]  # episode is text

    async def step(self) -> list[Envelope]:
        """One round with a broker that acknowledges at once; return the events it sent."""
        before = len(self.link.sent)
        self.link.in_flight = 0
        await self.publisher.step()
        events = (Kind.ALARM, Kind.EVENT, Kind.TELEMETRY, Kind.HEALTH)
        return [decode(raw) for topic, raw, _ in self.link.sent[before:] if parse(topic).kind in events]

    def tell(self, topic: str, what: object) -> None:
        self.publisher.received(Incoming(topic, encode(what), 1, 1))

    def store(self, lane: Lane, stored: int) -> None:
        self.tell(ADDRESS.topic(Kind.RECEIPT), Receipt(boot=self.spool.boot, lane=lane, stored=stored))

    def state(self, *, storing: bool) -> None:
        self.tell(platform_state("c1"), PlatformState(up=True, storing=storing, at=self.clocks.utc()))

    def order(self, **what: object) -> None:
        command = {"id": "o1", "command": "resend", "expires": self.clocks.utc() + timedelta(minutes=1)}
        self.tell(ADDRESS.topic(Kind.CMD, "n1"), msgspec.convert({**command, **what}, Command))

    def of(self, kind: Kind) -> list[bytes]:
        return [raw for topic, raw, _ in self.link.sent if parse(topic).kind is kind]

    def replies(self) -> list[Reply]:
        return [msgspec.json.decode(raw, type=Reply) for raw in self.of(Kind.REPLY)]

    async def end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self.writing.cancel()
        await asyncio.gather(self.writing, return_exceptions=True)
        await self.intake.close()
        self.spool.close()


@pytest_asyncio.fixture
async def bench(quick_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(quick_path / "spool.db")
    bench.publisher.connected("s1")
    await bench.step()
    yield bench
    await bench.end()


@pytest_asyncio.fixture
async def again(quick_path: Path) -> AsyncIterator[Callable[[Bench], asyncio.Future[Bench]]]:
    """Ends a bench and starts the next one on the same spool."""
    made: list[Bench] = []

    async def start(before: Bench) -> Bench:
        await before.end()
        made.append(Bench(quick_path / "spool.db", before.clocks))
        await made[-1].publisher._remember()
        made[-1].publisher.connected("s2")
        return made[-1]

    yield start  # type: ignore[misc]  # a coroutine function is such a callable
    for bench in made:
        await bench.end()


@pytest.mark.asyncio
class TestBirths:
    async def test_every_device_is_announced_and_the_node_s_own_lists_the_lanes(
        self, quick_path: Path
    ) -> None:
        bench = Bench(quick_path / "spool.db")
        await bench.put(Lane.EVENT, Lane.EVENT)
        bench.publisher.connected("s1")
        await bench.step()
        births = {parse(t).device: msgspec.json.decode(raw, type=Birth) for t, raw, r in bench.link.sent if r}
        assert set(births) == {"n1", "d1"}
        assert [(end.lane, end.seq) for end in births["n1"].lanes] == [(Lane.EVENT, 2)]
        assert births["d1"].capabilities == ["pendant", "chest"]
        assert births["d1"].session == "s1"
        await bench.end()

    async def test_a_new_connection_announces_them_again_with_its_session(self, bench: Bench) -> None:
        bench.publisher.connected("s2")
        await bench.step()
        sessions = [msgspec.json.decode(raw, type=Birth).session for raw in bench.of(Kind.BIRTH)]
        assert sessions == ["s1", "s1", "s2", "s2"]


@pytest.mark.asyncio
class TestSending:
    async def test_an_event_goes_to_the_topic_it_names(self, bench: Bench) -> None:
        await bench.put(Lane.ALARM)
        await bench.step()
        topic, _, retained = bench.link.sent[-1]
        assert topic == "vigil/v1/c1/e1/n1/alarm/d1"
        assert not retained

    async def test_its_age_is_counted_by_the_monotonic_clock(self, bench: Bench) -> None:
        await bench.put(Lane.EVENT)
        bench.clocks.move(7.5)
        bench.clocks.instant = replace(bench.clocks.instant, utc=bench.clocks.utc() - timedelta(days=400))
        (event,) = await bench.step()
        assert event.age == 7.5
        assert not event.replayed

    async def test_alarms_go_first(self, bench: Bench) -> None:
        await bench.put(Lane.TELEMETRY, Lane.HEALTH, Lane.EVENT, Lane.ALARM)
        assert [event.lane for event in await bench.step()] == [
            Lane.ALARM,
            Lane.EVENT,
            Lane.HEALTH,
            Lane.TELEMETRY,
        ]

    async def test_no_more_is_in_flight_than_the_window_holds(self, bench: Bench) -> None:
        await bench.put(*[Lane.EVENT] * 50)
        await bench.put(*[Lane.ALARM] * 50)
        assert len(await bench.step()) == WINDOW

    async def test_places_are_kept_for_alarms(self, bench: Bench) -> None:
        await bench.put(*[Lane.EVENT] * 50)
        assert len(await bench.step()) == WINDOW - RESERVED
        bench.link.in_flight = WINDOW - RESERVED
        await bench.put(Lane.ALARM)
        await bench.publisher.step()
        assert decode(bench.link.sent[-1][1]).lane is Lane.ALARM

    async def test_everything_goes_out_in_order_and_once(self, bench: Bench) -> None:
        await bench.put(*[Lane.EVENT] * 100)
        sent = [event.seq for _ in range(10) for event in await bench.step()]
        assert sent == list(range(1, 101))

    async def test_what_a_full_connection_does_not_take_is_offered_again(self, bench: Bench) -> None:
        await bench.put(Lane.ALARM)
        bench.link.full = True
        assert await bench.step() == []
        bench.link.full = False
        assert [event.seq for event in await bench.step()] == [1]

    async def test_nothing_is_offered_while_the_connection_is_down(self, bench: Bench) -> None:
        await bench.put(Lane.ALARM)
        bench.link.up = False
        assert await bench.step() == []
        bench.link.up = True
        assert len(await bench.step()) == 1

    async def test_a_box_that_comes_back_with_a_backlog_sends_alarms_at_once_and_waits_with_the_rest(
        self, bench: Bench
    ) -> None:
        await bench.put(*[Lane.EVENT] * 60, Lane.ALARM)
        bench.publisher.connected("s2")
        assert {event.lane for event in await bench.step()} == {Lane.ALARM}
        bench.clocks.move(10.0)
        assert {event.lane for event in await bench.step()} == {Lane.EVENT}


@pytest.mark.asyncio
class TestReceipts:
    async def test_a_row_stays_until_the_platform_has_it(self, bench: Bench) -> None:
        await bench.put(Lane.EVENT)
        await bench.step()
        assert bench.spool.depth()[Lane.EVENT] == 1
        bench.store(Lane.EVENT, 1)
        await bench.step()
        assert bench.spool.depth()[Lane.EVENT] == 0

    async def test_a_receipt_is_acknowledged_when_it_has_been_dealt_with(self, bench: Bench) -> None:
        bench.store(Lane.EVENT, 1)
        assert bench.link.acknowledged == []
        await bench.step()
        assert len(bench.link.acknowledged) == 1

    async def test_one_that_a_full_disk_does_not_take_is_acknowledged_when_it_does(
        self, bench: Bench
    ) -> None:
        await bench.put(Lane.EVENT)
        release = bench.spool.release

        def no_room(_receipts: object) -> int:
            raise Unavailable("the spool", "no room")

        bench.spool.release = no_room  # type: ignore[assignment]  # an injected fault
        bench.store(Lane.EVENT, 1)
        with pytest.raises(Unavailable):
            await bench.step()
        assert bench.link.acknowledged == []
        bench.spool.release = release  # type: ignore[method-assign]  # the fault is over
        await bench.step()
        assert len(bench.link.acknowledged) == 1
        assert bench.spool.depth()[Lane.EVENT] == 0

    async def test_an_alarm_without_receipt_is_sent_again_marked_as_replayed(self, bench: Bench) -> None:
        await bench.put(Lane.ALARM)
        (first,) = await bench.step()
        bench.clocks.move(13)
        (second,) = await bench.step()
        assert (first.id, first.time, first.replayed) == (second.id, second.time, False)
        assert second.replayed
        assert second.age == 13

    @pytest.mark.parametrize("lane", OTHERS)
    async def test_the_rest_is_held_while_the_platform_does_not_store(self, bench: Bench, lane: Lane) -> None:
        await bench.put(lane, Lane.ALARM)
        await bench.step()
        bench.state(storing=False)
        bench.clocks.move(300)
        # On the event lane there is the report of the local alarm by now; it is the second one.
        sent = [(event.lane, event.seq) for event in await bench.step()]
        assert (Lane.ALARM, 1) in sent
        assert (lane, 1) not in sent
        bench.state(storing=True)
        assert (lane, 1) not in [(event.lane, event.seq) for event in await bench.step()]
        bench.clocks.move(76)
        assert (lane, 1) in [(event.lane, event.seq) for event in await bench.step()]

    async def test_a_row_that_is_never_stored_while_others_are_stands_aside(self, bench: Bench) -> None:
        await bench.put(Lane.EVENT)
        for n in range(1, 25):
            await bench.put(Lane.HEALTH)
            await bench.step()
            bench.store(Lane.HEALTH, n)
            bench.clocks.move(601)
        stones = [decode_data(row.envelope()) for row in bench.spool.reports()]
        assert stones == [Tombstone(of_boot=bench.spool.boot, of_lane=Lane.EVENT, of_seq=1, sent=20)]

    async def test_a_damaged_row_stands_aside_and_the_others_go_on(self, bench: Bench) -> None:
        await bench.put_fall()
        await bench.put(Lane.ALARM)
        bench.spool._db.execute("UPDATE spooled SET payload = x'00' WHERE seq = 1")
        assert [event.seq for event in await bench.step() if event.lane is Lane.ALARM] == [2]
        (stone,) = [decode_data(row.envelope()) for row in bench.spool.reports()]
        assert isinstance(stone, Tombstone)

    async def test_a_message_that_makes_no_sense_changes_nothing(self, bench: Bench) -> None:
        await bench.put(Lane.EVENT)
        bench.publisher.received(Incoming(ADDRESS.topic(Kind.RECEIPT), b"\xff{", 1, 1))
        bench.publisher.received(Incoming("vigil/v1/c1/e1/n1/cmd/n1", b"[]", 2, 1))
        assert len(await bench.step()) == 1
        assert len(bench.link.acknowledged) == 2


@pytest.mark.asyncio
class TestAfterARestart:
    async def test_unsent_rows_are_sent_as_replayed_under_their_old_boot(
        self, bench: Bench, again: Callable[[Bench], asyncio.Future[Bench]]
    ) -> None:
        await bench.put(Lane.EVENT)
        boot = bench.spool.boot
        second = await again(bench)
        (event,) = await second.step()
        assert (event.boot, event.seq, event.replayed) == (boot, 1, True)

    async def test_an_age_across_a_start_of_the_machine_is_told_only_by_synchronised_clocks(
        self, bench: Bench, again: Callable[[Bench], asyncio.Future[Bench]]
    ) -> None:
        await bench.put(Lane.EVENT)
        bench.clocks.move(100)
        bench.clocks.instant = replace(bench.clocks.instant, machine="machine-2", mono=5.0)
        second = await again(bench)
        (event,) = await second.step()
        assert event.age == 100
        second.clocks.instant = replace(second.clocks.instant, machine="machine-3", clock="unsynced")
        third = await again(second)
        (event,) = await third.step()
        assert event.age is None

    async def test_an_alarm_of_the_earlier_start_is_still_sounded(
        self, bench: Bench, again: Callable[[Bench], asyncio.Future[Bench]]
    ) -> None:
        await bench.put_fall()
        second = await again(bench)
        second.link.up = False
        second.clocks.move(20)
        await second.step()
        assert [sounding.episode for sounding in second.sounder.sounded] == ["d1-1"]

    async def test_one_that_was_sounded_is_not_sounded_twice(
        self, bench: Bench, again: Callable[[Bench], asyncio.Future[Bench]]
    ) -> None:
        await bench.put_fall()
        bench.clocks.move(20)
        await bench.step()
        second = await again(bench)
        second.clocks.move(20)
        await second.step()
        assert second.sounder.sounded == []


@pytest.mark.asyncio
class TestLocalAlarm:
    async def test_it_sounds_once_after_twenty_seconds_and_is_reported(self, bench: Bench) -> None:
        await bench.put_fall()
        await bench.step()
        bench.clocks.move(20)
        await bench.step()
        bench.clocks.move(20)
        await bench.step()
        assert len(bench.sounder.sounded) == 1
        told = [decode_data(row.envelope()) for row in bench.spool.reports()]
        assert told == [LocalAlarm(episode="d1-1", silent_s=20.0)]

    async def test_it_sounds_although_the_platform_says_that_it_is_storing(self, bench: Bench) -> None:
        bench.state(storing=True)
        await bench.put_fall()
        await bench.step()
        bench.clocks.move(20)
        await bench.step()
        assert len(bench.sounder.sounded) == 1

    async def test_it_does_not_when_the_receipt_came_in_time(self, bench: Bench) -> None:
        await bench.put_fall()
        await bench.step()
        bench.clocks.move(19)
        bench.store(Lane.ALARM, 1)
        await bench.step()
        bench.clocks.move(10)
        await bench.step()
        assert bench.sounder.sounded == []


@pytest.mark.asyncio
class TestOrders:
    async def test_resend_makes_everything_that_is_still_here_due(self, bench: Bench) -> None:
        await bench.put(Lane.ALARM, Lane.EVENT)
        await bench.step()
        bench.order()
        await bench.step()
        bench.clocks.move(10)
        sent = await bench.step()
        assert {Lane.EVENT} <= {event.lane for event in sent}
        assert all(event.replayed for event in sent)
        assert bench.replies() == [Reply(to="o1", accepted=True)]

    async def test_resend_brings_back_what_stood_aside(self, bench: Bench) -> None:
        await bench.put(Lane.EVENT, Lane.EVENT)
        await bench.step()
        (row, _) = bench.spool.pending(Lane.EVENT, None, 2)
        await bench.publisher._set_aside(row.key)
        bench.order(boot=bench.spool.boot, lane="event", from_seq=1)
        assert 1 in [event.seq for event in await bench.step()]

    async def test_an_expired_order_is_refused_with_a_reply(self, bench: Bench) -> None:
        bench.order(command="identify", expires=bench.clocks.utc())
        await bench.step()
        (reply,) = bench.replies()
        assert not reply.accepted
        assert "expired" in reply.reason
        assert bench.sounder.identified == 0

    async def test_an_order_that_is_delivered_twice_is_carried_out_once(self, bench: Bench) -> None:
        bench.order(command="identify")
        bench.order(command="identify")
        await bench.step()
        assert bench.sounder.identified == 1
        assert bench.replies() == [Reply(to="o1", accepted=True)] * 2

    async def test_an_unknown_boot_is_named(self, bench: Bench) -> None:
        bench.order(boot="9-00000000")
        await bench.step()
        assert "9-00000000" in bench.replies()[0].reason

    async def test_a_config_gets_its_reply(self, bench: Bench) -> None:
        bench.publisher.received(Incoming(ADDRESS.topic(Kind.CONFIG), b"why not", 1, 1))
        await bench.step()
        assert bench.replies() == [Reply(to="config", accepted=False, reason="why not")]
