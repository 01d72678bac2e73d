"""What becomes of a batch, in one transaction of a real PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from processors import intake as under_test
from processors.arrivals import AHEAD
from processors.intake import DeadHandler, EventHandler, StateHandler, Taken
from processors.ticker import Ticker
from tests.making import BOOT, NOW, dead_record, encoded, event, fall, raw_record, record
from vigil import events, topics
from vigil.errors import Rejected
from vigil.events import (
    Answer,
    Birth,
    Hazard,
    LaneEnd,
    NodeState,
    PoseSuspected,
    SensorChanged,
    Shed,
    Sos,
    Stillness,
    Tombstone,
    event_id,
)
from vigil.receipts import StoredReceipt
from vigil.registry import Registry
from vigil.topics import Address, Kind, Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.processors.conftest import Model

pytestmark = pytest.mark.integration
one_by_one = pytest.mark.asyncio

POSE = PoseSuspected(
    keypoints=[[0] * 51],
    rate_hz=10,
    aspect=1.5,
    track=1,
    episode="e",
    score=0.99,
    model="m",
    model_version="1",
)
TABLES = ("event", "telemetry", "health", "implausible", "withheld", "dead_letter", "detection", "alert")


async def rows(connection: Any, query: str, *values: Any) -> list[Any]:
    found: list[Any] = await (await connection.execute(query, values)).fetchall()
    return found


async def taken(take: Any, *batch: Any) -> list[StoredReceipt]:
    """Take a batch in as the pipeline does, and return the receipts."""
    came: Taken = await take(*batch)
    came.count()
    return came.receipts


async def counts(connection: Any) -> dict[str, int]:
    """Return how many rows each table has, without the empty ones."""
    found = {table: len(await rows(connection, f"TABLE {table}")) for table in TABLES}
    return {table: count for table, count in found.items() if count}


async def ended(connection: Any) -> list[tuple[int, str]]:
    """Return as what each sequence number of the alarm lane ended."""
    return await rows(
        connection,
        """
        SELECT seq, 'stored' FROM event WHERE lane = 'alarm' UNION ALL
        SELECT seq, 'stored' FROM implausible UNION ALL
        SELECT seq, 'withheld' FROM withheld UNION ALL
        SELECT seq, 'dead' FROM dead_letter WHERE seq IS NOT NULL AND replayed_at IS NULL UNION ALL
        SELECT n, 'shed' FROM shed, unnest(seqs) AS r, generate_series(lower(r), upper(r) - 1) AS n
        ORDER BY 1, 2
        """,
    )


def receipt(stored: int, lane: Lane = Lane.ALARM, node: str = "n1") -> StoredReceipt:
    return StoredReceipt(community="c1", estate="e1", node=node, boot=BOOT, lane=lane, stored=stored)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Single:
    """A pool of the one connection that the test rolls back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._connection.transaction():
            yield self._connection


def ticker(connection: Any, now: datetime) -> Ticker:
    pool: Any = Single(connection)
    return Ticker(pool, lambda: now)


# --- Stored, receipted, once ---


@one_by_one
async def test_an_event_is_stored_and_receipted(connection: Any, handler: EventHandler) -> None:
    given_ = await taken(handler.handle, connection, [record(event())], NOW)
    assert given_ == [receipt(1)]
    (stored,) = await rows(
        connection, "SELECT id, time, node, device, type, boot, lane, seq, data FROM event"
    )
    assert stored[:2] == (event().id, NOW)
    assert stored[2:] == ("n1", "pendant", "vigil.alarm.sos.v1", BOOT, "alarm", 1, {"by": "button"})


@one_by_one
async def test_a_batch_sent_again_adds_nothing_and_is_receipted_like_the_first_time(
    connection: Any, handler: EventHandler
) -> None:
    batch = [
        record(event(fall(), 1)),
        record(event(Sos(by="cord"), 2)),
        record(event(fall(), 3, device="cam-yard")),
        raw_record(encoded(event(seq=4), data={})),
        record(event(seq=5, time=datetime(1970, 1, 1, tzinfo=UTC))),
        record(event(POSE, 6, device="cam-gate")),
        record(event(SensorChanged(sensor="door", state=True), 1, device="door")),
    ]
    first = await taken(handler.handle, connection, batch, NOW)
    before = await counts(connection)
    again = await taken(handler.handle, connection, batch, NOW + timedelta(minutes=5))
    assert first == again == [receipt(6), receipt(1, Lane.EVENT)]
    assert await counts(connection) == before


