"""Shifts, handovers, leave and what is wrong with the next week."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from api.escalation.policies import Target
from api.escalation.worker import Escalator, read_rota
from tests.integration.api.conftest import LINK_KEY, START, problem
from vigil.store import escalation

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def span(first: float, last: float, account: str = "li", **more: Any) -> dict[str, Any]:
    return {"account": account, "starts_at": at(first), "ends_at": at(last), **more}


def shift(first: float, last: float, account: str = "li", duty: str = "officer") -> dict[str, Any]:
    return span(first, last, account, duty=duty)


async def reachable(world: World, account: str) -> None:
    async with world.pool.connection() as connection:
        for position, channel in enumerate(("message", "voice")):
            url = f"{channel}://{account}"
            await escalation.put_contact(connection, account, position, channel, url, world.clock())


@pytest_asyncio.fixture
async def staff(world: World) -> dict[str, httpx.AsyncClient]:
    """A supervisor and two officers who can be reached."""
    clients = {"sun": await world.person("sun", "supervisor")}
    for account in ("li", "wu"):
        clients[account] = await world.person(account, estates=("e1",))
        await reachable(world, account)
    return clients


async def on_duty(world: World, hours: float) -> list[str]:
    moment = START + timedelta(hours=hours)
    async with world.pool.connection() as connection:
        known = await read_rota(connection, moment)
    return [p.account for p in known.resolve(Target.OFFICERS, "e1", moment)]


async def test_a_shift_is_planned_changed_and_taken_back(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    sun = staff["sun"]
    made = await sun.post("/api/v1/shifts", json=shift(0, 12))
    assert made.status_code == 201, made.text
    assert await on_duty(world, 1) == ["li"]
    url = made.headers["Location"]
    moved = await sun.put(url, json=shift(2, 14), headers={"If-Match": made.headers["ETag"]})
    assert moved.status_code == 200, moved.text
    problem(await sun.put(url, json=shift(0, 12), headers={"If-Match": made.headers["ETag"]}), 412)
    assert (await sun.get(url)).headers["ETag"] == moved.headers["ETag"]
    assert (await sun.delete(url, headers={"If-Match": moved.headers["ETag"]})).status_code == 204
    problem(await sun.get(url), 404)


async def test_nobody_goes_on_duty_without_two_verified_contacts(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    await world.person("new", estates=("e1",))
    said = problem(await staff["sun"].post("/api/v1/shifts", json=shift(0, 12, "new")), 422)
    assert "0 of 2 contacts" in said["detail"]
    world.clock.move(days=31)
    later = span(31 * 24, 31 * 24 + 12, duty="officer")
    sun = await world.person("sun", "supervisor")  # the session is over by now
    assert problem(await sun.post("/api/v1/shifts", json=later), 422)["type"].endswith("unfit")


async def test_nobody_is_on_duty_twice_at_once_nor_on_leave(staff: dict[str, httpx.AsyncClient]) -> None:
    sun = staff["sun"]
    await sun.post("/api/v1/shifts", json=shift(0, 12))
    problem(await sun.post("/api/v1/shifts", json=shift(11, 20)), 409)
    assert (await sun.post("/api/v1/leave", json=span(24, 48))).status_code == 201
    assert "on leave" in problem(await sun.post("/api/v1/shifts", json=shift(40, 52)), 409)["detail"]
    problem(await sun.post("/api/v1/shifts", json=shift(0, 25, "wu")), 422)
    problem(await sun.post("/api/v1/shifts", json=shift(5, 5, "wu")), 422)


async def test_a_handover_has_two_sides(world: World, staff: dict[str, httpx.AsyncClient]) -> None:
    url = (await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    offered = await staff["li"].post(f"{url}/handovers", json=span(4, 8, "wu", note="doctor"))
    assert offered.json()["state"] == "offered"
    assert await on_duty(world, 5) == ["li"]
    handover = offered.headers["Location"]
    problem(await staff["li"].post(f"{handover}/accept"), 409)
    assert (await staff["wu"].post(f"{handover}/accept")).json()["state"] == "accepted"
    assert [await on_duty(world, hour) for hour in (3, 5, 9)] == [["li"], ["wu"], ["li"]]
    problem(await staff["wu"].post(f"{handover}/decline"), 409)
    listed = (await staff["wu"].get("/api/v1/handovers")).json()["items"]
    assert [(one["holder"], one["account"], one["state"]) for one in listed] == [("li", "wu", "accepted")]


async def test_an_offer_can_be_declined_or_taken_back(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    url = (await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    for who, answer, state in (("wu", "decline", "declined"), ("li", "withdraw", "withdrawn")):
        offer = (await staff["li"].post(f"{url}/handovers", json=span(4, 8, "wu"))).headers["Location"]
        assert (await staff[who].post(f"{offer}/{answer}")).json()["state"] == state
        problem(await staff["wu"].post(f"{offer}/accept"), 409)
    assert await on_duty(world, 5) == ["li"]


async def test_nobody_hands_over_what_is_not_theirs(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    url = (await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    problem(await staff["wu"].post(f"{url}/handovers", json=span(4, 8, "wu")), 409)
    problem(await staff["li"].post(f"{url}/handovers", json=span(8, 13, "wu")), 422)
    taken = (await staff["li"].post(f"{url}/handovers", json=span(0, 12, "wu"))).headers["Location"]
    await staff["wu"].post(f"{taken}/accept")
    problem(await staff["li"].post(f"{url}/handovers", json=span(4, 8, "wu")), 409)
    assert await on_duty(world, 5) == ["wu"]


async def test_a_supervisor_orders_somebody_to_stand_in_at_once(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    url = (await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    problem(await staff["li"].post(f"{url}/overrides", json=span(4, 8, "wu")), 403)
    assert (await staff["sun"].post(f"{url}/overrides", json=span(4, 8, "wu"))).json()["state"] == "accepted"
    assert await on_duty(world, 5) == ["wu"]


async def test_leave_takes_somebody_off_duty_and_the_next_rung_is_asked(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))
    made = await staff["sun"].post("/api/v1/leave", json=span(4, 8))
    assert "sun" in await on_duty(world, 5)
    url = made.headers["Location"]
    assert (await staff["sun"].delete(url, headers={"If-Match": made.headers["ETag"]})).status_code == 204
    assert await on_duty(world, 5) == ["li"]


async def test_the_rota_says_who_would_be_told_and_what_is_missing(
    staff: dict[str, httpx.AsyncClient],
) -> None:
    await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))
    (now,) = (await staff["li"].get("/api/v1/rota")).json()
    assert now["estate"] == "e1"
    assert now["targets"]["officers"] == ["li"]
    assert [datetime.fromisoformat(gap["starts_at"]) for gap in now["gaps"]] == [START + timedelta(hours=12)]


async def test_duty_is_in_peoples_own_calendar(staff: dict[str, httpx.AsyncClient]) -> None:
    url = (await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))).headers["Location"]
    await staff["sun"].post(f"{url}/overrides", json=span(4, 8, "wu"))
    text = (await staff["wu"].get("/api/v1/rota.ics", params={"account": "wu"})).text
    assert text.startswith("BEGIN:VCALENDAR\r\n")
    assert text.count("BEGIN:VEVENT") == 1
    assert "DTSTART:20260302T000000Z" in text


def escalator(world: World) -> Escalator:
    return Escalator(world.pool, world.sender, world.clock, LINK_KEY, world.url)


async def open_trouble(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return [a for a in (await client.get("/api/v1/alerts")).json()["alerts"] if a["kind"] == "rota"]


async def test_a_gap_within_the_next_week_is_one_trouble_alert_now(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))
    worker = escalator(world)
    for _ in range(3):
        await worker.watch_rota()
        world.clock.move(minutes=1)
    (alert,) = await open_trouble(staff["sun"])
    assert (alert["priority"], alert["evidence"]) == ("trouble", 1)
    assert "12 h" in alert["summary"]["en"]


async def test_a_full_rota_of_people_who_can_be_reached_is_no_trouble(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    async with world.pool.transaction() as connection:
        for day in range(-1, 9):
            begins = START + timedelta(days=day)
            await escalation.add_shift(connection, "li", "officer", begins, begins + timedelta(days=1))
    await escalator(world).watch_rota()
    assert await open_trouble(staff["sun"]) == []
    world.clock.move(days=1)
    async with world.pool.connection() as connection:
        await connection.execute(
            "UPDATE contact SET verified_at = NULL WHERE account = 'li' AND position = 0"
        )
        await escalation.add_shift(
            connection, "li", "officer", START + timedelta(days=9), START + timedelta(days=10)
        )
    await escalator(world).watch_rota()
    (alert,) = await open_trouble(await world.person("sun", "supervisor"))
    assert "verified" in alert["summary"]["en"]


@pytest.mark.trust
async def test_duty_of_other_estates_is_neither_seen_nor_changed(
    world: World, staff: dict[str, httpx.AsyncClient]
) -> None:
    made = await staff["sun"].post("/api/v1/shifts", json=shift(0, 12))
    far = await world.person("far", "supervisor", ("e2",))
    assert (await far.get("/api/v1/shifts")).json()["items"] == []
    problem(await far.get(made.headers["Location"]), 404)
    problem(await far.delete(made.headers["Location"], headers={"If-Match": '"1"'}), 404)
    problem(await far.post("/api/v1/shifts", json=shift(20, 24)), 404)
    assert "BEGIN:VEVENT" not in (await far.get("/api/v1/rota.ics")).text


async def test_planned_shifts_and_leave_are_on_record_and_taken_back_by_the_same_checks(
    staff: dict[str, httpx.AsyncClient],
) -> None:
    sun = staff["sun"]
    made = (await sun.post("/api/v1/shifts", json=shift(1, 9))).json()
    match = {"If-Match": '"1"'}
    await sun.put(f"/api/v1/shifts/{made['id']}", json=shift(2, 9), headers=match)
    await sun.delete(f"/api/v1/shifts/{made['id']}", headers={"If-Match": '"2"'})
    removed, changed, _ = (await sun.get("/api/v1/changes", params={"thing": "shift"})).json()["items"]
    assert (removed["action"], changed["action"]) == ("removed", "changed")
    problem(await sun.post(f"/api/v1/changes/{changed['id']}/undo"), 404)
    assert (await sun.post(f"/api/v1/changes/{removed['id']}/undo")).status_code == 201
    (again,) = (await sun.get("/api/v1/shifts")).json()["items"]
    assert (again["account"], again["starts_at"]) == ("li", at(2).replace("+00:00", "Z"))
    leave = (await sun.post("/api/v1/leave", json=span(1, 20, "wu"))).json()
    (noted,) = (await sun.get("/api/v1/changes", params={"thing": "leave"})).json()["items"]
    assert noted["thing_id"] == str(leave["id"])
    assert (await sun.post(f"/api/v1/changes/{noted['id']}/undo")).status_code == 201
    assert (await sun.get("/api/v1/leave")).json()["items"] == []
    problem(await sun.post(f"/api/v1/changes/{noted['id']}/undo"), 409)


async def test_a_shift_is_not_put_back_where_its_person_has_other_duty_by_now(
    staff: dict[str, httpx.AsyncClient],
) -> None:
    sun = staff["sun"]
    made = (await sun.post("/api/v1/shifts", json=shift(1, 9))).json()
    await sun.delete(f"/api/v1/shifts/{made['id']}", headers={"If-Match": '"1"'})
    await sun.post("/api/v1/shifts", json=shift(4, 12))
    removed = (await sun.get("/api/v1/changes", params={"thing": "shift"})).json()["items"][1]
    assert removed["action"] == "removed"
    problem(await sun.post(f"/api/v1/changes/{removed['id']}/undo"), 409)
