"""What people did is read by who checks them, and its signatures go to the watchdog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from fallback import checkpoints
from fallback.store import Store
from tests.integration.api.conftest import problem
from vigil.audit.writer import Writer
from vigil.store import audit
from vigil.store.pool import ProcessRole, open_pool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]

AUDIT = "/api/v1/audit"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


async def write(world: World, database: str) -> None:
    """Chain and sign, in the rights that the API's process has."""
    async with (
        open_pool(SecretStr(database), "writer", 1, role=ProcessRole.API) as pool,
        pool.connection() as connection,
    ):
        await Writer(pool, world.clock, KEY).once(connection)


async def test_an_auditor_reads_who_took_an_alert_and_pages_back(world: World, database: str) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    taken = await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert taken.status_code == 200, taken.text
    await write(world, database)
    auditor = await world.person("wu", "auditor")
    entries = (await auditor.get(AUDIT)).json()["entries"]
    told = next(entry for entry in entries if entry["thing"] == "alert_transition")
    assert (told["actor"], told["key"]["alert"]) == ("person:li", str(alert))
    assert told["kept"]["to_state"] == "acknowledged"
    first = (await auditor.get(AUDIT, params={"limit": 1})).json()
    second = (await auditor.get(AUDIT, params={"limit": 1, "cursor": first["next"]})).json()
    assert [first["entries"][0]["seq"], second["entries"][0]["seq"]] == [entries[0]["seq"], entries[1]["seq"]]


async def test_a_change_of_the_register_is_noted_as_of_who_made_it(world: World, database: str) -> None:
    bai = await world.person("bai", "community_manager")
    found = await bai.get("/api/v1/residents/r1")
    body = {**found.json(), "risk": 1}
    kept = {key: value for key, value in body.items() if key not in {"id", "version"}}
    answer = await bai.put(
        "/api/v1/residents/r1",
        json=kept,
        headers={"If-Match": found.headers["ETag"], "Idempotency-Key": "a-key-of-mine"},
    )
    assert answer.is_success, answer.text
    await write(world, database)
    entries = (await (await world.person("wu", "auditor")).get(AUDIT)).json()["entries"]
    told = next(entry for entry in entries if entry["thing"] == "resident" and entry["act"] == "update")
    assert told["actor"] == "person:bai"
    assert "risk" in told["changed"]
    assert "王秀英" not in str(entries)


@pytest.mark.parametrize("role", ["duty_officer", "supervisor", "community_manager", "ops"])
async def test_nobody_else_reads_it(world: World, role: str) -> None:
    problem(await (await world.person("li", role)).get(AUDIT), 403)


async def test_an_auditor_of_one_estate_does_not_read_of_all(world: World) -> None:
    found = problem(await (await world.person("wu", "auditor", ("e1",))).get(AUDIT), 403)
    assert "all estates" in found["detail"]


async def test_the_watchdog_keeps_what_was_signed(world: World, database: str, tmp_path: Path) -> None:
    watchdog = await world.robot("watchdog-1", "watchdog")
    problem(await watchdog.get("/api/v1/fallback/checkpoint"), 404)
    await write(world, database)
    store = Store(tmp_path / "state.db")
    assert await checkpoints.look(watchdog, store, KEY.public_key()) is None
    async with world.pool.connection() as connection:
        assert checkpoints.kept(store) == await audit.checkpoints(connection)
    assert msgspec.json.encode(checkpoints.kept(store)) != b"[]"
    store.close()