@one_by_one
async def test_what_was_deleted_in_time_is_not_decided_on_again_when_it_is_sent_again(
    connection: Any, handler: EventHandler
) -> None:
    """Also when the whole log is read anew: a year-old fall must page nobody."""
    batch = [
        record(event(fall(), 1)),
        record(event(Sos(by="cord"), 2)),
        record(event(seq=3, time=datetime(1970, 1, 1, tzinfo=UTC))),
        record(event(SensorChanged(sensor="door", state=True), 1, device="door")),
    ]
    first = await taken(handler.handle, connection, batch, NOW)
    await connection.execute(
        """DELETE FROM alert_evidence; DELETE FROM alert_transition; DELETE FROM alert;
           DELETE FROM detection; DELETE FROM event; DELETE FROM implausible"""
    )
    before = REGISTRY.get_sample_value("vigil_events_duplicate_total", {"lane": "alarm"}) or 0
    assert await taken(handler.handle, connection, batch, NOW) == first
    assert await counts(connection) == {}
    assert REGISTRY.get_sample_value("vigil_events_duplicate_total", {"lane": "alarm"}) == before + 3


@one_by_one
async def test_a_hole_holds_the_receipt_back_until_it_is_filled(
    connection: Any, handler: EventHandler
) -> None:
    assert await taken(handler.handle, connection, [record(event(seq=3)), record(event(seq=2))], NOW) == [
        receipt(0)
    ]
    assert await rows(connection, "SELECT first, last FROM gap") == [(1, 1)]
    assert await taken(handler.handle, connection, [record(event(seq=1))], NOW) == [receipt(3)]
    assert await rows(connection, "SELECT * FROM gap") == []


@one_by_one
async def test_a_batchs_own_duplicates_are_decided_on_and_counted_once(
    connection: Any, handler: EventHandler
) -> None:
    before = REGISTRY.get_sample_value("vigil_events_stored_total", {"lane": "alarm"}) or 0
    await taken(handler.handle, connection, [record(event())] * 3, NOW)
    assert await counts(connection) == {"event": 1, "detection": 1, "alert": 1}
    assert await rows(connection, "SELECT evidence FROM alert") == [(1,)]
    assert REGISTRY.get_sample_value("vigil_events_stored_total", {"lane": "alarm"}) == before + 1


@one_by_one
async def test_nothing_is_counted_before_the_batch_is_committed(
    connection: Any, handler: EventHandler
) -> None:
    def counted() -> list[float]:
        told = [
            ("vigil_events_stored_total", {"lane": "alarm"}),
            ("vigil_events_dead_total", {"reason": "malformed"}),
        ]
        told += [("vigil_event_age_seconds_count", {"lane": "alarm"})]
        return [REGISTRY.get_sample_value(name, labels) or 0 for name, labels in told]

    before = counted()
    batch = [record(event()), raw_record(encoded(event(seq=2), data={}))]
    came = await handler.handle(connection, batch, NOW)
    assert counted() == before
    came.count()
    assert counted() == [count + 1 for count in before]


class CountingCursor(psycopg.AsyncCursor[Any]):
    """Notes how many statements were sent."""

    sent = 0

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        type(self).sent += 1
        return await super().execute(*arguments, **options)


EVERYTHING: list[Any] = [
    lambda seq: record(event(fall(), seq, time=NOW - timedelta(seconds=seq))),
    lambda seq: record(event(Sos(by="cord"), seq, device="door")),
    lambda seq: record(event(POSE, seq, device="cam-gate")),
    lambda seq: record(event(Sos(by="cord"), seq, device="stranger")),
    lambda seq: record(event(Sos(by="cord"), seq, time=datetime(1970, 1, 1, tzinfo=UTC))),
    lambda seq: record(
        event(Shed(of_boot=f"{seq}-0000abcd", of_lane=Lane.ALARM, first=1, last=9, reason="spool_full"), seq)
    ),
    lambda seq: record(
        event(Tombstone(of_boot=f"{seq}-0000abcd", of_lane=Lane.ALARM, of_seq=1, sent=20), seq)
    ),
]


