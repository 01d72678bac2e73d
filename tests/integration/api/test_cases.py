"""Breaking the glass, and cases about who looked: on a real database, as people do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.cases import Watch
from tests.integration.api.conftest import problem
from vigil.store.pool import ProcessRole, open_pool

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
REASON = "Her neighbour rings: she lies behind the door"
CASES = "/api/v1/access-cases"


@pytest_asyncio.fixture
async def people(world: World) -> dict[str, httpx.AsyncClient]:
    return {
        "far": await world.person("far", "duty_officer", ("e2",)),
        "li": await world.person("li", "duty_officer", ("e1",)),
        "boss": await world.person("boss", "community_manager", ("e1",)),
        "second": await world.person("second", "supervisor", ("e1",)),
        "wang": await world.person("wang", "resident", ("e1",)),
    }


async def watch(database: str, clock: FakeClock) -> int:
    async with open_pool(SecretStr(database), "watch", 1, role=ProcessRole.API) as pool:
        return await Watch(pool, clock).step()


async def rows(world: World, query: str) -> list[Any]:
    async with world.pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_the_glass_is_broken_with_a_reason_for_an_hour_and_by_nobody_else(
    world: World, people: dict[str, httpx.AsyncClient], clock: FakeClock
) -> None:
    far = people["far"]
    problem(await far.get("/api/v1/residents/r1/helpers"), 404)
    problem(await far.post("/api/v1/break-glass", json={"resident": "r1", "reason": "quick"}), 422)
    problem(await far.post("/api/v1/break-glass", json={"resident": "nobody", "reason": REASON}), 404)
    made = await far.post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON})
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["home"]) == ("王秀英", "2单元 401")
    again = f"/api/v1/break-glass/{made.json()['id']}"
    assert (await far.get(again)).json() == made.json()
    problem(await people["li"].get(again), 404)
    clock.move(hours=1)
    signed_in_again = await world.person("far", "duty_officer", ("e2",))
    assert problem(await signed_in_again.get(again), 403)["type"].endswith("over")


async def test_nobody_breaks_the_glass_for_whom_they_may_see(people: dict[str, httpx.AsyncClient]) -> None:
    problem(await people["li"].post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON}), 409)


async def test_the_resident_reads_who_broke_the_glass_why_and_how_it_was_judged(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    async with world.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO account_resident (account, resident, relation, made_by, made_at)"
            " VALUES ('wang', 'r1', 'self', 'person:boss', now())"
        )
    await people["far"].post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON})
    page = (await people["wang"].get("/me", headers={"Accept-Language": "en"})).text
    assert REASON in page
    assert "is being reviewed" in page
    (look,) = (await people["wang"].get("/api/v1/me/r1/looks")).json()["items"]
    assert (look["actor"], look["purpose"]) == ("person:far", "break glass")
    ((case,),) = await rows(world, "SELECT id FROM access_case")
    closed = {"outcome": "justified", "note": "Asked both"}
    assert (await people["boss"].post(f"{CASES}/{case}/close", json=closed)).status_code == 200
    assert "it was justified" in (await people["wang"].get("/me", headers={"Accept-Language": "en"})).text


async def test_a_broken_glass_is_a_case_with_an_owner_due_within_a_day_and_overdue_it_is_trouble_on_the_board(
    world: World, people: dict[str, httpx.AsyncClient], database: str, clock: FakeClock
) -> None:
    await people["far"].post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON})
    (case,) = (await people["boss"].get(CASES)).json()
    assert (case["kind"], case["about"], case["owner"], case["overdue"]) == (
        "break_glass",
        "person:far",
        "boss",
        False,
    )
    await watch(database, clock)
    assert await rows(world, "SELECT kind FROM alert") == []
    clock.move(hours=24)
    await watch(database, clock)
    await watch(database, clock)
    alerts = await rows(world, "SELECT priority, estate, resident, subject FROM alert")
    assert alerts == [("trouble", "e1", None, f"case:{case['id']}")]
    boss = await world.person("boss", "community_manager", ("e1",))
    (case,) = (await boss.get(CASES)).json()
    assert case["overdue"]


async def test_a_case_that_nobody_owns_is_trouble_at_once(
    world: World, database: str, clock: FakeClock
) -> None:
    far = await world.person("far", "duty_officer", ("e2",))
    assert (
        await far.post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON})
    ).status_code == 201
    await watch(database, clock)
    assert await rows(world, "SELECT owner, told_at IS NULL FROM access_case") == [(None, False)]


async def test_nobody_closes_a_case_about_themselves_nor_twice(
    world: World, people: dict[str, httpx.AsyncClient], database: str, clock: FakeClock
) -> None:
    async with world.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO resident (id, estate, name) SELECT 'x' || n, 'e1', 'N' FROM generate_series(1, 50) n"
        )
        await connection.execute(
            "INSERT INTO access_log (resident, actor, purpose, what, at)"
            " SELECT 'x' || n, 'person:boss', 'care', 'helpers', %s FROM generate_series(1, 50) n",
            [clock()],
        )
    assert await watch(database, clock) == 1
    assert await watch(database, clock) == 0
    (case,) = (await people["second"].get(CASES)).json()
    assert (case["kind"], case["about"], case["owner"], case["facts"]["count"]) == (
        "bulk",
        "person:boss",
        "second",
        41,
    )
    closing = {"outcome": "misuse", "note": "No duty asked for it"}
    assert problem(await people["boss"].post(f"{CASES}/{case['id']}/close", json=closing), 403)[
        "type"
    ].endswith("own_case")
    assert (await people["second"].post(f"{CASES}/{case['id']}/close", json=closing)).json()[
        "outcome"
    ] == "misuse"
    problem(await people["second"].post(f"{CASES}/{case['id']}/close", json=closing), 409)
    assert (await people["second"].get(CASES)).json() == []
    assert len((await people["second"].get(CASES, params={"everything": True})).json()) == 1


async def test_a_look_at_ones_own_family_and_one_off_shift_are_cases(
    world: World, people: dict[str, httpx.AsyncClient], database: str, clock: FakeClock
) -> None:
    async with world.pool.connection() as connection:
        await connection.execute("UPDATE account SET phone = '+86 139 0000 0001' WHERE id = 'li'")
        await connection.execute(
            "INSERT INTO shift (account, duty, starts_at, ends_at) VALUES ('li', 'officer', %(now)s - interval '3 days',"
            " %(now)s - interval '2 days')",
            {"now": clock()},
        )
    assert (await people["li"].get("/api/v1/residents/r1/helpers")).status_code == 200
    assert await watch(database, clock) == 2
    found = (await people["boss"].get(CASES)).json()
    assert {(one["kind"], one["about"]) for one in found} == {
        ("own_family", "person:li"),
        ("off_shift", "person:li"),
    }


async def test_cases_are_of_one_s_estates_and_not_for_officers(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    await people["far"].post("/api/v1/break-glass", json={"resident": "r1", "reason": REASON})
    elsewhere = await world.person("elsewhere", "supervisor", ("e2",))
    assert (await elsewhere.get(CASES)).json() == []
    problem(await people["li"].get(CASES), 403)
