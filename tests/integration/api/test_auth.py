"""Signing in, staying in, and being kept out."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from psycopg.sql import SQL, Identifier

from api.auth import IDLE, SESSION_LASTS
from api.limits import FAILURES
from api.passwords import FREE_FAILURES
from tests.integration.api.conftest import PASSWORD, problem
from vigil.store import accounts

if TYPE_CHECKING:
    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
SESSION = "/api/v1/session"


async def test_a_stranger_is_told_to_sign_in(world: World) -> None:
    stranger = await world.client()
    for path in ("/api/v1/alerts", "/api/v1/stream", SESSION):
        answer = await stranger.get(path)
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_sessions_cookie_is_out_of_reach_of_scripts_and_other_sites(world: World) -> None:
    await world.person("li")
    stranger = await world.client()
    answer = await stranger.post(SESSION, json={"account": "li", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(world: World) -> None:
    await world.person("li")
    stranger = await world.client()
    answers = [
        problem(await stranger.post(SESSION, json={"account": account, "password": "wrong"}), 401)
        for account in ("li", "nobody")
    ]
    assert answers[0] == answers[1]


async def test_a_cookie_without_the_csrf_token_changes_nothing(world: World) -> None:
    alert = await world.raise_alert()
    li = await world.person("li")
    path = f"/api/v1/alerts/{alert}/acknowledge"
    del li.headers["X-CSRF-Token"]
    assert problem(await li.post(path, json={"version": 1}), 403)["type"].endswith("csrf")
    li.headers["X-CSRF-Token"] = "guessed"
    problem(await li.post(path, json={"version": 1}), 403)
    assert (await li.get(f"/api/v1/alerts/{alert}")).json()["version"] == 1


async def test_who_signs_out_is_out(world: World) -> None:
    li = await world.person("li")
    secret = li.cookies["vigil_session"]
    assert (await li.delete(SESSION)).status_code == 204
    li.cookies.set("vigil_session", secret)
    problem(await li.get(SESSION), 401)


async def test_a_session_ends_after_a_shift(world: World) -> None:
    li = await world.person("li")
    ends = world.clock.now + SESSION_LASTS
    while world.clock.now + IDLE < ends:
        world.clock.now += IDLE - timedelta(seconds=1)
        assert (await li.get(SESSION)).status_code == 200
    world.clock.now = ends - timedelta(seconds=1)
    assert (await li.get(SESSION)).status_code == 200
    world.clock.now = ends
    problem(await li.get(SESSION), 401)


async def test_a_session_that_nobody_uses_ends_after_an_hour(world: World) -> None:
    li = await world.person("li")
    world.clock.now += IDLE - timedelta(seconds=1)
    assert (await li.get(SESSION)).status_code == 200
    world.clock.now += IDLE
    problem(await li.get(SESSION), 401)


async def test_signing_in_gives_a_new_session_and_ends_the_one_before(world: World) -> None:
    li = await world.person("li")
    before = li.cookies["vigil_session"]
    await li.post(SESSION, json={"account": "li", "password": PASSWORD})
    assert li.cookies["vigil_session"] != before
    other = await world.client()
    other.cookies.set("vigil_session", before)
    problem(await other.get(SESSION), 401)


async def test_signing_out_everywhere_ends_every_session_of_ones_own(world: World) -> None:
    desk, phone, wang = await world.person("li"), await world.person("li"), await world.person("wang")
    assert [place["current"] for place in (await desk.get(f"{SESSION}/all")).json()].count(True) == 1
    assert len((await desk.get(f"{SESSION}/all")).json()) == 2
    assert (await desk.delete(f"{SESSION}/all")).status_code == 204
    for client in (desk, phone):
        problem(await client.get(SESSION), 401)
    assert (await wang.get(SESSION)).status_code == 200


@pytest.mark.trust
async def test_whoever_fails_too_often_from_one_place_waits_whatever_the_account(world: World) -> None:
    await world.person("li")
    stranger = await world.client()
    for n in range(FAILURES):
        problem(await stranger.post(SESSION, json={"account": f"a{n}", "password": "wrong"}), 401)
    right = {"account": "li", "password": PASSWORD}
    problem(await stranger.post(SESSION, json=right), 429)
    assert (await stranger.post("/login", data=right)).status_code == 429
    world.clock.move(minutes=1)
    assert (await stranger.post(SESSION, json=right)).status_code == 204


async def test_too_many_wrong_passwords_lock_the_account_for_a_while(world: World) -> None:
    await world.person("li")
    stranger = await world.client()
    for _ in range(FREE_FAILURES):
        await stranger.post(SESSION, json={"account": "li", "password": "wrong"})
    right = {"account": "li", "password": PASSWORD}
    assert problem(await stranger.post(SESSION, json=right), 401)["type"].endswith("locked")
    world.clock.move(minutes=1)
    assert (await stranger.post(SESSION, json=right)).status_code == 204


async def test_a_disabled_account_is_out_at_once_and_stays_out(world: World) -> None:
    li = await world.person("li")
    async with world.pool.transaction() as connection:
        assert await accounts.disable_account(connection, "li", world.clock())
    problem(await li.get(SESSION), 401)
    problem(await li.post(SESSION, json={"account": "li", "password": PASSWORD}), 401)


async def test_a_token_ends_with_its_time_or_when_it_is_revoked(world: World) -> None:
    one, other = await world.robot("one", "reader"), await world.robot("other", "reader")
    async with world.pool.connection() as connection:
        assert await accounts.revoke_token(connection, "one", world.clock())
    problem(await one.get("/api/v1/alerts"), 401)
    assert (await other.get("/api/v1/alerts")).status_code == 200
    world.clock.move(days=365)
    problem(await other.get("/api/v1/alerts"), 401)


async def test_a_new_token_of_the_same_name_makes_the_old_one_void(world: World) -> None:
    old = await world.robot("canary-1", "canary")
    new = await world.robot("canary-1", "canary")
    problem(await old.get("/api/v1/alerts"), 401)
    assert (await new.get("/api/v1/alerts")).status_code == 200


@pytest.mark.trust
async def test_no_secret_stands_in_the_database(world: World) -> None:
    li = await world.person("li")
    robot = await world.robot("canary-1", "canary")
    secrets = (PASSWORD, li.cookies["vigil_session"], robot.headers["Authorization"].partition(" ")[2])
    async with world.pool.connection() as connection:
        for table in ("account", "session", "api_token"):
            query = SQL("SELECT t::text FROM {} t").format(Identifier(table))
            rows = await (await connection.execute(query)).fetchall()
            assert rows
            assert not any(secret in row[0] for row in rows for secret in secrets)


async def test_every_answer_forbids_frames_foreign_scripts_and_sniffing(world: World) -> None:
    stranger = await world.client()
    for path in ("/login", "/static/console.css", "/api/v1/alerts", "/nowhere"):
        headers = (await stranger.get(path)).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_form_of_another_site_signs_nobody_in(world: World) -> None:
    await world.person("li")
    stranger = await world.client()
    form = {"account": "li", "password": PASSWORD}
    foreign = await stranger.post("/login", data=form, headers={"Origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    cross = await stranger.post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 403
    assert (await stranger.post("/login", data=form)).status_code == 303


async def test_a_person_who_opens_what_is_not_theirs_gets_a_page_in_words(world: World) -> None:
    alert = await world.raise_alert(estate="e2")
    li = await world.person("li", estates=("e1",))
    page = await li.get(f"/alerts/{alert}", headers={"Accept": "text/html", "Accept-Language": "en"})
    assert page.status_code == 404
    assert "Nothing here for you" in page.text


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "\n"])
async def test_a_name_that_is_no_text_is_nobodys(world: World, name: str) -> None:
    client = await world.client()
    body = json.dumps({"account": name, "password": PASSWORD})
    answer = await client.post("/api/v1/session", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (401, 422)
    if name.isascii():
        form = await client.post("/login", data={"account": name, "password": PASSWORD})
        assert form.status_code in (401, 422)
