"""What residents and families see of themselves, and what they can say: on a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from api.consents import TEXT_VERSION
from tests.integration.api.conftest import problem
from vigil.store import own
from vigil.store.board import Scope
from vigil.store.pool import ProcessRole, open_pool

if TYPE_CHECKING:
    import httpx
    import psycopg

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
NEIGHBOUR = """
    INSERT INTO zone (id, estate, name, building) VALUES ('z9', 'e1', '2单元 402', '3号楼');
    INSERT INTO resident (id, estate, home, name, flagged) VALUES ('r9', 'e1', 'z9', '邻居', true);
    INSERT INTO access_log (resident, actor, purpose, what, at) VALUES ('r9', 'person:li', 'care', 'list', now());
    INSERT INTO beat (account, estate, building) VALUES ('chen', 'e1', '3号楼');
"""


@pytest_asyncio.fixture
async def people(world: World) -> dict[str, httpx.AsyncClient]:
    """Everybody of one home: the resident, a daughter, the officer, the grid worker, the manager."""
    clients = {
        "wang": await world.person("wang", "resident", ("e1",)),
        "daughter": await world.person("daughter", "family", ("e1",)),
        "li": await world.person("li", "duty_officer", ("e1",)),
        "chen": await world.person("chen", "grid_worker", ("e1",)),
        "boss": await world.person("boss", "community_manager", ("e1",)),
    }
    async with world.pool.connection() as connection:
        await connection.execute(NEIGHBOUR.encode())
    for account, relation in (("wang", "self"), ("daughter", "family")):
        tied = {"residents": [{"resident": "r1", "relation": relation}]}
        answer = await clients["boss"].put(f"/api/v1/accounts/{account}/residents", json=tied)
        assert answer.status_code == 200, answer.text
    return clients


async def says(client: httpx.AsyncClient, purpose: str, *, granted: bool) -> httpx.Response:
    body = {"granted": granted, "text_version": TEXT_VERSION}
    return await client.put(f"/api/v1/me/r1/consents/{purpose}", json=body)


async def rows(world: World, query: str) -> list[Any]:
    async with world.pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_a_resident_sees_oneself_and_not_the_neighbour(
    people: dict[str, httpx.AsyncClient],
) -> None:
    wang = people["wang"]
    assert (await wang.get("/api/v1/me")).json() == [{"resident": "r1", "name": "王秀英", "relation": "self"}]
    me = (await wang.get("/api/v1/me/r1")).json()
    assert (me["name"], me["home"], me["phone"]) == ("王秀英", "2单元 401", "13900000001")
    for path in ("", "/looks", "/consents", "/reports"):
        problem(await wang.get(f"/api/v1/me/r9{path}"), 404)
    problem(await wang.post("/api/v1/me/r9/answer", json={"answer": "help"}), 404)
    problem(await wang.get("/api/v1/residents/r1/consents"), 403)


async def test_a_family_sees_only_while_the_resident_agrees(people: dict[str, httpx.AsyncClient]) -> None:
    daughter = people["daughter"]
    assert (await daughter.get("/api/v1/me")).json() == []
    problem(await daughter.get("/api/v1/me/r1"), 404)
    assert (await says(people["wang"], "family_access", granted=True)).status_code == 200
    assert (await daughter.get("/api/v1/me/r1")).json()["name"] == "王秀英"
    assert (await says(people["wang"], "family_access", granted=False)).status_code == 200
    problem(await daughter.get("/api/v1/me/r1"), 404)
    looks = (await people["wang"].get("/api/v1/me/r1/looks")).json()["items"]
    assert [(one["name"], one["purpose"], one["what"]) for one in looks] == [("Daughter", "family", "record")]


async def test_a_family_changes_no_consent_and_says_for_nobody_that_all_is_well(
    people: dict[str, httpx.AsyncClient],
) -> None:
    await says(people["wang"], "family_access", granted=True)
    problem(await says(people["daughter"], "home_camera", granted=True), 403)
    problem(await people["daughter"].post("/api/v1/me/r1/answer", json={"answer": "fine"}), 403)
    called = await people["daughter"].post("/api/v1/me/r1/answer", json={"answer": "help"})
    assert called.status_code == 200


async def test_who_looked_and_why_is_shown_to_the_resident_and_to_nobody_of_the_staff(
    people: dict[str, httpx.AsyncClient],
) -> None:
    assert (await people["li"].get("/api/v1/residents/r1/helpers")).status_code == 200
    (look,) = (await people["wang"].get("/api/v1/me/r1/looks")).json()["items"]
    assert (look["name"], look["role"], look["purpose"], look["what"]) == (
        *("Li", "duty_officer", "care", "helpers"),
    )
    problem(await people["li"].get("/api/v1/me/r1/looks"), 403)


async def test_i_need_help_raises_a_critical_alert_and_again_joins_it(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    first = (await people["wang"].post("/api/v1/me/r1/answer", json={"answer": "help"})).json()["alert"]
    world.clock.move(seconds=5)
    second = (await people["wang"].post("/api/v1/me/r1/answer", json={"answer": "help"})).json()
    assert second["alert"] == first
    alert = (await people["li"].get(f"/api/v1/alerts/{first}")).json()
    assert (alert["kind"], alert["priority"], alert["state"]) == ("sos", "critical", "raised")
    assert alert["resident"]["name"] == "王秀英"
    assert await rows(world, "SELECT evidence FROM alert WHERE kind = 'sos'") == [(2,)]


async def test_i_am_fine_is_told_to_what_is_open_about_me_and_to_nothing_else(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    mine = await world.raise_alert(resident="r1")
    await world.raise_alert(resident="r9")
    said = (await people["wang"].post("/api/v1/me/r1/answer", json={"answer": "fine"})).json()
    assert (said["told"], said["alert"]) == ([str(mine)], None)
    assert await rows(world, "SELECT alert, answer, by FROM resident_answer") == [(mine, "fine", "account")]


async def test_a_problem_of_the_neighbourhood_becomes_the_grid_workers_task_and_its_end_is_shown(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    words = {"kind": "light", "words": "三单元二楼的灯坏了"}
    made = await people["wang"].post("/api/v1/me/r1/reports", json=words)
    assert (made.status_code, made.json()["state"]) == (201, "given"), made.text
    (task,) = (await people["chen"].get("/api/v1/tasks?mine=true")).json()["items"]
    assert task["note"] == words["words"]
    chen = people["chen"]
    answer = await chen.post(
        f"/api/v1/tasks/{task['id']}/report", json={"what": "put_right"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200, answer.text
    (mine,) = (await people["wang"].get("/api/v1/me/r1/reports")).json()
    assert (mine["state"], mine["outcome"]) == ("done", "put_right")
    alerts = await rows(world, "SELECT kind, priority, state, resident FROM alert")
    assert alerts == [("neighbourhood", "medium", "resolved", None)]


async def test_a_task_about_a_person_is_not_put_right(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    alert = await world.raise_alert(resident="r1")
    task = (await people["li"].post(f"/api/v1/alerts/{alert}/tasks", json={})).json()
    answer = await people["chen"].post(
        f"/api/v1/tasks/{task['id']}/report", json={"what": "put_right"}, headers={"If-Match": '"1"'}
    )
    problem(answer, 409)


async def test_a_consent_names_its_text_its_class_and_who_gave_it_and_is_in_the_audit_log(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    assert (await says(people["wang"], "fall_detection", granted=True)).status_code == 200
    query = """
        SELECT granted, class, text_version, given_by, proof, recorded_by, until = 'infinity' FROM consent
        WHERE resident = 'r1' AND purpose = 'fall_detection'
    """
    expected = (True, "sensitive", TEXT_VERSION, "self", "signed in", "person:wang", True)
    assert await rows(world, query) == [expected]
    noted = await rows(world, "SELECT note->>'actor' FROM audit_waiting WHERE note->>'thing' = 'consent'")
    assert noted == [("person:wang",)]


async def test_a_withdrawal_ends_what_was_said_before_and_offers_what_helps_without_a_camera(
    world: World, people: dict[str, httpx.AsyncClient]
) -> None:
    await says(people["wang"], "home_camera", granted=True)
    world.clock.move(minutes=30)
    answer = (await says(people["wang"], "home_camera", granted=False)).json()
    assert (answer["granted"], answer["withdrawn"]) == (False, True)
    assert "pendant" in answer["instead"]["en"]
    assert "挂坠" in answer["instead"]["zh-CN"]
    query = "SELECT granted, until = %s FROM consent WHERE purpose = 'home_camera' ORDER BY since"
    async with world.pool.connection() as connection:
        said = await (await connection.execute(query.encode(), [world.clock()])).fetchall()
    assert said == [(True, True), (False, False)]


async def test_nobody_agrees_to_a_text_that_they_were_not_shown(
    people: dict[str, httpx.AsyncClient],
) -> None:
    old = {"granted": True, "text_version": "2019-1"}
    refused = problem(await people["wang"].put("/api/v1/me/r1/consents/research", json=old), 422)
    assert refused["type"].endswith("text_changed")
    # A withdrawal is taken whatever was shown.
    old["granted"] = False
    assert (await people["wang"].put("/api/v1/me/r1/consents/research", json=old)).status_code == 200


async def test_staff_write_a_consent_down_with_its_proof_and_name_the_guardian(
    people: dict[str, httpx.AsyncClient],
) -> None:
    body = {"granted": True, "text_version": TEXT_VERSION, "given_by": "guardian", "proof": "paper 7"}
    path = "/api/v1/residents/r1/consents/home_camera"
    problem(await people["boss"].put(path, json=body), 422)
    problem(await people["boss"].put(path, json={k: v for k, v in body.items() if k != "proof"}), 422)
    taken = await people["boss"].put(path, json=body | {"guardian": "张伟"})
    assert (taken.status_code, taken.json()["guardian"]) == (200, "张伟"), taken.text
    problem(await people["chen"].put(path, json=body | {"guardian": "张伟"}), 403)
    shown = (await people["wang"].get("/api/v1/me/r1/consents")).json()
    assert [(one["purpose"], one["guardian"]) for one in shown["history"]] == [("home_camera", "张伟")]


async def test_an_account_is_tied_by_its_role_alone(people: dict[str, httpx.AsyncClient]) -> None:
    boss = people["boss"]
    for account, relation in (("li", "self"), ("li", "family"), ("wang", "family"), ("daughter", "self")):
        tied = {"residents": [{"resident": "r1", "relation": relation}]}
        problem(await boss.put(f"/api/v1/accounts/{account}/residents", json=tied), 422)
    nobody = {"residents": [{"resident": "r2", "relation": "self"}]}
    problem(await boss.put("/api/v1/accounts/wang/residents", json=nobody), 404)


@pytest.mark.usefixtures("people")
async def test_the_database_itself_shows_an_account_its_own_resident_and_nobody_else(
    world: World, database: str
) -> None:
    await world.raise_alert(resident="r1")
    await world.raise_alert(resident="r9")
    seen = {"resident": 1, "zone": 1, "alert": 1, "consent": 0, "task": 0, "detection": 0, "hand_up": 0}
    async with _people_pool(database) as pool, pool.scoped(Scope(frozenset())) as connection:
        await _counts(connection, dict.fromkeys(seen, 0))
        assert await own.enter(connection, "wang", world.clock()) == ["r1"]
        await _counts(connection, seen)
        changed = await connection.execute("UPDATE resident SET risk = 1")
        assert changed.rowcount == 0
    async with _people_pool(database) as pool, pool.scoped(Scope(frozenset())) as connection:
        assert await own.enter(connection, "li", world.clock()) == []
        await _counts(connection, dict.fromkeys(seen, 0))


def _people_pool(database: str) -> Any:
    return open_pool(SecretStr(database), "test-own", 1, role=ProcessRole.PEOPLE)


async def _counts(connection: psycopg.AsyncConnection[Any], expected: dict[str, int]) -> None:
    found = {}
    for table in expected:
        cursor = await connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table)))
        ((found[table],),) = await cursor.fetchall()
    assert found == expected
