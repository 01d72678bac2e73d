"""Alerts over HTTP: who sees which, and of two who want one, one has it."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.integration.api.conftest import problem
from vigil.alerts import Priority

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def test_open_alerts_come_by_urgency_and_then_by_age(world: World) -> None:
    old = await world.raise_alert(priority=Priority.HIGH)
    world.clock.move(seconds=1)
    trouble = await world.raise_alert(priority=Priority.TROUBLE)
    first = await world.raise_alert()
    world.clock.move(seconds=1)
    second = await world.raise_alert()
    page = (await (await world.person("li")).get("/api/v1/alerts")).json()
    assert [a["id"] for a in page["alerts"]] == list(map(str, (first, second, old, trouble)))
    assert page["next"] is None


@pytest.mark.parametrize("state", ["open", "closed"])
async def test_pages_follow_each_other_without_a_gap(world: World, state: str) -> None:
    raised = [str(await world.raise_alert(priority=p)) for p in (*Priority, *Priority)]
    li = await world.person("li")
    if state == "closed":
        for alert in raised:
            body = {"version": 1, "outcome": "true"}
            assert (await li.post(f"/api/v1/alerts/{alert}/resolve", json=body)).is_success
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        where = {"state": state, "limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await li.get("/api/v1/alerts", params=where)).json()
        seen += [a["id"] for a in page["alerts"]]
        cursor = page["next"]
    assert sorted(seen) == sorted(raised)


async def test_an_alert_is_shown_with_place_resident_history_and_evidence(world: World) -> None:
    alert = await world.raise_alert()
    answer = await (await world.person("li")).get(f"/api/v1/alerts/{alert}")
    shown = answer.json()
    assert answer.headers["ETag"] == '"1"'
    assert shown["resident"]["name"] == "王秀英"
    assert shown["place"]["building"] == "3号楼"
    assert [t["action"] for t in shown["transitions"]] == ["raise"]
    assert shown["detections"][0]["explanation"]["en"] == "Hard impact"


async def test_reading_what_concerns_a_resident_is_written_down(world: World) -> None:
    alert = await world.raise_alert()
    await (await world.person("li")).get(f"/api/v1/alerts/{alert}")
    await (await world.person("op", "ops")).get(f"/api/v1/alerts/{alert}")
    async with world.pool.connection() as connection:
        rows = await (await connection.execute("SELECT resident, actor, what FROM access_log")).fetchall()
    assert rows == [("r1", "person:li", f"alert:{alert}")]


async def test_a_role_that_may_not_know_people_sees_neither_names_nor_homes(world: World) -> None:
    alert = await world.raise_alert()
    ops = await world.person("op", "ops")
    for path in ("/api/v1/alerts", f"/api/v1/alerts/{alert}"):
        text = (await ops.get(path)).text
        assert "王秀英" not in text
        assert "13900000001" not in text
        assert "401" not in text
        assert '"r1"' not in text


async def test_the_first_who_takes_it_has_it_and_the_second_is_told_who(world: World) -> None:
    alert = await world.raise_alert()
    li, zhao = await world.person("li"), await world.person("zhao")
    path = f"/api/v1/alerts/{alert}/acknowledge"
    taken = await li.post(path, headers={"If-Match": '"1"'})
    assert taken.json()["holder"] == {"actor": "person:li", "name": "Li"}
    assert taken.headers["ETag"] == '"2"'
    late = problem(await zhao.post(path, headers={"If-Match": '"1"'}), 409)
    assert late["holder"] == "Li"
    assert late["version"] == 2
    informed = problem(await zhao.post(path, headers={"If-Match": '"2"'}), 409)
    assert informed["holder"] == "Li"


async def test_of_many_officers_who_race_for_one_alert_exactly_one_has_it(world: World) -> None:
    alert = await world.raise_alert()
    officers = [await world.person(name) for name in ("li", "zhao", "sun", "wu", "qian")]
    path = f"/api/v1/alerts/{alert}/acknowledge"
    answers = await asyncio.gather(*(o.post(path, json={"version": 1}) for o in officers))
    winners = [a for a in answers if a.status_code == 200]
    assert len(winners) == 1
    name = winners[0].json()["holder"]["name"]
    assert {problem(a, 409)["holder"] for a in answers if a is not winners[0]} == {name}


async def test_a_tap_that_is_sent_twice_is_no_conflict_with_oneself(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    path = f"/api/v1/alerts/{alert}/acknowledge"
    first, again = [(await li.post(path, json={"version": 1})).json() for _ in range(2)]
    assert first == again
    assert (await li.get(f"/api/v1/alerts/{alert}")).json()["version"] == 2


async def test_evidence_that_joins_meanwhile_refuses_nobody(world: World) -> None:
    alert = await world.raise_alert("resident:r1")
    assert await world.raise_alert("resident:r1") == alert
    li = await world.person("li")
    taken = await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert taken.json()["version"] == 3
    assert taken.json()["evidence"] == 2


async def test_an_alert_goes_its_way_to_a_reviewed_outcome(world: World) -> None:
    alert = await world.raise_alert()
    li, boss = await world.person("li"), await world.person("boss", "supervisor")
    base = f"/api/v1/alerts/{alert}"
    await li.post(f"{base}/acknowledge", json={"version": 1})
    await li.post(f"{base}/attend", json={"version": 2})
    done = await li.post(f"{base}/resolve", json={"version": 3, "outcome": "true", "reason": "hip hurts"})
    assert done.json()["state"] == "resolved"
    problem(await li.post(f"{base}/review", json={"version": 4}), 403)
    assert (await boss.post(f"{base}/review", json={"version": 4})).json()["state"] == "reviewed"
    history = (await li.get(base)).json()["transitions"]
    assert [(t["action"], t["name"]) for t in history][1:] == [
        ("acknowledge", "Li"),
        ("attend", "Li"),
        ("resolve", "Li"),
        ("review", "Boss"),
    ]
    assert history[3]["reason"] == "hip hurts"


async def test_a_silence_has_an_end_and_a_reason(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    path = f"/api/v1/alerts/{alert}/silence"
    wrong = problem(await li.post(path, json={"version": 1, "minutes": 241, "reason": "why"}), 422)
    assert wrong["errors"][0]["pointer"] == "/body/minutes"
    problem(await li.post(path, json={"version": 1, "minutes": 30}), 422)
    silenced = (await li.post(path, json={"version": 1, "minutes": 30, "reason": "repairs"})).json()
    assert silenced["state"] == "silenced"
    assert silenced["silenced_until"] == "2026-03-01T20:30:00Z"


async def test_the_first_screen_that_shows_it_counts_as_delivered(world: World) -> None:
    alert = await world.raise_alert()
    li, zhao = await world.person("li"), await world.person("zhao")
    for officer in (li, zhao):
        assert (await officer.post(f"/api/v1/alerts/{alert}/delivered")).status_code == 204
    shown = (await li.get(f"/api/v1/alerts/{alert}")).json()
    assert (shown["state"], shown["version"]) == ("delivered", 2)


async def test_a_step_has_to_name_the_version_it_was_decided_on(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    path = f"/api/v1/alerts/{alert}/acknowledge"
    problem(await li.post(path), 428)
    problem(await li.post(path, headers={"If-Match": '"one"'}), 428)
    assert (await li.post(path, headers={"If-Match": 'W/"1"'})).status_code == 200


async def test_a_version_that_is_yet_to_come_is_a_conflict(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    problem(await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 9}), 409)


async def test_what_is_outside_ones_estates_does_not_exist(world: World) -> None:
    alert = await world.raise_alert(estate="e2")
    li = await world.person("li", estates=("e1",))
    assert (await li.get("/api/v1/alerts")).json()["alerts"] == []
    problem(await li.get(f"/api/v1/alerts/{alert}"), 404)
    problem(await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1}), 404)
    problem(await li.get(f"/api/v1/alerts/{uuid4()}"), 404)


async def test_what_is_not_ones_task_is_refused(world: World) -> None:
    alert = await world.raise_alert()
    ops = await world.person("op", "ops")
    problem(await ops.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1}), 403)
    worker = await world.person("worker", "grid_worker")
    body = {"version": 1, "minutes": 30, "reason": "why"}
    problem(await worker.post(f"/api/v1/alerts/{alert}/silence", json=body), 403)
    problem(await (await world.person("auntie", "family")).get("/api/v1/alerts"), 403)


async def test_people_never_see_a_canary_and_its_robot_sees_nothing_else(world: World) -> None:
    canary = await world.raise_alert("canary:e1", synthetic="canary", resident=None)
    fall = await world.raise_alert()
    li, robot = await world.person("li"), await world.robot("canary-1", "canary")
    assert [a["id"] for a in (await li.get("/api/v1/alerts")).json()["alerts"]] == [str(fall)]
    problem(await li.get(f"/api/v1/alerts/{canary}"), 404)
    assert [a["id"] for a in (await robot.get("/api/v1/alerts")).json()["alerts"]] == [str(canary)]
    problem(await robot.post(f"/api/v1/alerts/{fall}/acknowledge", json={"version": 1}), 404)


async def test_the_canarys_robot_acknowledges_and_closes_it_as_a_drill(world: World) -> None:
    canary = await world.raise_alert("canary:e1", synthetic="canary", resident=None)
    robot = await world.robot("canary-1", "canary")
    base = f"/api/v1/alerts/{canary}"
    assert (await robot.post(f"{base}/acknowledge", json={"version": 1})).status_code == 200
    problem(await robot.post(f"{base}/resolve", json={"version": 2, "outcome": "true"}), 409)
    closed = await robot.post(f"{base}/resolve", json={"version": 2, "outcome": "drill"})
    assert closed.json()["state"] == "resolved"


async def test_the_watchdogs_robot_hands_over_to_fallback_and_does_nothing_else(world: World) -> None:
    alert = await world.raise_alert()
    robot = await world.robot("watchdog-1", "watchdog")
    problem(await robot.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1}), 403)
    handed = await robot.post(f"/api/v1/alerts/{alert}/hand-to-fallback", json={"version": 1})
    assert handed.json()["state"] == "fallback_owned"
    assert handed.json()["holder"]["name"] == "watchdog-1"


async def test_a_request_that_is_not_as_it_should_be_is_told_where(world: World) -> None:
    li = await world.person("li")
    alert = await world.raise_alert()
    problem(await li.get("/api/v1/alerts/not-an-id"), 422)
    problem(await li.get("/api/v1/alerts", params={"cursor": "nonsense"}), 422)
    problem(await li.get("/api/v1/alerts", params={"limit": "0"}), 422)
    wrong = await li.post(
        f"/api/v1/alerts/{alert}/resolve", json={"version": 1, "outcome": "perhaps", "x": 1}
    )
    assert {e["pointer"] for e in problem(wrong, 422)["errors"]} == {"/body/outcome", "/body/x"}
    problem(await li.get("/api/v1/nothing"), 404)
    problem(await li.put("/api/v1/alerts"), 405)


async def test_a_reason_that_is_no_text_is_refused(world: World) -> None:
    li = await world.person("li")
    alert = await world.raise_alert()
    body = {"version": 1, "reason": "a\x00b"}
    problem(await li.post(f"/api/v1/alerts/{alert}/acknowledge", json=body), 422)


async def test_a_cursor_that_was_made_up_is_refused(world: World) -> None:
    li = await world.person("li")
    made_up = base64.urlsafe_b64encode(b'[99999999999,"2026-03-01T00:00:00Z","%s"]' % (b"0" * 32)).decode()
    problem(await li.get("/api/v1/alerts", params={"cursor": made_up}), 422)


async def test_a_step_that_is_repeated_under_its_key_gets_the_first_answer_again(world: World) -> None:
    li, alert = await world.person("li"), await world.raise_alert()
    url, key = f"/api/v1/alerts/{alert}/acknowledge", {"Idempotency-Key": "one-tap"}
    first = await li.post(url, json={"version": 1}, headers=key)
    again = await li.post(url, json={"version": 1}, headers=key)
    assert first.status_code == again.status_code == 200
    assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(await li.post(url, json={"version": 2}, headers=key), 422)