@one_by_one
async def test_a_large_batch_takes_no_more_statements_than_a_small_one(
    shared_database: str, handler: EventHandler
) -> None:
    sent = []
    async with await psycopg.AsyncConnection.connect(
        shared_database, autocommit=True, cursor_factory=CountingCursor
    ) as connection:
        for times in (1, 1, 15):  # the first one reads the registry
            async with connection.transaction(force_rollback=True):
                before = CountingCursor.sent
                batch = [make(seq) for seq, make in enumerate(EVERYTHING * times, 1)]
                await handler.handle(connection, batch, NOW)
                sent.append(CountingCursor.sent - before)
    assert sent[2] == sent[1]


kinds_of_events = st.sampled_from([Sos(by="cord"), fall(), Stillness(episode="e", still_s=9, watched_s=9)])
made_events = st.lists(
    st.builds(
        event,
        kinds_of_events,
        st.integers(1, 8),
        time=st.sampled_from([NOW, datetime(1970, 1, 1, tzinfo=UTC)]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda e: e.seq,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made_events, st.lists(st.integers(0, 11), max_size=12), st.data())
def test_however_events_are_repeated_and_consent_changes_each_ends_as_exactly_one_thing(
    shared_database: str, handler: EventHandler, made: list[Any], repeats: list[int], data: Any
) -> None:
    async def work() -> None:
        async with (
            await psycopg.AsyncConnection.connect(shared_database, autocommit=True) as connection,
            connection.transaction(force_rollback=True),
        ):
            for index in [*range(len(made)), *repeats]:
                granted = data.draw(st.booleans())
                await connection.execute("UPDATE consent SET granted = %s", [granted])
                at = NOW + timedelta(minutes=data.draw(st.integers(0, 200)))
                await taken(handler.handle, connection, [record(made[index % len(made)], at=at)], at)
            assert [seq for seq, _ in await ended(connection)] == sorted(e.seq for e in made)

    under = handler._registry
    under.version, under.nodes, under.devices = 0, {}, {}
    asyncio.run(work())


@one_by_one
async def test_a_clock_that_is_ahead_and_comes_true_stores_its_event_once(
    connection: Any, handler: EventHandler
) -> None:
    ahead = event(time=NOW + AHEAD + timedelta(minutes=1))
    for minutes in (0, 5):
        at = NOW + timedelta(minutes=minutes)
        assert await taken(handler.handle, connection, [record(ahead, at=at)], at) == [receipt(1)]
    assert await ended(connection) == [(1, "stored")]


# --- Consent ---


@one_by_one
async def test_without_consent_the_event_is_counted_and_its_content_dropped(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute("UPDATE consent SET granted = false WHERE purpose = 'fall_detection'")
    assert await taken(handler.handle, connection, [record(event(fall()))], NOW) == [receipt(1)]
    assert await counts(connection) == {"withheld": 1}
    assert await rows(connection, "SELECT purpose, day FROM withheld") == [("fall_detection", NOW.date())]


@one_by_one
async def test_a_consent_withdrawn_counts_from_the_next_event_on(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    await connection.execute("UPDATE consent SET granted = false")
    await taken(handler.handle, connection, [record(event(fall(), 2))], NOW)
    assert await ended(connection) == [(1, "stored"), (2, "withheld")]


@one_by_one
async def test_what_was_withheld_stays_withheld_when_consent_comes_later(
    connection: Any, handler: EventHandler
) -> None:
    await connection.execute("UPDATE consent SET granted = false")
    await taken(handler.handle, connection, [record(event(fall()))], NOW)
    await connection.execute("UPDATE consent SET granted = true")
    assert await taken(handler.handle, connection, [record(event(fall()))], NOW) == [receipt(1)]
    assert await counts(connection) == {"withheld": 1}


@one_by_one
async def test_a_resident_who_is_not_flagged_is_not_watched(connection: Any, handler: EventHandler) -> None:
    await connection.execute("UPDATE resident SET flagged = false")
    await taken(handler.handle, connection, [record(event(fall()))], NOW)
    assert await counts(connection) == {"withheld": 1}


@one_by_one
async def test_a_public_place_is_watched_with_a_legal_basis_only(
    connection: Any, handler: EventHandler
) -> None:
    batch = [record(event(POSE, 1, device="cam-yard")), record(event(POSE, 2, device="cam-gate"))]
    await taken(handler.handle, connection, batch, NOW)
    assert await ended(connection) == [(1, "stored"), (2, "withheld")]
    assert await rows(connection, "SELECT purpose FROM withheld") == [("public_place",)]
    assert await rows(connection, "SELECT subject, resident FROM alert") == [("zone:yard", None)]


@one_by_one
@pytest.mark.parametrize(
    "data", [Sos(by="cord"), Hazard(hazard="smoke"), Hazard(hazard="gas"), Hazard(hazard="water")]
)
async def test_a_call_for_help_and_a_hazard_need_no_consent(
    connection: Any, handler: EventHandler, data: Any
) -> None:
    await connection.execute("UPDATE resident SET flagged = false; DELETE FROM consent")
    await taken(handler.handle, connection, [record(event(data))], NOW)
    assert await counts(connection) == {"event": 1, "detection": 1, "alert": 1}


# --- Falls, waits, answers ---


@one_by_one
async def test_a_certain_fall_raises_one_alert_and_further_falls_join_it(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    later = event(fall(), 2, time=NOW + timedelta(minutes=5))
    await taken(handler.handle, connection, [record(later, at=later.time)], later.time)
    assert await rows(connection, "SELECT subject, kind, priority, state, evidence FROM alert") == [
        ("resident:r1", "fall", "critical", "raised", 2)
    ]


@one_by_one
@pytest.mark.parametrize("score", [0.5, 0.7, 0.94])
async def test_an_uncertain_fall_is_raised_after_half_a_minute_of_silence(
    connection: Any, handler: EventHandler, model: Model, score: float
) -> None:
    model.score_ = score
    await taken(handler.handle, connection, [record(event(fall()))], NOW)
    assert not await ticker(connection, NOW + timedelta(seconds=29)).step()
    assert await counts(connection) == {"event": 1, "detection": 1}
    assert await ticker(connection, NOW + timedelta(seconds=30)).step()
    assert await rows(connection, "SELECT kind, summary->>'en' FROM alert") == [
        ("fall", "Possible fall; no answer within 30 s")
    ]
    assert not await ticker(connection, NOW + timedelta(seconds=31)).step()


@one_by_one
async def test_an_unlikely_fall_is_stored_and_raises_nothing(
    connection: Any, handler: EventHandler, model: Model
) -> None:
    model.score_ = 0.2
    await taken(handler.handle, connection, [record(event(fall()))], NOW)
    assert not await ticker(connection, NOW + timedelta(hours=1)).step()
    assert await counts(connection) == {"event": 1, "detection": 1}


@one_by_one
async def test_fine_cancels_the_wait(connection: Any, handler: EventHandler, model: Model) -> None:
    model.score_ = 0.7
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    fine = event(Answer(answer="fine"), 2, time=NOW + timedelta(seconds=9))
    await taken(handler.handle, connection, [record(fine, at=fine.time)], fine.time)
    assert not await ticker(connection, NOW + timedelta(hours=1)).step()
    assert "alert" not in await counts(connection)


@one_by_one
async def test_who_opens_a_door_after_an_uncertain_fall_is_not_asked_about_any_longer(
    connection: Any, handler: EventHandler, model: Model
) -> None:
    model.score_ = 0.7
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    at = NOW + timedelta(seconds=10)
    door = event(SensorChanged(sensor="door", state=True), 1, device="door", time=at)
    await taken(handler.handle, connection, [record(door, at=at)], at)
    assert not await ticker(connection, NOW + timedelta(hours=1)).step()
    assert "alert" not in await counts(connection)


@one_by_one
async def test_lying_still_raises_what_waited(connection: Any, handler: EventHandler, model: Model) -> None:
    model.score_ = 0.7
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    still = event(Stillness(episode="e", still_s=20, watched_s=20), 2)
    await taken(handler.handle, connection, [record(still)], NOW + timedelta(seconds=20))
    assert await rows(connection, "SELECT kind, summary->>'en' FROM alert") == [
        ("fall", "Impact, then lay still")
    ]
    assert not await ticker(connection, NOW + timedelta(hours=1)).step()


@one_by_one
async def test_an_old_fall_out_of_a_spool_is_raised_although_a_later_one_was_settled(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [record(event(fall(), 2))], NOW)
    await connection.execute("UPDATE alert SET state = 'resolved'")
    old = event(fall(), 1, time=NOW - timedelta(hours=3))
    await taken(handler.handle, connection, [record(old)], NOW)
    assert await rows(connection, "SELECT event_time FROM alert WHERE state = 'raised'") == [(old.time,)]


@one_by_one
async def test_a_wait_that_stands_on_nothing_does_not_stop_the_ticker(connection: Any) -> None:
    await connection.execute(
        """INSERT INTO detector_state VALUES ('falls', 'x', '{"last": "2026-03-01T08:00:00Z"}', now());
           INSERT INTO deadline VALUES ('falls', 'x', '2026-03-01Z')"""
    )
    assert await ticker(connection, NOW).step()
    assert not await ticker(connection, NOW).step()


# --- Synthetic ---


@one_by_one
async def test_a_canary_is_about_itself(connection: Any, handler: EventHandler) -> None:
    at = Address("c1", "e1", "robot")
    canary = event(fall(), address=at, device="canary", synthetic="canary")
    await taken(handler.handle, connection, [record(canary)], NOW)
    assert await rows(connection, "SELECT subject, resident, synthetic FROM alert") == [
        (f"canary:{canary.id}", None, "canary")
    ]


@one_by_one
@pytest.mark.parametrize("forged", ["canary", "drill", "demo"])
async def test_a_forged_flag_hides_no_fall(connection: Any, handler: EventHandler, forged: Any) -> None:
    await taken(handler.handle, connection, [record(event(fall(), synthetic=forged))], NOW)
    assert await rows(connection, "SELECT subject, synthetic FROM alert") == [("resident:r1", None)]
    assert await rows(connection, "SELECT synthetic FROM event") == [(None,)]


# --- Dead letters ---


def dead_headers(**changes: str | None) -> dict[str, bytes]:
    headers: dict[str, str | None] = {"reason": "malformed", "detail": "no by"}
    headers |= {
        "origin": "vigil/v1/c1/e1/n1/alarm/pendant",
        "node": "n1",
        "boot": BOOT,
        "lane": "alarm",
        "seq": "1",
    }
    return {name: value.encode() for name, value in (headers | changes).items() if value is not None}


@one_by_one
async def test_an_unregistered_device_ends_as_a_dead_letter(connection: Any, handler: EventHandler) -> None:
    given_ = await taken(handler.handle, connection, [record(event(device="stranger"))], NOW)
    assert given_ == [receipt(1)]
    assert await rows(connection, "SELECT reason, seq, payload FROM dead_letter") == [
        ("unregistered", 1, events.encode(event(device="stranger")))
    ]


@one_by_one
async def test_a_dead_letter_is_stored_receipted_and_counted_once(connection: Any) -> None:
    letters = [dead_record(b"\x00{", dead_headers())] * 2
    before = REGISTRY.get_sample_value("vigil_events_dead_total", {"reason": "malformed"}) or 0
    for _ in range(2):
        assert await taken(DeadHandler(Registry()).handle, connection, letters, NOW) == [receipt(1)]
    assert await rows(connection, "SELECT reason, origin, payload, seq FROM dead_letter") == [
        ("malformed", "vigil/v1/c1/e1/n1/alarm/pendant", b"\x00{", 1)
    ]
    assert REGISTRY.get_sample_value("vigil_events_dead_total", {"reason": "malformed"}) == before + 1


@one_by_one
@pytest.mark.parametrize("numbered", [True, False])
async def test_a_dead_letter_of_the_alarm_lane_raises_for_the_nodes_zone(
    connection: Any, numbered: bool
) -> None:
    nothing: dict[str, str | None] = dict.fromkeys(("node", "boot", "lane", "seq"))
    letter = dead_record(b"{", dead_headers(**({} if numbered else nothing)))
    for _ in range(2):
        await taken(DeadHandler(Registry()).handle, connection, [letter], NOW)
    assert await rows(connection, "SELECT subject, kind, resident, evidence FROM alert") == [
        ("zone:home1", "unreadable_alarm", None, 1)
    ]


@one_by_one
async def test_an_unreadable_alarm_of_a_node_without_a_zone_names_the_node(connection: Any) -> None:
    headers = dead_headers(origin="vigil/v1/c1/e1/n2/alarm/pendant2", node="n2")
    await taken(DeadHandler(Registry()).handle, connection, [dead_record(b"{", headers)], NOW)
    assert await rows(connection, "SELECT subject FROM alert") == [("node:n2",)]


@one_by_one
@pytest.mark.parametrize(
    "origin", ["vigil/v1/c1/e1/n1/telemetry/pendant", "vigil/v1/c1/e1/stranger/alarm/d", "x"]
)
async def test_other_dead_letters_raise_nothing(connection: Any, origin: str) -> None:
    headers = dead_headers(origin=origin, node=None, boot=None, lane=None, seq=None)
    await taken(DeadHandler(Registry()).handle, connection, [dead_record(b"{", headers)], NOW)
    assert await counts(connection) == {"dead_letter": 1}


@one_by_one
async def test_a_dead_letter_that_was_repaired_ends_as_stored(connection: Any, handler: EventHandler) -> None:
    await taken(DeadHandler(Registry()).handle, connection, [dead_record(b"{", dead_headers())], NOW)
    await taken(handler.handle, connection, [record(event())], NOW)
    assert await ended(connection) == [(1, "stored")]


@one_by_one
async def test_an_event_that_is_stored_does_not_end_as_dead_as_well(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [record(event())], NOW)
    assert await taken(
        DeadHandler(Registry()).handle, connection, [dead_record(b"{", dead_headers())], NOW
    ) == [receipt(1)]
    assert await ended(connection) == [(1, "stored")]


@one_by_one
@pytest.mark.parametrize(
    "broken",
    [{"lane": b"fast"}, {"seq": b"many"}, {"boot": b"\xff\x00"}, {"origin": b"\xff"}, {"node": b"\0"}],
)
async def test_a_dead_letter_that_cannot_be_read_is_put_aside_all_the_same(
    connection: Any, broken: dict[str, bytes]
) -> None:
    letter = dead_record(b"{", dead_headers() | broken)
    why = Rejected("poison", "would not go in")
    await taken(DeadHandler(Registry()).bury, why, connection, [letter], NOW)
    assert await rows(connection, "SELECT reason, payload FROM dead_letter") == [("poison", b"{")]


@one_by_one
async def test_a_record_put_aside_is_accounted_for_and_raised_like_any_unreadable_alarm(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [], NOW)
    assert await taken(handler.bury, Rejected("poison", "?"), connection, [record(event())], NOW) == [
        receipt(1)
    ]
    assert await counts(connection) == {"dead_letter": 1, "detection": 1, "alert": 1}


# --- Given up by the edge ---


@one_by_one
async def test_what_an_edge_gave_up_is_accounted_for_but_not_what_had_arrived(
    connection: Any, handler: EventHandler
) -> None:
    await taken(handler.handle, connection, [record(event(seq=2))], NOW)
    shed = Shed(of_boot=BOOT, of_lane=Lane.ALARM, first=1, last=4, reason="spool_full")
    given_ = await taken(handler.handle, connection, [record(event(shed, 1))], NOW)
    assert given_ == [receipt(1, Lane.EVENT), receipt(4)]
    assert await ended(connection) == [(1, "shed"), (2, "stored"), (3, "shed"), (4, "shed")]


@one_by_one
async def test_what_was_given_up_and_arrives_after_all_ends_as_stored(
    connection: Any, handler: EventHandler
) -> None:
    shed = Shed(of_boot=BOOT, of_lane=Lane.ALARM, first=1, last=2, reason="spool_full")
    stone = Tombstone(of_boot=BOOT, of_lane=Lane.ALARM, of_seq=3, sent=20)
    await taken(handler.handle, connection, [record(event(shed, 1)), record(event(stone, 2))], NOW)
    assert await ended(connection) == [(1, "shed"), (2, "shed"), (3, "dead")]
    await taken(handler.handle, connection, [record(event(seq=2)), record(event(seq=3))], NOW)
    assert await ended(connection) == [(1, "shed"), (2, "stored"), (3, "stored")]


# --- States and births ---


def state_record(kind: Kind, data: Any, node: str = "n1", device: str | None = None) -> Any:
    topic = Address("c1", "e1", node).topic(kind, device).encode()
    return raw_record(events.encode(data), topic=topics.STATE, headers={"topic": topic})


@one_by_one
async def test_states_and_births_are_kept_and_a_lost_tail_shows(connection: Any) -> None:
    birth = Birth(
        session="s",
        model="m",
        firmware="1",
        capabilities=[],
        lanes=[LaneEnd(boot=BOOT, lane=Lane.ALARM, seq=2)],
    )
    batch = [
        state_record(Kind.STATE, NodeState(online=True, session="s")),
        state_record(Kind.BIRTH, birth, device="pendant"),
        state_record(Kind.BIRTH, birth, "stranger", "x"),
        state_record(Kind.REPLY, {"to": "x", "accepted": True}),
    ]
    assert await taken(StateHandler().handle, connection, batch, NOW) == []
    assert await rows(connection, "SELECT online, session FROM node WHERE id = 'n1'") == [(True, "s")]
    assert await rows(connection, "SELECT id FROM device WHERE birth IS NOT NULL") == [("pendant",)]
    assert await rows(connection, "SELECT node, first, last FROM gap") == [("n1", 1, 2)]


@one_by_one
async def test_an_event_of_a_boot_that_was_closed_is_receipted_and_not_decided_on_again(
    connection: Any, handler: EventHandler
) -> None:
    call = record(event(Sos(by="cord"), device="door"))
    await taken(handler.handle, connection, [call], NOW)
    ends = [LaneEnd(BOOT, Lane.ALARM, 1), LaneEnd("9-0000000b", Lane.ALARM, 0)]
    birth = Birth(session="s", model="m", firmware="1", capabilities=[], lanes=ends)
    await taken(StateHandler().handle, connection, [state_record(Kind.BIRTH, birth, device="pendant")], NOW)
    assert await rows(connection, "SELECT boot, ended FROM watermark ORDER BY boot") == [
        (BOOT, True),
        ("9-0000000b", False),
    ]
    await connection.execute("DELETE FROM event")  # as `vigil.store.retention` does in time
    assert await rows(connection, "SELECT close_boots(%s, 9)", NOW + timedelta(days=200)) == [(1,)]
    before = await counts(connection)
    assert await taken(handler.handle, connection, [call], NOW) == [receipt(1)]
    assert await counts(connection) == before


@one_by_one
async def test_births_of_many_take_no_more_statements_than_one(shared_database: str) -> None:
    birth = Birth(session="s", model="m", firmware="1", capabilities=[])
    sent = []
    async with await psycopg.AsyncConnection.connect(
        shared_database, autocommit=True, cursor_factory=CountingCursor
    ) as connection:
        for count in (1, 30):
            batch = [
                state_record(kind, data, f"n{number}", device)
                for number in range(count)
                for kind, data, device in (
                    (Kind.STATE, NodeState(online=True, session="s"), None),
                    (Kind.BIRTH, birth, "pendant"),
                )
            ]
            async with connection.transaction(force_rollback=True):
                before = CountingCursor.sent
                await StateHandler().handle(connection, batch, NOW)
                sent.append(CountingCursor.sent - before)
    assert sent[0] == sent[1]


def test_every_lane_has_a_table() -> None:
    assert under_test._TABLE_OF.keys() == set(Lane)
    assert event_id("n1", BOOT, Lane.ALARM, 1) == event().id


# --- Who may alert ---


@one_by_one
async def test_in_shadow_a_fall_is_recorded_and_alerts_nobody_until_somebody_lets_it(
    connection: Any, handler: EventHandler
) -> None:
    say = """
        INSERT INTO detector_mode (detector, version, estate, mode, actor, reason, at)
        VALUES ('falls-waist', %s, 'e1', %s, 'person:x', 'as seen', %s)
    """
    await connection.execute(say, ["any", "shadow", NOW])
    await taken(handler.handle, connection, [record(event(fall(), 1))], NOW)
    assert await rows(connection, "SELECT shadow, round(score::numeric, 2)::float FROM detection") == [
        (True, 0.99)
    ]
    assert await rows(connection, "SELECT FROM alert") == []
    assert await rows(connection, "SELECT FROM deadline") == []
    await connection.execute(say, ["7", "alert", NOW])
    later = NOW + timedelta(minutes=5)
    await taken(handler.handle, connection, [record(event(fall(), 2, time=later))], later)
    assert await rows(connection, "SELECT kind FROM alert") == [("fall",)]
    labels = {"detector": "falls-waist", "mode": "alert"}
    assert REGISTRY.get_sample_value("vigil_detector_estates", labels) == 1
    labels["mode"] = "standing_in"
    assert REGISTRY.get_sample_value("vigil_detector_estates", labels) == 0
