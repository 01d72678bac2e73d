"""Handing over at the end of a shift: ticks and notes are kept, with who and when, and both see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.integration.api.conftest import problem
from tests.integration.api.test_rota import reachable, shift

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


@pytest_asyncio.fixture
async def officers(world: World) -> dict[str, httpx.AsyncClient]:
    clients = {"sun": await world.person("sun", "supervisor")}
    for account in ("li", "wu"):
        clients[account] = await world.person(account, estates=("e1",))
        await reachable(world, account)
    clients["far"] = await world.person("far", estates=("e2",))
    return clients


async def test_both_officers_see_what_was_ticked_by_whom_and_the_last_word_counts(
    officers: dict[str, httpx.AsyncClient], clock: FakeClock
) -> None:
    url = (await officers["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    await officers["li"].post(f"{url}/checks", json={"point": 1, "done": True})
    clock.move(minutes=2)
    await officers["wu"].post(f"{url}/checks", json={"point": 2, "done": True})
    await officers["wu"].post(f"{url}/checks", json={"point": 1, "done": False})
    await officers["li"].post(f"{url}/notes", json={"text": "3-2-401 is in hospital"})
    seen = (await officers["li"].get(f"{url}/checks")).json()
    assert seen == (await officers["wu"].get(f"{url}/checks")).json()
    assert [(c["point"], c["done"], c["name"]) for c in seen["checks"]] == [(1, False, "Wu"), (2, True, "Wu")]
    assert [(n["text"], n["by"]) for n in seen["notes"]] == [("3-2-401 is in hospital", "person:li")]


async def test_nothing_of_a_handover_is_ever_changed_and_a_shift_long_over_is_closed(
    world: World, officers: dict[str, httpx.AsyncClient], clock: FakeClock
) -> None:
    url = (await officers["sun"].post("/api/v1/shifts", json=shift(0, 1))).headers["Location"]
    for done in (True, False, True):
        await officers["li"].post(f"{url}/checks", json={"point": 1, "done": done})
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT done FROM handover_check ORDER BY id")
        assert [done for (done,) in await cursor.fetchall()] == [True, False, True]
    clock.move(hours=13)
    li = await world.person("li", estates=("e1",))
    problem(await li.post(f"{url}/checks", json={"point": 1, "done": True}), 409)
    problem(await li.post(f"{url}/notes", json={"text": "late"}), 409)


async def test_a_handover_of_other_estates_does_not_exist(officers: dict[str, httpx.AsyncClient]) -> None:
    url = (await officers["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    problem(await officers["far"].get(f"{url}/checks"), 404)
    problem(await officers["far"].post(f"{url}/checks", json={"point": 1, "done": True}), 404)
    problem(await officers["li"].post(f"{url}/checks", json={"point": 6, "done": True}), 422)
