"""Accounts and tokens are made by commands."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from api import commands
from tests.integration.api.conftest import PASSWORD
from vigil.errors import Stop
from vigil.settings import ApiSettings

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
ADD = (
    *("account", "add", "li.na", "--name", "李娜", "--role", "duty_officer"),
    *("--estate", "e1", "--password-stdin"),
)


async def run(world: World, database: str, *arguments: str) -> int:
    settings = ApiSettings(database_dsn=SecretStr(database))
    return await commands.run(arguments, settings, world.clock)


async def test_an_account_that_was_added_may_sign_in_until_it_is_disabled(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert await run(world, database, *ADD) == 0
    client = await world.client()
    answer = await client.post("/api/v1/session", json={"account": "li.na", "password": PASSWORD})
    assert answer.status_code == 204
    assert (await client.get("/api/v1/session")).json()["estates"] == ["e1"]
    assert await run(world, database, "account", "disable", "li.na") == 0
    assert (await client.get("/api/v1/session")).status_code == 401
    with pytest.raises(Stop, match=r"no account li\.na"):
        await run(world, database, "account", "disable", "li.na")


async def test_a_short_password_is_refused(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(Stop, match="at least 12 characters"):
        await run(world, database, *ADD)


async def test_a_token_is_printed_once_and_good_until_it_is_revoked(
    world: World, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(world, database, "token", "create", "canary-1", "--role", "canary", "--estate", "*") == 0
    client = await world.client()
    client.headers["Authorization"] = f"Bearer {capsys.readouterr().out.strip()}"
    assert (await client.get("/api/v1/session")).json()["role"] == "canary"
    assert await run(world, database, "token", "revoke", "canary-1") == 0
    assert (await client.get("/api/v1/session")).status_code == 401
    with pytest.raises(Stop, match="no good token"):
        await run(world, database, "token", "revoke", "canary-1")


async def test_a_database_that_is_away_is_one_clear_line(world: World) -> None:
    with pytest.raises(Stop, match="PostgreSQL is unavailable"):
        await run(world, "postgresql://127.0.0.1:1/nowhere?connect_timeout=1", "token", "revoke", "x")
