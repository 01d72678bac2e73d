"""TimescaleDB: what our schema and queries ask of it, and what its stand-in cannot do."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from tests.integration.store.test_intake import row
from tests.integration.store.test_retention import counts, falls, trimmed
from vigil.store.intake import insert_events
from vigil.store.migrations import migrate, shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import NewTimescale
    from vigil.store.intake import EventRow

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.asyncio]

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HYPERTABLES = {"event", "telemetry", "health"}


@pytest.fixture(scope="module")
def shared(new_timescale: NewTimescale) -> Iterator[str]:
    """A database with the extension, for tests that clean up behind themselves."""
    with new_timescale() as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
        yield dsn


@pytest_asyncio.fixture
async def connection(shared: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(shared, autocommit=True) as made:
        yield made


async def rows(connection: Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), values)).fetchall()


async def test_the_migrations_apply_once_and_put_what_grows_for_ever_into_hypertables(timescale: str) -> None:
    async with await psycopg.AsyncConnection.connect(timescale, autocommit=True) as connection:
        assert await migrate(connection) == [migration.name for migration in shipped()]
        assert await migrate(connection) == []
        tables = await rows(connection, "SELECT hypertable_name FROM timescaledb_information.hypertables")
    assert {name for (name,) in tables} >= HYPERTABLES


# --- Our schema ---


@pytest_asyncio.fixture
async def ours(shared: str) -> AsyncIterator[Connection]:
    """Our schema, without events."""
    async with await psycopg.AsyncConnection.connect(shared, autocommit=True) as made:
        await migrate(made)
        await made.execute(
            "TRUNCATE event, telemetry, health, activity_rollup, uptime_rollup, registry_change"
        )
        yield made


def days(*ago: int, first: int = 1) -> list[EventRow]:
    """Make an event of each of some days."""
    return [replace(row(first + n), time=START - day * DAY) for n, day in enumerate(ago)]


async def compress_what_is_old(connection: Connection) -> int:
    """Run the jobs that compress; return how many chunks are compressed now.  The jobs go by the server's clock."""
    jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
    for (job,) in await rows(connection, jobs):
        await connection.execute(f"CALL run_job({int(job)})".encode())
    query = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
    ((count,),) = await rows(connection, query)
    return int(count)


async def test_old_chunks_are_compressed_and_an_event_is_stored_once_all_the_same(ours: Connection) -> None:
    """Late by days, and sent again after days: what compression must not change."""
    there = days(1, 1, 2)
    for table in sorted(HYPERTABLES):
        assert len(await insert_events(ours, table, there)) == 3
    assert await compress_what_is_old(ours) == 2 * len(HYPERTABLES)
    late = days(*[1] * 100, first=10)
    for table in sorted(HYPERTABLES):
        assert await insert_events(ours, table, there + late) == {event.id for event in late}
        assert await insert_events(ours, table, there + late) == set()
        assert len(await rows(ours, f"TABLE {table}")) == 103
    assert await compress_what_is_old(ours) == 2 * len(HYPERTABLES)
    assert await insert_events(ours, "event", there + late) == set()


async def test_storing_what_is_late_is_never_refused_for_what_it_has_to_look_through(
    ours: Connection,
) -> None:
    settings = await rows(ours, "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase <> 0")
    assert settings == [("timescaledb.max_tuples_decompressed_per_dml_transaction=0",)]


async def test_compression_follows_the_table_that_ops_change(ours: Connection) -> None:
    jobs = """SELECT hypertable_name, config->>'compress_after' FROM timescaledb_information.jobs
              WHERE proc_name = 'policy_compression' ORDER BY 1"""
    first = await rows(ours, jobs)
    assert first == [(table, "7 days") for table in sorted(HYPERTABLES)]
    await ours.execute("UPDATE retention SET compress_after = '20 days' WHERE class = 'event'")
    await ours.execute("UPDATE retention SET compress_after = NULL WHERE class = 'health'")
    assert await rows(ours, jobs) == [("event", "20 days"), ("telemetry", "7 days")]
    await ours.execute("UPDATE retention SET compress_after = '7 days' WHERE class IN ('event', 'health')")
    assert await rows(ours, jobs) == first


