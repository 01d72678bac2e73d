"""What officers tell each other about one alert: notes, and from hand to hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.conftest import problem

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def taken(world: World, li: httpx.AsyncClient) -> str:
    alert = str(await world.raise_alert())
    answer = await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert answer.status_code == 200, answer.text
    return alert


async def offered(li: httpx.AsyncClient, alert: str, to: str = "zhao") -> dict[str, Any]:
    body = {"account": to, "note": "I am at another door"}
    answer = await li.post(f"/api/v1/alerts/{alert}/offers", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["offer"]
    return found


async def history(client: httpx.AsyncClient, alert: str | UUID) -> list[tuple[str, str, str]]:
    found = (await client.get(f"/api/v1/alerts/{alert}")).json()
    return [(step["action"], step["actor"], step["reason"]) for step in found["transitions"]]


async def test_a_note_stands_in_the_history_and_changes_nothing_else(world: World) -> None:
    li, zhao = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    before = (await li.get(f"/api/v1/alerts/{alert}")).json()
    answer = await zhao.post(f"/api/v1/alerts/{alert}/notes", json={"note": "Her daughter is on the way"})
    assert answer.status_code == 201
    after = answer.json()
    assert (after["state"], after["holder"]) == (before["state"], before["holder"])
    assert (await history(li, alert))[-1] == ("note", "person:zhao", "Her daughter is on the way")


async def test_a_note_refuses_nobody_who_had_decided_just_before(world: World) -> None:
    li, zhao = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    await zhao.post(f"/api/v1/alerts/{alert}/notes", json={"note": "No answer by telephone"})
    answer = await li.post(f"/api/v1/alerts/{alert}/attend", json={"version": 2})
    assert answer.status_code == 200


async def test_a_note_that_is_sent_twice_stands_once(world: World) -> None:
    li = await world.person("li")
    alert = await taken(world, li)
    for _ in range(2):
        answer = await li.post(
            f"/api/v1/alerts/{alert}/notes", json={"note": "rang twice"}, headers={"Idempotency-Key": "k"}
        )
        assert answer.status_code == 201
    assert [step[0] for step in await history(li, alert)].count("note") == 1


async def test_what_is_offered_stays_with_its_holder_until_the_colleague_accepts(world: World) -> None:
    li, zhao = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    offer = await offered(li, alert)
    assert offer["to"] == {"actor": "person:zhao", "name": "Zhao"}
    assert (await zhao.get(f"/api/v1/alerts/{alert}")).json()["holder"]["actor"] == "person:li"
    after = (await zhao.post(f"/api/v1/offers/{offer['id']}/accept")).json()
    assert (after["holder"]["actor"], after["state"], after["offer"]) == ("person:zhao", "acknowledged", None)
    assert [step[:2] for step in (await history(li, alert))[-2:]] == [
        ("offer", "person:li"),
        ("take_over", "person:zhao"),
    ]


async def test_what_is_given_back_is_its_holders_as_before(world: World) -> None:
    li, zhao = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    offer = await offered(li, alert)
    after = (await zhao.post(f"/api/v1/offers/{offer['id']}/return")).json()
    assert (after["holder"]["actor"], after["offer"]) == ("person:li", None)
    problem(await zhao.post(f"/api/v1/offers/{offer['id']}/accept"), 409)


async def test_an_offer_that_nobody_answers_is_void(world: World, clock: FakeClock) -> None:
    li, zhao = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    offer = await offered(li, alert)
    clock.move(minutes=4)
    problem(await zhao.post(f"/api/v1/offers/{offer['id']}/accept"), 409)
    again = await offered(li, alert, "zhao")
    assert (await zhao.post(f"/api/v1/offers/{again['id']}/accept")).status_code == 200


async def test_only_its_holder_offers_an_alert_and_only_the_one_who_is_named_accepts(world: World) -> None:
    li, zhao, wu = await world.person("li"), await world.person("zhao"), await world.person("wu")
    alert = await taken(world, li)
    problem(await zhao.post(f"/api/v1/alerts/{alert}/offers", json={"account": "wu"}), 409)
    offer = await offered(li, alert)
    problem(await wu.post(f"/api/v1/offers/{offer['id']}/accept"), 404)
    problem(await li.post(f"/api/v1/offers/{offer['id']}/accept"), 404)
    assert (await li.post(f"/api/v1/offers/{offer['id']}/return")).status_code == 200


@pytest.mark.parametrize(
    ("account", "role", "estates"),
    [
        ("nobody", None, ()),
        ("ops", "ops", ("*",)),
        ("wang", "resident", ("e1",)),
        ("far", "duty_officer", ("e2",)),
        ("li", "duty_officer", ("*",)),
    ],
)
async def test_nobody_is_offered_what_they_could_not_take(
    world: World, account: str, role: str | None, estates: tuple[str, ...]
) -> None:
    if role:
        await world.person(account, role, estates)
    li = await world.person("li")
    alert = await taken(world, li)
    problem(await li.post(f"/api/v1/alerts/{alert}/offers", json={"account": account}), 422)


async def test_colleagues_on_duty_come_first(world: World) -> None:
    li, _, _ = await world.person("li"), await world.person("aa"), await world.person("zhao")
    await world.person("ops", "ops")
    async with world.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO shift (account, duty, starts_at, ends_at) VALUES ('zhao', 'officer', %s, %s)",
            [world.clock(), world.clock().replace(year=2027)],
        )
    alert = await taken(world, li)
    found = (await li.get(f"/api/v1/alerts/{alert}/colleagues")).json()
    assert [(one["account"], one["on_duty"]) for one in found] == [("zhao", True), ("aa", False)]


async def test_the_colleague_is_called(world: World) -> None:
    li, _ = await world.person("li"), await world.person("zhao")
    alert = await taken(world, li)
    await offered(li, alert)
    found = (await li.get(f"/api/v1/alerts/{alert}/notices")).json()
    assert [(one["account"], one["channel"]) for one in found] == [("zhao", "message")]


async def test_whoever_may_not_know_people_reads_no_notes(world: World) -> None:
    li, ops = await world.person("li"), await world.person("ops", "ops")
    alert = await taken(world, li)
    await li.post(f"/api/v1/alerts/{alert}/notes", json={"note": "王秀英 does not answer"})
    assert "王秀英" not in (await ops.get(f"/api/v1/alerts/{alert}")).text
    problem(await ops.post(f"/api/v1/alerts/{alert}/notes", json={"note": "x"}), 403)
