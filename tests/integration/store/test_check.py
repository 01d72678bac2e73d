"""`python -m vigil.store check` says what is well, and what nobody cares for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.store.test_intake import row
from tests.integration.store.test_retention import falls
from tests.making import NOW
from vigil.store import __main__ as command
from vigil.store.check import check
from vigil.store.intake import insert_events
from vigil.store.migrations import migrate

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
DAY = timedelta(days=1)


async def says(connection: Any, now: datetime = NOW) -> dict[bool, list[str]]:
    found: dict[bool, list[str]] = {True: [], False: []}
    for finding in await check(connection, now):
        found[finding.good].append(finding.says)
    return found


async def test_a_new_database_is_well(connection: Any) -> None:
    assert await says(connection) == {
        True: [
            "the schema is current",
            "plain PostgreSQL: no compression, no continuous aggregates",
            *(f"{table} is empty" for table in ("event", "telemetry", "health")),
            "0 canaries' alerts are overdue for deletion",
        ],
        False: [],
    }


async def test_what_should_be_gone_is_said(connection: Any) -> None:
    await insert_events(connection, "telemetry", [replace(row(1), time=NOW - 31 * DAY)])
    await insert_events(connection, "health", [replace(row(1), time=NOW - 33 * DAY)])
    await insert_events(connection, "event", [replace(row(1), time=NOW - 500 * DAY)])
    await connection.execute("DELETE FROM retention WHERE class = 'event'")
    await falls(connection, NOW - DAY, NOW - DAY + timedelta(seconds=2), "canary", timedelta(seconds=1))
    found = await says(connection)
    assert "telemetry goes back to 2026-01-29, kept for 30 days" in found[True]
    assert "event is kept for ever" in found[True]
    assert found[False] == [
        "health goes back to 2026-01-27, kept for 30 days: nobody trims (does api run, does its clock agree?)",
        "2 canaries' alerts are overdue for deletion",
    ]


async def test_an_empty_database_lacks_everything_and_one_of_a_newer_version_is_left_alone(
    empty_database: str,
) -> None:
    async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as connection:
        ((lacks,),) = [(await says(connection))[False]]
        assert lacks.startswith("the schema lacks 0001_core.sql, ")
        await migrate(connection)
        await connection.execute("INSERT INTO migration VALUES ('9999_b.sql')")
        ((newer,),) = [(await says(connection))[False]]
        assert "does not know 9999_b.sql" in newer


async def test_timescales_policies_are_looked_at(timescale: str) -> None:
    async with await psycopg.AsyncConnection.connect(timescale, autocommit=True) as connection:
        await migrate(connection)
        found = await says(connection)
        assert found[False] == []
        assert found[True][1].startswith("TimescaleDB 2.")
        assert found[True][-4:] == [
            *(f"{table} is compressed after 7 days" for table in ("event", "telemetry", "health")),
            "no job of the extension has failed",
        ]
        await connection.execute("SELECT remove_compression_policy('event')")
        await connection.execute("UPDATE retention SET compress_after = NULL WHERE class = 'health'")
        found = await says(connection)
        assert found[False] == ["event should be compressed after 7 days, and its policy says never"]
        assert "health is compressed never" in found[True]


async def test_the_command_ends_with_what_it_found(
    database: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGIL_DATABASE_DSN", database)
    monkeypatch.setattr("sys.argv", ["vigil.store", "check"])
    assert await asyncio.to_thread(command.main) == 0
    assert capfd.readouterr().out.startswith("ok  the schema is current\n")
    with psycopg.connect(database, autocommit=True) as direct:
        direct.execute("DELETE FROM migration WHERE name = '0001_core.sql'")
    assert await asyncio.to_thread(command.main) == 1
    assert capfd.readouterr().out == "BAD the schema lacks 0001_core.sql: run migrate\n"
    monkeypatch.setattr("sys.argv", ["vigil.store"])
    assert await asyncio.to_thread(command.main) == 2
    assert capfd.readouterr().err == "usage: python -m vigil.store migrate | check | logins FOLDER\n"
