"""What is stored, once; what is accounted for; who may write."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.conftest import somebody_waits
from tests.making import BOOT, NOW
from vigil.errors import Fenced
from vigil.events import derived_id, event_id
from vigil.store import intake
from vigil.store.intake import (
    EARLIEST,
    Accounted,
    Accounting,
    Claim,
    Dead,
    EventRow,
    Move,
    ShedRange,
    Watermark,
    Withheld,
)
from vigil.topics import Lane

if TYPE_CHECKING:
    from tests.integration.store.conftest import Connect

pytestmark = pytest.mark.integration

KEY = ("n1", BOOT, "alarm")
on_a_shared_database = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def row(seq: int, **changes: Any) -> EventRow:
    made = EventRow(
        time=NOW + timedelta(seconds=seq),
        id=event_id("n1", BOOT, Lane.ALARM, seq),
        node="n1",
        device="d1",
        type="vigil.alarm.sos.v1",
        boot=BOOT,
        lane="alarm",
        seq=seq,
        received_at=NOW,
        clock="synced",
        synthetic=None,
        data=b'{"by": "button", "note": "\xe5\xae\xb6 \\"1\\""}',
    )
    return replace(made, **changes)


def dead(seq: int | None, **changes: Any) -> Dead:
    id_ = event_id("n1", BOOT, Lane.ALARM, seq) if seq else derived_id("dead", "x")
    made = Dead(id_, "malformed", "no by", "topic", b"\x00\xff", "n1", BOOT, "alarm", seq, NOW)
    return replace(made, **changes)


async def all_of(connection: Any, query: str, *values: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = await (await connection.execute(query, values)).fetchall()
    return rows


async def rolled_back(dsn: str, work: Any) -> None:
    async with (
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        await work(connection)


# --- Stored once ---


@pytest.mark.asyncio
@pytest.mark.parametrize("table", ["event", "telemetry", "health"])
@pytest.mark.parametrize("size", [1, 127, 128, 300])
async def test_a_batch_is_stored_and_a_second_time_adds_nothing(
    connection: Any, table: str, size: int
) -> None:
    rows = [row(seq) for seq in range(1, size + 1)]
    assert await intake.insert_events(connection, table, rows) == {r.id for r in rows}
    assert await intake.insert_events(connection, table, rows) == set()
    assert len(await all_of(connection, f"TABLE {table}")) == size


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 200])
async def test_a_batch_may_hold_its_own_duplicates(connection: Any, size: int) -> None:
    rows = [row(seq) for seq in range(1, size + 1)] * 3
    assert len(await intake.insert_events(connection, "event", rows)) == size
    assert await all_of(connection, "SELECT count(*) FROM event") == [(size,)]


@pytest.mark.asyncio
async def test_an_empty_batch_is_no_work(connection: Any) -> None:
    assert await intake.insert_events(connection, "event", []) == set()
    assert await intake.insert_implausible(connection, []) == set()
    assert await intake.insert_dead(connection, []) == set()
    assert await intake.account(connection, {}, NOW) == Accounting({}, [])


@pytest.mark.asyncio
async def test_copied_rows_and_rows_from_arrays_are_the_same_rows(connection: Any) -> None:
    rows = [
        row(1),
        row(
            2,
            synthetic="canary",
            clock="unsynced",
            time=datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ),
        row(3, data=b'{"values": [1.5, -0.0, 1e-7, 123456789012345678901234567890]}'),
        row(4, device="d\\N\t,\n{}", data=b"[]"),
        replace(row(5), seq=2**62),
    ]
    await intake._insert_copied(connection, "event", rows)
    await intake._insert_arrays(connection, "telemetry", rows)
    copied = await all_of(connection, "TABLE event ORDER BY seq")
    arrays = await all_of(connection, "TABLE telemetry ORDER BY seq")
    assert copied == arrays
    assert len(copied) == len(rows)


events = st.lists(st.integers(1, 12), min_size=1, max_size=30)
cuts = st.lists(st.integers(0, 30), max_size=5)


@on_a_shared_database
@given(events, cuts, st.sampled_from([2, 128]))
def test_however_events_are_repeated_and_cut_into_batches_each_is_new_once(
    shared_database: str, seqs: list[int], where: list[int], copy_from: int
) -> None:
    async def work(connection: Any) -> None:
        edges = [0, *sorted(min(cut, len(seqs)) for cut in where), len(seqs)]
        new: list[Any] = []
        for first, last in pairwise(edges):
            batch = [row(seq) for seq in seqs[first:last]]
            insert = intake._insert_copied if len(batch) >= copy_from else intake.insert_events
            new += await insert(connection, "event", batch) if batch else []
        assert sorted(new) == sorted({row(seq).id for seq in seqs})
        stored = await all_of(connection, "SELECT seq FROM event ORDER BY seq")
        assert [seq for (seq,) in stored] == sorted(set(seqs))

    asyncio.run(rolled_back(shared_database, work))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "time",
    [datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)],
)
async def test_a_time_that_cannot_be_is_kept_with_what_was_claimed(connection: Any, time: datetime) -> None:
    broken = row(1, time=time)
    assert await intake.insert_implausible(connection, [broken, broken]) == {broken.id}
    assert await intake.insert_implausible(connection, [replace(broken, received_at=NOW)]) == set()
    assert await all_of(connection, "SELECT claimed, seq FROM implausible") == [(time, 1)]


@pytest.mark.asyncio
@pytest.mark.parametrize("table", ["event", "telemetry", "health"])
async def test_what_was_stored_is_not_stored_again_as_implausible(connection: Any, table: str) -> None:
    await intake.insert_events(connection, table, [row(1)])
    assert await intake.insert_implausible(connection, [row(1)]) == set()


@pytest.mark.asyncio
async def test_only_what_is_dead_or_shed_may_be_stored_after_all(connection: Any) -> None:
    """What was stored, withheld or implausible has ended, whether or not its row is still there."""
    await intake.insert_withheld(
        connection, [Withheld(row(1).id, *KEY, 1, "fall_detection", date(2026, 3, 1))]
    )
    await intake.insert_implausible(connection, [row(2)])
    await intake.insert_events(connection, "event", [row(3)])
    await intake.insert_dead(connection, [dead(5), dead(6)])
    await intake.account(connection, {KEY: [(1, 6)]}, NOW)
    await intake.insert_shed(connection, [ShedRange(*KEY, 7, 8, "spool_full")], {})
    await intake.take_back(connection, [(KEY, 6, row(6).id), (KEY, 8, row(8).id)], NOW)
    again = [(KEY, seq, row(seq).id) for seq in range(1, 9)]
    assert await intake.given_up(connection, again) == {row(5).id, row(7).id}
    assert await intake.given_up(connection, []) == set()


@pytest.mark.asyncio
async def test_a_dead_letter_counts_once_and_keeps_its_bytes(connection: Any) -> None:
    assert len(await intake.insert_dead(connection, [dead(1), dead(1), dead(None)])) == 2
    assert await intake.insert_dead(connection, [dead(1)]) == set()
    assert await all_of(connection, "SELECT DISTINCT payload FROM dead_letter") == [(b"\x00\xff",)]


@pytest.mark.asyncio
async def test_what_a_database_cannot_hold_as_text_does_not_keep_a_dead_letter_out(connection: Any) -> None:
    await intake.insert_dead(connection, [dead(1, detail="a\0b", origin="\0")])
    assert await all_of(connection, "SELECT detail, origin FROM dead_letter") == [("a\ufffdb", "\ufffd")]


# --- Accounted for ---


def covered(ranges: list[tuple[int, int]]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


def watermark_of(seqs: set[int]) -> int:
    mark = 0
    while mark + 1 in seqs:
        mark += 1
    return mark


ranges_ = st.builds(
    lambda first, more: (first, first + more), st.integers(1, 25), st.sampled_from([0, 0, 0, 1, 5])
)
batches_ = st.lists(
    st.dictionaries(st.sampled_from(["n1", "n2"]), st.lists(ranges_, min_size=1, max_size=5), max_size=2),
    max_size=8,
)


@on_a_shared_database
@given(batches_, st.integers(0, 30))
def test_a_watermark_is_the_highest_number_below_which_none_is_missing(
    shared_database: str, batches: list[dict[str, list[tuple[int, int]]]], said: int
) -> None:
    """Whatever is reordered, repeated, missing or given up, against sets of numbers."""

    async def work(connection: Any) -> None:
        model: dict[str, set[int]] = defaultdict(set)
        for batch in batches:
            came = await intake.account(
                connection, {(node, BOOT, "alarm"): some for node, some in batch.items()}, NOW
            )
            for node, some in batch.items():
                again = {seq for seq in range(1, 40) if came.had((node, BOOT, "alarm"), seq)}
                assert again == model[node] & covered(some)
                model[node] |= covered(some)
            marks = {mark.node: mark.stored for mark in came.watermarks}
            assert marks == {node: watermark_of(model[node]) for node in batch}
        await connection.execute(
            """INSERT INTO community VALUES ('c', 'C'); INSERT INTO estate VALUES ('e', 'c', 'E');
               INSERT INTO node (id, estate) VALUES ('n1', 'e'), ('n2', 'e')"""
        )
        await intake.note_given(connection, {(node, BOOT, "alarm"): said for node in model}, set(), NOW)
        holes = await all_of(connection, "SELECT node, first, last FROM gap")
        missing = {(node, seq) for node, first, last in holes for seq in range(first, last + 1)}
        assert missing == {
            (node, seq) for node, seqs in model.items() for seq in set(range(1, max(*seqs, said) + 1)) - seqs
        }

    asyncio.run(rolled_back(shared_database, work))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=8), st.integers(-2, 50))
def test_a_number_is_accounted_for_if_a_range_holds_it(pieces: list[tuple[int, int]], seq: int) -> None:
    ranges, after = [], 0
    for gap, length in pieces:
        ranges.append((after + gap, after + gap + length))
        after = ranges[-1][1] + 2
    assert (seq in Accounted(tuple(ranges))) == (seq in covered(ranges))


@pytest.mark.asyncio
async def test_a_duplicate_is_answered_like_a_first_arrival(connection: Any) -> None:
    first = await intake.account(connection, {KEY: [(1, 3)]}, NOW)
    again = await intake.account(connection, {KEY: [(2, 2)]}, NOW)
    assert first.watermarks == again.watermarks == [Watermark(*KEY, 3)]
    assert [seq for seq in (1, 2, 3) if again.had(KEY, seq)] == [2]
    assert not first.before


@pytest.mark.asyncio
async def test_a_tail_that_only_a_birth_has_named_shows_as_a_gap(connection: Any) -> None:
    await connection.execute(
        """INSERT INTO community VALUES ('c', 'C'); INSERT INTO estate VALUES ('e', 'c', 'E');
           INSERT INTO node (id, estate) VALUES ('n1', 'e')"""
    )
    await intake.account(connection, {KEY: [(1, 3), (5, 5)]}, NOW)
    other = ("n1", "2-0000000b", "event")
    await intake.note_given(connection, {KEY: 7, other: 2}, set(), NOW)
    await intake.note_given(connection, {KEY: 6}, set(), NOW)
    gaps = await all_of(connection, "SELECT boot, lane, first, last FROM gap ORDER BY boot, first")
    assert gaps == [(BOOT, "alarm", 4, 4), (BOOT, "alarm", 6, 7), ("2-0000000b", "event", 1, 2)]


@pytest.mark.asyncio
async def test_a_stranger_that_boasts_of_numbers_leaves_no_gap(connection: Any) -> None:
    await intake.note_given(connection, {("stranger", BOOT, "alarm"): 9}, set(), NOW)
    assert await all_of(connection, "SELECT * FROM watermark") == []


@pytest.mark.asyncio
async def test_two_who_account_at_the_same_time_lose_nothing_of_each_other(connect: Connect) -> None:
    async with connect() as one, connect() as other:

        async def odd(connection: Any, start: int) -> None:
            for seq in range(start, 61, 2):
                async with connection.transaction():
                    await intake.account(
                        connection, {KEY: [(seq, seq)], ("n2", BOOT, "alarm"): [(seq, seq)]}, NOW
                    )

        await asyncio.gather(odd(one, 1), odd(other, 2))
        came = await intake.account(one, {KEY: [(1, 1)], ("n2", BOOT, "alarm"): [(1, 1)]}, NOW)
        assert [mark.stored for mark in came.watermarks] == [60, 60]


@pytest.mark.asyncio
async def test_who_decides_what_becomes_of_a_number_decides_alone(connect: Connect) -> None:
    async with connect() as one, connect() as other, connect() as watcher:
        async with one.transaction():
            await intake.account(one, {KEY: [(7, 7)]}, NOW)

            async def second() -> Accounting:
                async with other.transaction():
                    return await intake.account(other, {KEY: [(6, 7)]}, NOW)

            waiting = asyncio.create_task(second())
            await somebody_waits(watcher)
        came = await waiting
        assert came.had(KEY, 7)
        assert not came.had(KEY, 6)


@pytest.mark.asyncio
async def test_what_arrived_all_the_same_is_not_among_what_was_given_up(connection: Any) -> None:
    await intake.account(connection, {KEY: [(1, 2), (5, 5)]}, NOW)
    came = await intake.account(connection, {KEY: [(1, 8)]}, NOW)
    await intake.insert_shed(connection, [ShedRange(*KEY, 1, 8, "spool_full")], came.before)
    assert await all_of(connection, "SELECT seqs::text FROM shed") == [("{[3,5),[6,9)}",)]
    await intake.take_back(connection, [(KEY, 7, row(7).id)], NOW)
    assert await all_of(connection, "SELECT seqs::text FROM shed") == [("{[3,5),[6,7),[8,9)}",)]


# --- Boots that are over ---

LATER = ("n1", "2-0000000b", "alarm")
LONG_AGO = NOW - timedelta(days=200)


async def over(connection: Any, stored: int = 3, given: int = 3) -> None:
    """Let a boot end with so many numbers given out and stored, long ago."""
    await connection.execute(
        """INSERT INTO community VALUES ('c', 'C'); INSERT INTO estate VALUES ('e', 'c', 'E');
           INSERT INTO node (id, estate) VALUES ('n1', 'e')"""
    )
    await intake.account(connection, {KEY: [(1, stored)]}, LONG_AGO)
    await intake.note_given(connection, {KEY: given, LATER: 0}, {KEY}, LONG_AGO)


async def closed(connection: Any) -> int:
    ((count,),) = await all_of(connection, "SELECT close_boots(%s, 100)", NOW - timedelta(days=180))
    return int(count)


@pytest.mark.asyncio
async def test_a_boot_that_is_over_and_wholly_accounted_for_is_closed(connection: Any) -> None:
    await over(connection)
    assert await closed(connection) == 1
    assert await all_of(connection, "SELECT boot FROM watermark") == [(LATER[1],)]
    assert await closed(connection) == 0


@pytest.mark.asyncio
async def test_whatever_comes_of_a_closed_boot_is_a_repetition_and_is_receipted(connection: Any) -> None:
    await over(connection)
    await closed(connection)
    for _ in range(2):
        came = await intake.account(connection, {LATER: [(1, 1)], KEY: [(2, 2), (3, 3)]}, NOW)
        assert came.watermarks == [Watermark(*LATER, 1), Watermark(*KEY, 3)]
        assert came.had(KEY, 2)
        assert came.had(KEY, 3)
    await intake.note_given(connection, {KEY: 3, LATER: 1}, {KEY}, NOW)
    assert await all_of(connection, "SELECT boot FROM watermark") == [(LATER[1],)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reason",
    [
        "no later boot has named its end",
        "a number in the middle never came",
        "its tail never came",
        "something came of it lately",
        "another lane of it still misses something",
    ],
)
async def test_a_boot_of_which_something_new_may_come_is_never_closed(connection: Any, reason: str) -> None:
    await over(connection, given=5 if "tail" in reason else 3)
    other = (*KEY[:2], "health")
    match reason.split(maxsplit=1)[0]:
        case "no":
            await connection.execute("UPDATE watermark SET ended = false")
        case "a":
            await intake.account(connection, {KEY: [(5, 5)]}, LONG_AGO)
        case "something":
            await intake.account(connection, {KEY: [(3, 3)]}, NOW)
        case "another":
            await intake.account(connection, {other: [(2, 2)]}, LONG_AGO)
            await intake.note_given(connection, {other: 2}, {other}, LONG_AGO)
    assert await closed(connection) == 0
    came = await intake.account(connection, {KEY: [(9, 9)]}, NOW)
    assert not came.had(KEY, 9)


@pytest.mark.asyncio
async def test_who_accounts_while_a_boot_is_closed_comes_before_or_after_it(connect: Connect) -> None:
    async with connect() as one, connect() as other, connect() as watcher:
        await over(one)
        async with one.transaction():
            assert await closed(one) == 1
            waiting = asyncio.create_task(intake.account(other, {KEY: [(2, 2)]}, NOW))
            await somebody_waits(watcher)
        with pytest.raises(psycopg.errors.SerializationFailure):
            await waiting
        came = await intake.account(other, {KEY: [(2, 2)]}, NOW)
        assert came.had(KEY, 2)
        assert await all_of(one, "SELECT boot FROM watermark") == [(LATER[1],)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("boot", "number"),
    [
        ("1-0000abcd", (1 << 32) + 0xABCD),
        ("999999999-ffffffff", (999999999 << 32) + 0xFFFFFFFF),
        ("01-0000abcd", None),
        ("1-0000ABCD", None),
        ("boot", None),
    ],
)
async def test_a_boot_is_a_number_of_its_own(connection: Any, boot: str, number: int | None) -> None:
    assert await all_of(connection, "SELECT boot_number(%s)", boot) == [(number,)]


# --- Who may write ---


@pytest.mark.asyncio
async def test_a_partition_nobody_has_read_is_read_from_its_beginning(connection: Any) -> None:
    claim = await intake.claim(connection, "t", 0, "log-1")
    assert (claim.epoch, claim.next_offset) == (1, EARLIEST)


@pytest.mark.asyncio
async def test_the_next_writer_goes_on_where_the_last_one_committed(connection: Any) -> None:
    first = await intake.claim(connection, "t", 0, "log-1")
    async with intake.advanced(connection, [Move("t", 0, first.epoch, EARLIEST, 42)]):
        pass
    second = await intake.claim(connection, "t", 0, "log-1")
    assert second.next_offset == 42
    assert second.epoch > first.epoch
    assert (await intake.claim(connection, "t", 1, "log-1")).next_offset == EARLIEST


@pytest.mark.asyncio
async def test_another_log_is_read_from_its_beginning(connection: Any) -> None:
    first = await intake.claim(connection, "t", 0, "log-1")
    async with intake.advanced(connection, [Move("t", 0, first.epoch, EARLIEST, 42)]):
        pass
    assert (await intake.claim(connection, "t", 0, "log-2")).next_offset == EARLIEST
    assert (await intake.claim(connection, "t", 0, "log-1")).next_offset == EARLIEST


@pytest.mark.asyncio
async def test_a_writer_that_was_replaced_commits_nothing(connect: Connect) -> None:
    async with connect() as zombie, connect() as successor:
        old = await intake.claim(zombie, "t", 0, "log-1")
        await intake.claim(successor, "t", 0, "log-1")

        async def write() -> None:
            async with zombie.transaction():
                await intake.insert_events(zombie, "event", [row(1)])
                async with intake.advanced(zombie, [Move("t", 0, old.epoch, EARLIEST, 1)]):
                    pass

        with pytest.raises(Fenced):
            await write()
        assert await all_of(successor, "SELECT count(*) FROM event") == [(0,)]
        assert await all_of(successor, "SELECT next_offset FROM checkpoint") == [(EARLIEST,)]


@pytest.mark.asyncio
async def test_a_writer_that_is_replaced_in_the_middle_is_waited_for(connect: Connect) -> None:
    async with connect() as old, connect() as new, connect() as watcher:
        claim = await intake.claim(old, "t", 0, "log-1")
        async with old.transaction():
            async with intake.advanced(old, [Move("t", 0, claim.epoch, EARLIEST, 10)]):
                pass
            taking = asyncio.create_task(intake.claim(new, "t", 0, "log-1"))
            await somebody_waits(watcher)
            await intake.insert_events(old, "event", [row(1)])
        assert (await taking).next_offset == 10
        assert await all_of(new, "SELECT count(*) FROM event") == [(1,)]


@pytest.mark.asyncio
async def test_nobody_writes_for_a_partition_without_a_claim(connection: Any) -> None:
    with pytest.raises(Fenced):
        async with intake.advanced(connection, [Move("t", 0, 0, EARLIEST, 1)]):
            pass


@pytest.mark.asyncio
async def test_a_place_that_a_restored_database_has_lost_is_not_passed_over(connection: Any) -> None:
    claim = await intake.claim(connection, "t", 0, "log-1")
    async with intake.advanced(connection, [Move("t", 0, claim.epoch, EARLIEST, 42)]):
        pass
    await connection.execute("UPDATE checkpoint SET next_offset = 30")  # what a backup had
    with pytest.raises(Fenced):
        async with intake.advanced(connection, [Move("t", 0, claim.epoch, 42, 50)]):
            pass
    assert (await intake.places(connection))["t", 0] == Claim(claim.epoch, 30)


@pytest.mark.asyncio
async def test_a_commit_of_which_nobody_knows_whether_it_went_through_may_be_made_again(
    connection: Any,
) -> None:
    claim = await intake.claim(connection, "t", 0, "log-1")
    for _ in range(2):
        async with intake.advanced(connection, [Move("t", 0, claim.epoch, EARLIEST, 42)]):
            pass
    assert (await intake.places(connection))["t", 0] == Claim(claim.epoch, 42)
