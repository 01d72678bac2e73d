"""TimescaleDB: what our schema and queries ask of it, and what its stand-in cannot do."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from vigil.store.migrations import migrate, shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import NewTimescale

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.asyncio]

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
START = datetime(2026, 1, 1, tzinfo=UTC)
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