async def test_whole_days_of_old_events_go_and_the_rest_stays(ours: Connection) -> None:
    some = days(2, 28, 32, 88, 92)
    for table in sorted(HYPERTABLES):
        await insert_events(ours, table, some)
    assert await trimmed(ours, START) == {"event": 1, "telemetry": 3, "health": 3}
    assert await counts(ours) == {"event": 4, "telemetry": 2, "health": 2}


async def test_a_canary_in_a_compressed_chunk_waits_for_the_chunks_end(ours: Connection) -> None:
    """Deleting single rows there would decompress it; only a long stop of the trimmer leaves any."""
    for day in (9, 1):
        since = START - day * DAY
        await falls(ours, since, since + timedelta(seconds=2), "canary", timedelta(seconds=1))
    await ours.execute(
        "SELECT compress_chunk(c) FROM show_chunks('event', older_than => %s) c", [START - 7 * DAY]
    )
    assert (await trimmed(ours, START))["canary event"] == 2
    assert await counts(ours) == {"event": 2}
    assert await trimmed(ours, START + 90 * DAY) == {"event": 2}
    assert await counts(ours) == {}


VIEWS = {
    "device_activity_hourly": "hour, device, sensor, changes, minutes, first_at, last_at",
    "device_uptime_hourly": "hour, device, node, reports, minutes, battery_pct, first_at, last_at",
    "resident_activity_hourly": "hour, resident, changes, active_minutes, first_at, last_at",
    "alert_burden_hourly": "hour, estate, priority, kind, alerts, detections, reopened, false_alarms, answered, answer_s_mean",
}


async def reports(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        view: await rows(
            connection, "SELECT {0} FROM {1} ORDER BY {0}".replace("{0}", columns).replace("{1}", view)
        )
        for view, columns in VIEWS.items()
    }


async def lived_in(connection: Connection, data_dir: Path) -> None:
    """Store what a real home's sensors saw in four days (houses of van Kasteren), and its boxes' health."""
    lines = (data_dir / "kasteren_mit/houseA.sensors").read_text().splitlines()
    seen = [(int(start), sensor) for start, _, sensor in (line.split()[:3] for line in lines)]
    first = min(start for start, _ in seen)
    changes = [
        replace(
            row(n),
            device=f"s{sensor}",
            type="vigil.event.sensor_changed.v1",
            time=START + timedelta(seconds=start - first),
            data=b'{"sensor": "door", "state": true}',
        )
        for n, (start, sensor) in enumerate(sorted(seen), 1)
        if start < first + 4 * 86_400
    ]
    health = [
        replace(row(n), time=START + timedelta(minutes=7 * n), data=b'{"battery_pct": %d}' % (n % 100))
        for n in range(100)
    ]
    for start in range(0, len(changes), 100):  # the stand-in has no COPY
        await insert_events(connection, "event", changes[start : start + 100])
    await insert_events(connection, "health", health)
    await connection.execute(
        """
        INSERT INTO community VALUES ('c1', 'C') ON CONFLICT DO NOTHING;
        INSERT INTO estate VALUES ('e1', 'c1', 'E') ON CONFLICT DO NOTHING;
        INSERT INTO node (id, estate) VALUES ('n1', 'e1') ON CONFLICT DO NOTHING;
        INSERT INTO device (id, node, kind) SELECT DISTINCT device, 'n1', 'door' FROM event ON CONFLICT DO NOTHING;
        INSERT INTO resident (id, estate, name) VALUES ('r1', 'e1', 'R'), ('r2', 'e1', 'S') ON CONFLICT DO NOTHING;
        INSERT INTO assignment SELECT id, 'r1', '-infinity', '2026-01-03Z' FROM device ON CONFLICT DO NOTHING;
        INSERT INTO assignment SELECT id, 'r2', '2026-01-03Z', 'infinity' FROM device ON CONFLICT DO NOTHING;
        """
    )
    await falls(connection, START, START + DAY, None, timedelta(minutes=25))
    await falls(connection, START, START + DAY, "canary", timedelta(hours=1))


