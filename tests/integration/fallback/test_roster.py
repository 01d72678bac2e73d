from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from api.app import create_app
from api.live import Hub
from api.passwords import Passwords, digest
from api.services import Services
from fallback.snapshot import Keeper
from fallback.store import Store
from vigil.roster import Contact, Person, Protection
from vigil.store import accounts
from vigil.store.accounts import NewAccount, Token
from vigil.store.pool import open_pool
from vigil.store.seed import put_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
PROFILE = {
    "note": "供氧",
    "key_holders": [{"name": "张", "phone": "000-9", "relation": "邻居"}],
    "family": "unreadable",
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "community": [{"id": "c1", "name": "社区"}],
    "estate": [
        {"id": "e1", "community": "c1", "name": "北里"},
        {"id": "e2", "community": "c1", "name": "南里"},
    ],
    "zone": [{"id": "z1", "estate": "e1", "name": "2号楼301", "building": "2号楼", "floor": 3}],
    "node": [{"id": "n1", "estate": "e1"}],
    "device": [
        {"id": "pendant", "node": "n1", "kind": "pendant", "placement": "waist"},
        {"id": "door", "node": "n1", "kind": "door", "zone": "z1"},
        {"id": "old", "node": "n1", "kind": "pendant", "zone": "z1", "retired_at": NOW},
    ],
    "resident": [
        {
            "id": "r1",
            "estate": "e1",
            "home": "z1",
            "name": "王秀英",
            "phone": "000-1",
            "flagged": True,
            "risk": 3,
        }
        | {"profile": PROFILE},
        {"id": "r2", "estate": "e1", "name": "不在册", "flagged": False},
        {"id": "r3", "estate": "e2", "name": "李建国", "flagged": True},
    ],
    "assignment": [{"device": "pendant", "resident": "r1"}],
}


@asynccontextmanager
async def api(
    database: str, key: Ed25519PrivateKey | None, role: str = "watchdog", estate: str = "*"
) -> AsyncIterator[httpx.AsyncClient]:
    """The API over the rows, and a robot with a token of this role."""
    dsn = SecretStr(database)
    async with open_pool(dsn, "test", 2) as pool:
        async with pool.transaction() as connection:
            await put_rows(connection, ROWS)
            token = Token("robot", role, [estate])
            await accounts.put_token(connection, token, digest("t"), NOW, NOW + timedelta(days=1))
            await accounts.put_account(
                connection, NewAccount("li", "李娜", "grid_worker", ("*",), "000-8"), None
            )
        services = Services(pool, Hub(dsn, pool, lambda: NOW), Passwords(), lambda: NOW, key)
        transport = httpx.ASGITransport(create_app(services))
        headers = {"Authorization": "Bearer t"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            yield client


@pytest.mark.asyncio
async def test_the_watchdog_fetches_and_trusts_the_roster_of_the_database(
    database: str, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    store = Store(tmp_path / "state")
    keeper = Keeper(store, key.public_key())
    async with api(database, key) as client:
        await keeper.fetch(client, NOW)
    store.close()
    roster = keeper.roster
    assert roster is not None
    assert (roster.community, roster.made_at, roster.estates) == ("c1", NOW, {"e1": "北里", "e2": "南里"})
    assert [resident.id for resident in roster.residents] == ["r1", "r3"]
    one = roster.residents[0]
    assert (one.name, one.building, one.floor, one.home, one.risk) == ("王秀英", "2号楼", 3, "2号楼301", 3)
    assert sorted(one.protections, key=lambda p: p.device) == [
        Protection("door", "n1", "door"),
        Protection("pendant", "n1", "pendant"),
    ]
    assert (one.note, one.key_holders, one.family) == ("供氧", [Contact("张", "000-9", "邻居")], [])
    assert roster.staff == [Person("李娜", "000-8", "grid_worker", ["*"])]


@pytest.mark.asyncio
async def test_a_watchdog_of_one_estate_gets_that_estate_alone(database: str, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    store = Store(tmp_path / "state")
    keeper = Keeper(store, key.public_key())
    async with api(database, key, estate="e2") as client:
        await keeper.fetch(client, NOW)
    store.close()
    assert keeper.roster is not None
    assert [resident.id for resident in keeper.roster.residents] == ["r3"]


@pytest.mark.asyncio
@pytest.mark.parametrize(("role", "status"), [("canary", 403), ("reader", 403)])
async def test_no_other_robot_gets_names(database: str, role: str, status: int) -> None:
    async with api(database, Ed25519PrivateKey.generate(), role) as client:
        assert (await client.get("/api/v1/fallback/snapshot")).status_code == status


@pytest.mark.asyncio
async def test_a_platform_without_a_key_says_which_setting_is_missing(database: str) -> None:
    async with api(database, None) as client:
        answer = await client.get("/api/v1/fallback/snapshot")
    assert answer.status_code == 503
    assert "VIGIL_API_ROSTER_KEY" in answer.text
