"""Signing in by an identity provider, which runs as a process of its own, and by tokens that lie."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from api.access import Role
from api.oidc import Provider
from deploy.embedded.servers import accepts, free_port
from tests.integration.api.conftest import PASSWORD, World, problem, serving
from tests.servers.oidc import CLIENT, SECRET
from vigil.clock import utc_now
from vigil.store import accounts
from vigil.store.accounts import NewAccount

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]
HOME = Path(__file__).parents[3]
SESSION = "/api/v1/session"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The provider's address, while it runs."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.servers.oidc", str(port)], cwd=HOME) as process:
        while not accepts(port):
            assert process.poll() is None
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest_asyncio.fixture
async def world(database: str, issuer: str) -> AsyncIterator[World]:
    """The application with that provider; its console is known by a name that no browser here resolves."""
    provider = Provider(
        issuer,
        CLIENT,
        SECRET,
        "http://console.example/oidc/callback",
        roles={"leaders": Role.SUPERVISOR, "officers": Role.DUTY_OFFICER},
    )
    async with serving(database, utc_now, provider=provider) as world:
        async with world.pool.connection() as connection:
            for name, password in (("li", None), ("wang", None), ("local", "argon2 hash")):
                await accounts.put_account(
                    connection, NewAccount(name, name.title(), "grid_worker", ("e1",)), password
                )
        yield world


def says(issuer: str, **claims: Any) -> None:
    """Let the provider sign the next browser in as somebody."""
    httpx.put(f"{issuer}/person", json=claims).raise_for_status()


async def sent_back(client: httpx.AsyncClient) -> dict[str, str]:
    """Begin at the console, pass the provider, and return what it sends the browser back with."""
    start = await client.get("/oidc/start")
    assert start.status_code == 303, start.text
    asked = await client.get(start.headers["Location"])
    return dict(httpx.URL(asked.headers["Location"]).params)


async def comes_back(client: httpx.AsyncClient, answer: dict[str, str]) -> httpx.Response:
    return await client.get("/oidc/callback", params=answer, headers={"Accept-Language": "en"})


LI: dict[str, Any] = {"sub": "0001", "preferred_username": "li", "groups": ["everybody", "officers"]}


async def test_somebody_whom_the_provider_knows_is_in_with_the_role_it_says(
    world: World, issuer: str
) -> None:
    says(issuer, **LI)
    client = await world.client()
    page = await comes_back(client, await sent_back(client))
    assert page.status_code == 200, page.text
    assert 'http-equiv="refresh"' in page.text
    me = (await client.get(SESSION)).json()
    assert (me["actor"], me["role"], me["estates"]) == ("person:li", "duty_officer", ["e1"])
    cookie = page.headers["Set-Cookie"]
    assert "SameSite=strict" in cookie
    assert "HttpOnly" in cookie


async def test_the_role_follows_the_provider_and_who_has_none_left_stays_out(
    world: World, issuer: str
) -> None:
    client = await world.client()
    says(issuer, **LI)
    await comes_back(client, await sent_back(client))
    says(issuer, **LI | {"groups": ["officers", "leaders"]})
    await comes_back(client, await sent_back(client))
    assert (await client.get(SESSION)).json()["role"] == "supervisor"
    says(issuer, **LI | {"groups": ["everybody"]})
    stranger = await world.client()
    assert (await comes_back(stranger, await sent_back(stranger))).status_code == 403


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "0009", "preferred_username": "nobody", "groups": ["officers"]},
        {"sub": "0009", "preferred_username": "local", "groups": ["officers"]},
        {"sub": "0009", "groups": ["officers"]},
    ],
    ids=["unknown", "has a password of its own", "no name"],
)
async def test_whom_no_account_is_meant_for_stays_out(
    world: World, issuer: str, person: dict[str, Any]
) -> None:
    says(issuer, **person)
    client = await world.client()
    page = await comes_back(client, await sent_back(client))
    assert page.status_code == 403
    assert "Nobody here is meant" in page.text
    problem(await client.get(SESSION), 401)


async def test_a_linked_account_is_its_subjects_alone_whatever_the_provider_calls_others(
    world: World, issuer: str
) -> None:
    client = await world.client()
    says(issuer, **LI)
    await comes_back(client, await sent_back(client))
    says(issuer, **LI | {"sub": "0666"})
    thief = await world.client()
    assert (await comes_back(thief, await sent_back(thief))).status_code == 403
    says(issuer, **LI | {"preferred_username": "li.married"})
    renamed = await world.client()
    await comes_back(renamed, await sent_back(renamed))
    assert (await renamed.get(SESSION)).json()["actor"] == "person:li"


async def test_a_disabled_account_stays_out(world: World, issuer: str) -> None:
    says(issuer, **LI)
    client = await world.client()
    await comes_back(client, await sent_back(client))
    async with world.pool.connection() as connection:
        await accounts.disable_account(connection, "li", utc_now())
    assert (await comes_back(client, await sent_back(client))).status_code == 403


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "somebody else's"},
        {"now": 1_700_000_000},
        {"now": 4_000_000_000},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"azp": "another client"},
        {"iss": "https://elsewhere.example"},
        {"strange_key": True},
        {"sub": ""},
        {"exp": "soon"},
    ],
    ids=[
        "nonce",
        "expired",
        "of the future",
        "audience",
        "several",
        "party",
        "issuer",
        "key",
        "nobody",
        "no time",
    ],
)
async def test_a_token_that_lies_opens_nothing(world: World, issuer: str, lie: dict[str, Any]) -> None:
    says(issuer, **LI | lie)
    client = await world.client()
    page = await comes_back(client, await sent_back(client))
    assert page.status_code == 401
    assert "did not work" in page.text
    problem(await client.get(SESSION), 401)


async def test_a_state_or_a_browser_that_did_not_begin_it_opens_nothing(world: World, issuer: str) -> None:
    says(issuer, **LI)
    client, other = await world.client(), await world.client()
    answer = await sent_back(client)
    assert (await comes_back(other, answer)).status_code == 401
    await sent_back(other)
    assert (await comes_back(other, answer)).status_code == 401
    assert (await comes_back(client, answer | {"state": "guessed"})).status_code == 401
    assert (await comes_back(client, answer | {"iss": "https://elsewhere.example"})).status_code == 401
    assert (await comes_back(client, {"error": "access_denied", "state": answer["state"]})).status_code == 401
    assert (await comes_back(client, answer)).status_code == 200
    assert (await comes_back(client, answer)).status_code == 401


async def test_a_provider_that_is_away_is_said_and_local_accounts_go_on(database: str) -> None:
    away = Provider(f"http://127.0.0.1:{free_port()}", CLIENT, None, "http://console.example/oidc/callback")
    async with serving(database, utc_now, provider=away) as world:
        client = await world.client()
        page = await client.get("/oidc/start", headers={"Accept-Language": "en"})
        assert (page.status_code, "does not answer" in page.text) == (503, True)
        await world.person("chen")
        answer = await client.post("/login", data={"account": "chen", "password": PASSWORD})
        assert answer.status_code == 303


async def test_without_a_provider_there_is_nothing_of_it(database: str) -> None:
    async with serving(database, utc_now) as world:
        client = await world.client()
        assert (await client.get("/oidc/start")).status_code == 404
        assert "/oidc/start" not in (await client.get("/login")).text