async def test_reports_by_the_hour_say_the_same_with_and_without_the_extension(
    ours: Connection, database: str, data_dir: Path
) -> None:
    await lived_in(ours, data_dir)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as plain:
        await lived_in(plain, data_dir)
        expected = await reports(plain)
    assert {view: bool(some) for view, some in expected.items()} == dict.fromkeys(VIEWS, True)
    assert {resident for _, resident, *_ in expected["resident_activity_hourly"]} == {"r1", "r2"}
    assert await reports(ours) == expected  # added up while they are read
    for rollup in ("activity_rollup", "uptime_rollup"):
        await ours.execute(f"CALL refresh_continuous_aggregate('{rollup}', NULL, NULL)".encode())
    assert await reports(ours) == expected  # from what has been kept
    await ours.execute(
        "SELECT drop_chunks(t, older_than => %s) FROM unnest('{event,health}'::regclass[]) t", [START + DAY]
    )
    assert await reports(ours) == expected  # the events are gone, their sums are not
    await trimmed(ours, START + 420 * DAY)
    empty: dict[str, list[tuple[Any, ...]]] = {view: [] for view in VIEWS if view != "alert_burden_hourly"}
    assert await reports(ours) == expected | empty


async def test_aggregates_are_refreshed_within_the_least_time_that_events_are_kept(ours: Connection) -> None:
    """Over chunks that were dropped, a refresh would replace what was counted by what came late."""
    windows = """SELECT a.view_name, a.hypertable_name, (j.config->>'start_offset')::interval
                 FROM timescaledb_information.jobs j
                 JOIN timescaledb_information.continuous_aggregates a
                     ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)  -- by version
                 WHERE j.proc_name = 'policy_refresh_continuous_aggregate'"""
    found = {view: (of, start) for view, of, start in await rows(ours, windows)}
    ((least,),) = await rows(ours, "SELECT min(at_least) FROM retention WHERE class IN ('event', 'health')")
    # What became of alerts is kept for ever, and may change after any time.
    assert found.pop("alert_steps_rollup") == ("alert_step", None)
    assert set(found) == {"activity_rollup", "uptime_rollup"}
    assert all(of in HYPERTABLES and start < least for of, start in found.values())


# --- What we ask of the extension ---


@pytest_asyncio.fixture
async def readings(connection: Connection) -> AsyncIterator[Connection]:
    """A hypertable of the shape that ours have, with a reading a minute for three days."""
    await connection.execute(
        "CREATE TABLE reading (time timestamptz, id uuid, node text NOT NULL, value float8, PRIMARY KEY (time, id))"
    )
    await connection.execute(
        "SELECT create_hypertable('reading', 'time', chunk_time_interval => interval '1 day')"
    )
    await connection.execute(
        "INSERT INTO reading SELECT minute, gen_random_uuid(), 'n1', 1"
        " FROM generate_series(%s::timestamptz, %s, interval '1 minute') AS minute",
        [START, START + timedelta(days=3, minutes=-1)],
    )
    yield connection
    await connection.execute("DROP TABLE reading CASCADE")


async def compress(connection: Connection) -> None:
    await connection.execute(
        "ALTER TABLE reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'node')"
    )
    await connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('reading') AS chunk")


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_event_that_comes_again_is_not_stored_twice(
    readings: Connection, *, compressed: bool
) -> None:
    """Pitfall 24: id and time are fixed at the edge; compression must not change the answer."""
    insert = "INSERT INTO reading VALUES (%s, %s, 'n1', 2) ON CONFLICT DO NOTHING RETURNING id"
    id_ = uuid.uuid4()
    assert await rows(readings, insert, START, id_) == [(id_,)]
    if compressed:
        await compress(readings)
    assert await rows(readings, insert, START, id_) == []
    assert await rows(readings, "SELECT count(*) FROM reading WHERE id = %s", id_) == [(1,)]


