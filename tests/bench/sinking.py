"""The idempotent sink against plain COPY into a table with the same indexes, and a full replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from processors.arrivals import sort
from tests.bench.load import messages
from tests.bench.processes import Took
from tests.bench.servers import register
from vigil.clock import utc_now
from vigil.registry import Registry
from vigil.store import intake
from vigil.store.registry import refresh

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.bench.servers import Servers
    from vigil.store.intake import EventRow
    from vigil.store.pool import Connection

    Insert = Callable[[Connection, Sequence[EventRow]], Awaitable[object]]

BATCH = 2000


def measure(servers: Servers, count: int, rounds: int) -> tuple[dict[str, list[Took]], int]:
    """Return what each round took, and how many rows a replay of all of them added."""
    register(servers, 100)
    took, replayed = servers.run(_measure(servers.dsn, count, rounds))
    return took, replayed


async def _measure(dsn: str, count: int, rounds: int) -> tuple[dict[str, list[Took]], int]:
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    async with connection:
        await connection.execute("CREATE TABLE plain (LIKE telemetry INCLUDING ALL)")
        registry = Registry()
        await refresh(connection, registry)
        took: dict[str, list[Took]] = {"ours": [], "copy": []}
        everything: list[EventRow] = []
        for number in range(rounds):
            rows = _rows(registry, count, number)
            everything += rows
            took["ours"].append(await _timed(connection, rows, _ours))
            took["copy"].append(await _timed(connection, rows, _copy))
        before = await _count(connection)
        await _timed(connection, everything, _ours)
        return took, await _count(connection) - before


def _rows(registry: Registry, count: int, number: int) -> list[EventRow]:
    made = messages("telemetry", count, 100, utc_now(), seed=number, boot=f"{number + 1}-0000cafe")
    arrived = [_Record(m.payload, int(utc_now().timestamp() * 1000)) for m in made]
    return [arrival.row() for arrival in sort(arrived, registry, utc_now()).arrivals]


class _Record:
    """As much of a Kafka record as `sort` looks at."""

    topic, partition = "bench", 0

    def __init__(self, value: bytes, timestamp: int) -> None:
        self.value, self.timestamp = value, timestamp


async def _timed(connection: Connection, rows: Sequence[EventRow], insert: Insert) -> Took:
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(rows), BATCH):
        async with connection.transaction():
            await insert(connection, rows[start : start + BATCH])
    return Took(time.perf_counter() - began, time.process_time() - cpu, len(rows))


async def _ours(connection: Connection, rows: Sequence[EventRow]) -> object:
    return await intake.insert_events(connection, "telemetry", rows)


async def _copy(connection: Connection, rows: Sequence[EventRow]) -> object:
    async with connection.cursor() as cursor, cursor.copy("COPY plain FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(intake._EVENT_TYPES)  # the same types as ours
        for row in rows:
            await copy.write_row(intake._values(row))
    return None


async def _count(connection: Connection) -> int:
    cursor = await connection.execute("SELECT count(*) FROM telemetry")
    ((count,),) = await cursor.fetchall()
    return int(count)
