"""`docs/reference/schema.md` says what the database has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from vigil.store.migrations import shipped

pytestmark = pytest.mark.integration

PAGE = (REPOSITORY / "docs/reference/schema.md").read_text(encoding="utf-8")


def section(title: str) -> list[list[str]]:
    """Return the rows of a section's table, without its heading."""
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


async def all_of(connection: Any, query: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = await (await connection.execute(query)).fetchall()
    return rows


def core(kind: str) -> set[str]:
    """Return what tables or views the core's migrations make."""
    made = (re.findall(rf"^CREATE {kind} (\w+)", m.sql, re.MULTILINE) for m in shipped() if m.name < "0100")
    return {name for some in made for name in some}


@pytest.mark.asyncio
async def test_every_table_of_the_core_is_described_and_every_one_described_is_there(connection: Any) -> None:
    described = [name for what, *_ in section("Tables") for name in names(what)]
    assert sorted(described) == sorted(core("TABLE"))
    there = await all_of(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert set(described) <= {name for (name,) in there}


@pytest.mark.asyncio
async def test_every_class_that_a_table_names_exists(connection: Any) -> None:
    classes = {name for (name,) in await all_of(connection, "SELECT class FROM retention")}
    assert {class_ for *_, class_ in section("Tables")} - {"kept"} <= classes


@pytest.mark.asyncio
async def test_how_long_and_why_are_what_a_new_database_has(connection: Any) -> None:
    rows = await all_of(connection, "SELECT class, keep, at_least, compress_after, reason FROM retention")
    said = {names(class_)[0]: rest for class_, *rest in section("How long")}
    assert said.keys() == {class_ for class_, *_ in rows}
    for class_, *lengths, reason in rows:
        *claimed, why = said[class_]
        assert why == reason
        for claim, length in zip(claimed, lengths, strict=True):
            query = "SELECT nullif(%s, '')::interval IS NOT DISTINCT FROM %s::interval"
            assert await (await connection.execute(query, [claim, length])).fetchone() == (True,), class_


@pytest.mark.asyncio
async def test_every_view_of_the_core_is_described_and_there(connection: Any) -> None:
    described = {name for view, *_ in section("By the hour") for name in names(view)} | {"gap"}
    assert described == core("VIEW")
    there = await all_of(connection, "SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert described <= {name for (name,) in there}


def test_every_aggregate_of_timescale_is_named() -> None:
    sql = "".join(migration.sql for migration in shipped() if migration.needs_timescale)
    for name in re.findall(r"CREATE MATERIALIZED VIEW (\w+)", sql):
        assert f"`{name}`" in PAGE


def test_the_files_that_the_page_names_are_there() -> None:
    for path in re.findall(r"`((?:vigil|tests|docs)/[\w/.]+)`", PAGE):
        assert Path(REPOSITORY / path).exists(), path