async def test_a_compressed_hypertable_answers_as_before(readings: Connection) -> None:
    question = "SELECT count(*), sum(value) FROM reading WHERE node = 'n1'"
    before = await rows(readings, question)
    await compress(readings)
    assert await rows(readings, question) == before == [(3 * 1440, 3 * 1440.0)]


async def test_a_continuous_aggregate_counts_per_hour(readings: Connection) -> None:
    await readings.execute(
        "CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS"
        " SELECT time_bucket('1 hour', time) AS hour, node, count(*) AS readings FROM reading GROUP BY 1, 2 WITH NO DATA"
    )
    await readings.execute("CALL refresh_continuous_aggregate('hourly', NULL, NULL)")
    assert await rows(readings, "SELECT DISTINCT readings FROM hourly") == [(60,)]


async def test_policies_for_compression_retention_and_aggregates_can_be_set_and_run(
    readings: Connection,
) -> None:
    await readings.execute("ALTER TABLE reading SET (timescaledb.compress)")
    await readings.execute("SELECT add_compression_policy('reading', interval '7 days')")
    [(retention,)] = await rows(readings, "SELECT add_retention_policy('reading', interval '1 day')")
    await readings.execute(f"CALL run_job({int(retention)})".encode())
    # Long ago by any server's clock: all but perhaps the newest chunk is gone.
    assert await rows(
        readings, "SELECT count(*) FROM reading WHERE time < %s", START + timedelta(days=1)
    ) == [(0,)]


async def test_row_level_security_and_compression_exclude_each_other(readings: Connection) -> None:
    """Why compressed hypertables are reached only through functions that check the scope."""
    await compress(readings)
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        await readings.execute("ALTER TABLE reading ENABLE ROW LEVEL SECURITY")


async def test_a_watermark_and_what_lies_beyond_it_fit_a_multirange(connection: Connection) -> None:
    query = (
        "SELECT '{[1,5)}'::int8multirange + '{[7,8)}' + '{[5,7)}', '{[1,5),[7,9)}'::int8multirange @> 7::int8"
    )
    [(merged, contained)] = await rows(connection, query)
    assert str(merged) == "{[1, 8)}"
    assert contained is True


async def test_prepared_statements_batches_and_pipelines_work(readings: Connection) -> None:
    insert = b"INSERT INTO reading VALUES (%s, %s, 'n2', 1) ON CONFLICT DO NOTHING"
    async with readings.pipeline(), readings.cursor() as cursor:
        await cursor.executemany(insert, [(START, uuid.uuid4()) for _ in range(100)])
        for _ in range(10):
            await readings.execute(insert, (START, uuid.uuid4()), prepare=True)
    assert await rows(readings, "SELECT count(*) FROM reading WHERE node = 'n2'") == [(110,)]


async def test_a_statement_longer_than_a_packet_arrives_whole(connection: Connection) -> None:
    text = "x" * 3_000_000
    assert await rows(connection, "SELECT %s::text", text) == [(text,)]


@pytest.mark.skipif("VIGIL_TEST_TIMESCALE_DSN" in os.environ, reason="concerns the server in WebAssembly")
async def test_the_next_client_finds_nothing_of_the_one_before(shared: str) -> None:
    for _ in range(2):
        async with await psycopg.AsyncConnection.connect(shared) as connection:
            await connection.execute("SELECT %s::int", [1], prepare=True)
            await connection.execute("SET TIME ZONE 'Asia/Shanghai'")
            await connection.execute("CREATE TABLE never_committed ()")
            await connection.rollback()


@pytest.mark.skipif("VIGIL_TEST_TIMESCALE_DSN" in os.environ, reason="concerns the server in WebAssembly")
async def test_a_client_that_gave_up_waiting_does_not_block_the_next_one(shared: str) -> None:
    first = await psycopg.AsyncConnection.connect(shared)
    with pytest.raises(psycopg.OperationalError) as waited_in_vain:
        await psycopg.AsyncConnection.connect(shared, connect_timeout=2)
    await first.close()
    async with await psycopg.AsyncConnection.connect(shared) as third:
        assert await rows(third, "SELECT 1") == [(1,)]
    assert waited_in_vain
