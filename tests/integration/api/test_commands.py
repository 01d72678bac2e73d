"""Accounts and tokens are made by commands."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from api import commands
from tests.integration.api.conftest import PASSWORD
from vigil.errors import Stop
from vigil.settings import ApiSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
ADD = (
    *("account", "add", "li.na", "--name", "李娜", "--role", "duty_officer"),
    *("--estate", "e1", "--password-stdin"),
)


async def run(world: World, database: str, *arguments: str) -> int:
    settings = ApiSettings(database_dsn=SecretStr(database))
    return await commands.run(arguments, settings, world.clock, world.sender)


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


TABLE = "estate,estate_name,building,floor,home,resident,name,risk\ne9,九区,1号楼,4,401,r9,王秀英,3\n"


async def imported(world: World, database: str, *more: str) -> int:
    return await run(world, database, "community", "import", *more, "--community", "sunny")


async def test_a_table_of_residents_is_checked_first_and_then_put_in_once(
    world: World, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "community.csv"
    file.write_text(TABLE, encoding="utf-8")
    assert await imported(world, database, str(file), "--dry-run") == 0
    assert "nothing was imported" in capsys.readouterr().out
    sun = await world.person("sun", "supervisor")
    listed = "/api/v1/residents?estate=e9"
    assert (await sun.get(listed)).json()["items"] == []
    for _ in range(2):
        assert await imported(world, database, str(file)) == 0
    assert [one["name"] for one in (await sun.get(listed)).json()["items"]] == ["王秀英"]


async def test_a_table_with_a_bad_row_is_not_taken_and_the_row_is_named(
    world: World, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "community.csv"
    file.write_text(TABLE + "e9,九区,1号楼,x,402,r10,李德福,9\n", encoding="utf-8")
    with pytest.raises(Stop, match="2 faults; nothing was imported"):
        await imported(world, database, str(file))
    assert "community.csv: row 3, risk: '9' is not 1, 2 or 3" in capsys.readouterr().out
    with pytest.raises(Stop, match="No such file"):
        await imported(world, database, str(tmp_path / "nowhere.csv"))


async def test_a_contact_is_added_and_proved_from_the_command_line(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.person("li")
    monkeypatch.setattr("sys.stdin", io.StringIO("ntfy://localhost/li-secret\n"))
    assert await run(world, database, "channels", "add", "li", "0") == 0
    monkeypatch.setattr("sys.stdin", Typed(world))
    assert await run(world, database, "channels", "verify", "li", "0") == 0
    assert await run(world, database, "channels", "list", "li") == 0
    said = capsys.readouterr().out
    assert "0 message ntfy verified 2026-03-01 20:00 UTC" in said
    assert "secret" not in said


class Typed:
    """Somebody who types the code that came to their telephone."""

    def __init__(self, world: World) -> None:
        self._world = world

    def readline(self) -> str:
        found = re.search(r"\d{6}", self._world.sent[-1][1].body)
        return f"{found[0]}\n" if found else ""


async def test_a_wrong_code_and_an_address_that_is_none_are_one_line_each(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.person("li")
    monkeypatch.setattr("sys.stdin", io.StringIO("nonsense\njson://localhost/x\nabcdef\n"))
    with pytest.raises(Stop, match="no address"):
        await run(world, database, "channels", "add", "li", "0")
    await run(world, database, "channels", "add", "li", "0")
    with pytest.raises(Stop, match="not the code"):
        await run(world, database, "channels", "verify", "li", "0")
    with pytest.raises(Stop, match="no contact 5"):
        await run(world, database, "channels", "verify", "li", "5")


async def test_a_test_alert_is_a_drill_that_everybody_sees(world: World, database: str) -> None:
    li = await world.person("li")
    assert await run(world, database, "alerts", "test", "e1") == 0
    (alert,) = (await li.get("/api/v1/alerts")).json()["alerts"]
    assert (alert["synthetic"], alert["priority"], alert["resident"]) == ("drill", "critical", None)
    (drill,) = (await li.get("/api/v1/drills")).json()
    assert (drill["kind"], drill["on"]) == ("test", True)
    with pytest.raises(Stop, match="no estate"):
        await run(world, database, "alerts", "test", "nowhere")


async def test_accounts_are_listed(world: World, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    await world.person("li", estates=("e1", "e2"))
    assert await run(world, database, "accounts", "list") == 0
    assert capsys.readouterr().out == "li duty_officer e1,e2 Li\n"
