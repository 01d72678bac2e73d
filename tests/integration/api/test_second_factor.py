"""The second factor: set up, asked for, good once, and never a way to be locked out for good."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyotp
import pytest
from psycopg.sql import SQL, Identifier

from api.passwords import FREE_FAILURES
from tests.integration.api.conftest import PASSWORD, problem

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
SESSION = "/api/v1/session"
FACTOR = f"{SESSION}/second-factor"


def login(code: str = "") -> dict[str, str]:
    return {"account": "li", "password": PASSWORD, "code": code}


async def enrolled(world: World, client: httpx.AsyncClient) -> tuple[pyotp.TOTP, list[str]]:
    begun = (await client.post(FACTOR, json={"password": PASSWORD})).raise_for_status().json()
    totp = pyotp.TOTP(begun["secret"])
    assert begun["uri"] == totp.provisioning_uri(name="li", issuer_name="Vigil")
    code = totp.at(world.clock())
    codes = (await client.post(f"{FACTOR}/confirm", json={"code": code})).raise_for_status().json()
    return totp, codes["recovery_codes"]


async def test_without_the_code_nobody_comes_in_and_each_code_is_good_once(world: World) -> None:
    li = await world.person("li")
    totp, _ = await enrolled(world, li)
    stranger = await world.client()
    used = totp.at(world.clock())
    assert problem(await stranger.post(SESSION, json=login()), 401)["type"].endswith("code_required")
    assert problem(await stranger.post(SESSION, json=login(used)), 401)["type"].endswith("wrong_code")
    world.clock.move(seconds=30)
    code = totp.at(world.clock())
    assert (await stranger.post(SESSION, json=login(code))).status_code == 204
    assert problem(await stranger.post(SESSION, json=login(code)), 401)["type"].endswith("wrong_code")


async def test_a_secret_counts_only_once_its_owner_has_shown_a_code(world: World) -> None:
    li = await world.person("li")
    await li.post(FACTOR, json={"password": PASSWORD})
    assert problem(await li.post(f"{FACTOR}/confirm", json={"code": "000000"}), 422)["type"].endswith("code")
    assert (await li.get(FACTOR)).json() == {"enrolled": False, "recovery_codes_left": 0}
    stranger = await world.client()
    assert (await stranger.post(SESSION, json=login())).status_code == 204


async def test_a_recovery_code_comes_in_once_where_the_telephone_is_lost(world: World) -> None:
    li = await world.person("li")
    _, codes = await enrolled(world, li)
    stranger = await world.client()
    assert (await stranger.post(SESSION, json=login(codes[0]))).status_code == 204
    problem(await stranger.post(SESSION, json=login(codes[0])), 401)
    assert (await li.get(FACTOR)).json() == {"enrolled": True, "recovery_codes_left": len(codes) - 1}
    assert (await li.post(f"{FACTOR}/remove", json={"code": codes[1]})).status_code == 204
    assert (await stranger.post(SESSION, json=login())).status_code == 204


async def test_wrong_codes_lock_the_account_as_wrong_passwords_do(world: World) -> None:
    li = await world.person("li")
    await enrolled(world, li)
    stranger = await world.client()
    for _ in range(FREE_FAILURES):
        problem(await stranger.post(SESSION, json=login("000000")), 401)
    assert problem(await stranger.post(SESSION, json=login()), 401)["type"].endswith("locked")


async def test_an_open_browser_is_not_enough_to_set_one_up_or_to_remove_it(world: World) -> None:
    li = await world.person("li")
    problem(await li.post(FACTOR, json={"password": "somebody else's"}), 403)
    await enrolled(world, li)
    problem(await li.post(f"{FACTOR}/remove", json={"code": "000000"}), 403)
    problem(await li.post(FACTOR, json={"password": PASSWORD}), 409)


async def test_setting_one_up_ends_the_other_sessions(world: World) -> None:
    li, elsewhere = await world.person("li"), await world.person("li")
    await enrolled(world, li)
    problem(await elsewhere.get(SESSION), 401)
    assert (await li.get(SESSION)).status_code == 200


async def test_the_secret_lies_sealed_in_the_database(world: World) -> None:
    li = await world.person("li")
    totp, codes = await enrolled(world, li)
    async with world.pool.connection() as connection:
        for table in ("second_factor", "recovery_code"):
            query = SQL("SELECT t::text FROM {} t").format(Identifier(table))
            rows = await (await connection.execute(query)).fetchall()
            assert rows
            hidden = (totp.secret, totp.secret.encode().hex(), *codes)
            assert not any(secret in row[0] for row in rows for secret in hidden)


async def test_the_pages_lead_through_it_in_both_languages(world: World) -> None:
    li = await world.person("li")
    csrf = {"csrf": li.headers.pop("X-CSRF-Token")}
    for language, title in (("en", "My account"), ("zh-CN", "我的账号")):
        page = await li.get("/account", headers={"Accept-Language": language})
        assert title in page.text
    refused = await li.post("/account/second-factor", data={"password": PASSWORD, "csrf": "guessed"})
    assert refused.status_code == 403
    begun = await li.post("/account/second-factor", data={"password": PASSWORD, **csrf})
    assert '<svg width="' in begun.text
    found = re.search(r"<code>([A-Z2-7]{32})</code>", begun.text)
    assert found
    totp = pyotp.TOTP(found[1])
    done = await li.post("/account/second-factor/confirm", data={"code": totp.at(world.clock()), **csrf})
    codes = re.findall(r"(?:[0-9a-f]{5}-){3}[0-9a-f]{5}", done.text)
    assert len(codes) == 10
    stranger = await world.client()
    asked = await stranger.post("/login", data=login(), headers={"Accept-Language": "en"})
    assert (asked.status_code, "asks for a code" in asked.text) == (401, True)
    world.clock.move(seconds=30)
    assert (await stranger.post("/login", data=login(totp.at(world.clock())))).status_code == 303
    assert (
        await li.post("/account/second-factor/remove", data={"code": codes[0], **csrf})
    ).status_code == 200
    assert (await li.post("/account/sign-out-everywhere", data=csrf)).status_code == 303
    problem(await li.get(SESSION), 401)
    problem(await stranger.get(SESSION), 401)
