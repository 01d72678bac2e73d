"""A box's config over the API: set, refused by the field, its history and what the box answers; commands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.integration.api.conftest import problem
from vigil.boxconfig import digest
from vigil.events import Has, Reply
from vigil.store import configs

if TYPE_CHECKING:
    from httpx import AsyncClient

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
AT = "/api/v1/configs/n1"
NODES = """
    INSERT INTO node (id, estate, online) VALUES ('n1', 'e1', true), ('n2', 'e2', true);
    INSERT INTO device (id, node, zone, kind) VALUES ('cam', 'n1', 'z1', 'camera'), ('pendant', 'n1', 'z1', 'pendant');
"""
SQUARE = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]


@pytest_asyncio.fixture
async def boxer(world: World) -> AsyncClient:
    async with world.pool.connection() as connection:
        await connection.execute(NODES)
    client: AsyncClient = await world.person("boss", "community_manager")
    return client


def body(**settings: Any) -> dict[str, Any]:
    return {"settings": settings, "reason": "tried at the wall"}


async def answer(world: World, version: int, refused: str = "") -> None:
    async with world.pool.connection() as connection:
        (kept,) = await configs.history(connection, "n1", 1, version + 1)
        has = Has(version=0) if refused else Has(version=version, digest=digest(kept.document.encode()))
        reply = Reply(to=f"config-{version}", accepted=not refused, reason=refused, has=has)
        await configs.note_replies(connection, [("n1", reply)], world.clock())


async def test_a_config_is_set_answered_and_remembered(world: World, boxer: AsyncClient) -> None:
    before = await boxer.get(AT)
    assert (before.headers["ETag"], before.json()["state"]) == ('"0"', "none")
    wanted = {"cam": {"view": {"fps": 4.0, "masks": [SQUARE], "zones": {"z1": SQUARE}}}}
    made = await boxer.put(AT, json=body(devices=wanted), headers={"If-Match": '"0"'})
    assert made.status_code == 200, made.text
    assert (made.headers["ETag"], made.json()["state"]) == ('"1"', "waiting")
    await answer(world, 1)
    again = await boxer.put(AT, json=body(spool_max_mb=64), headers={"If-Match": made.headers["ETag"]})
    await answer(world, 2, refused="no room for it")
    found = (await boxer.get(AT)).json()
    assert (again.json()["version"], found["state"], found["refused"]) == (2, "refused", "no room for it")
    versions = (await boxer.get(AT + "/versions")).json()["items"]
    told = [(v["version"], v["made_by"], v["accepted"], v["refused"]) for v in versions]
    assert told == [(2, "person:boss", False, "no room for it"), (1, "person:boss", True, None)]
    assert versions[1]["settings"]["devices"]["cam"]["view"]["fps"] == 4
    listed = (await boxer.get("/api/v1/configs", params={"state": "refused"})).json()["items"]
    assert [one["node"] for one in listed] == ["n1"]


async def test_two_who_change_at_once_see_each_other_and_one_request_sent_twice_is_one(
    boxer: AsyncClient,
) -> None:
    problem(await boxer.put(AT, json=body(spool_max_mb=64)), 428)
    headers = {"If-Match": '"0"', "Idempotency-Key": "once-and-for-all"}
    first = await boxer.put(AT, json=body(spool_max_mb=64), headers=headers)
    again = await boxer.put(AT, json=body(spool_max_mb=64), headers=headers)
    assert (first.status_code, again.json()) == (200, first.json())
    problem(await boxer.put(AT, json=body(spool_max_mb=32), headers={"If-Match": '"0"'}), 412)


@pytest.mark.parametrize(
    ("settings", "pointer", "words"),
    [
        ({"devices": {"lamp": {"off": True}}}, "/body/settings/devices/lamp", "no device of this box"),
        ({"devices": {"pendant": {"view": {"fps": 4}}}}, "/body/settings/devices/pendant", "has no view"),
        (
            {"devices": {"cam": {"view": {"zones": {"moon": SQUARE}}}}},
            "/body/settings/devices/cam/view/zones/moon",
            "register it",
        ),
        ({"spool_max_mb": 1}, "/body/settings/spool_max_mb", "16"),
        ({"address": "rtsp://else"}, "/body/settings/address", "not permitted"),
    ],
)
async def test_what_does_not_fit_is_refused_by_the_field_and_nothing_is_written(
    boxer: AsyncClient, settings: dict[str, Any], pointer: str, words: str
) -> None:
    refused = await boxer.put(AT, json=body(**settings), headers={"If-Match": '"0"'})
    problem(refused, 422)
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]
    assert (await boxer.get(AT)).json()["version"] == 0


@pytest.mark.trust
async def test_nobody_sets_the_box_of_another_estate_and_an_officer_none(
    world: World, boxer: AsyncClient
) -> None:
    assert (await boxer.get(AT)).status_code == 200
    other = await world.person("other", "community_manager", ("e2",))
    problem(await other.get(AT), 404)
    problem(await other.put(AT, json=body(), headers={"If-Match": '"0"'}), 404)
    assert [one["node"] for one in (await other.get("/api/v1/configs")).json()["items"]] == ["n2"]
    officer = await world.person("officer", "duty_officer")
    problem(await officer.get(AT), 403)


@pytest.mark.trust
async def test_settings_do_not_open_a_camera_that_nobody_agreed_to(boxer: AsyncClient) -> None:
    made = await boxer.put(AT, json=body(devices={"cam": {"off": False}}), headers={"If-Match": '"0"'})
    assert made.json()["without"] == {"cam": ["home_camera"]}


async def test_a_command_is_done_refused_or_ends(world: World, boxer: AsyncClient) -> None:
    made = [
        (await boxer.post(AT + "/commands", json={"command": "identify", "expires_in_s": 60})).json()["id"]
        for _ in range(3)
    ]
    async with world.pool.connection() as connection:
        yes, no = Reply(to=made[0], accepted=True), Reply(to=made[1], accepted=False, reason="no siren")
        await configs.note_replies(connection, [("n1", yes), ("n1", no)], world.clock())
    world.clock.now += timedelta(seconds=61)
    found = {one["id"]: (one["state"], one["reason"]) for one in (await boxer.get(AT + "/commands")).json()}
    assert [found[id_] for id_ in made] == [("done", None), ("refused", "no siren"), ("expired", None)]
    problem(await boxer.post(AT + "/commands", json={"command": "format"}), 422)
