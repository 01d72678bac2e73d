"""Whoever asks too often is told when to come again, and an alert can be taken all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from api.limits import BURST_S, Rate, Rates
from tests.integration.api.conftest import PASSWORD, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
PLENTY, SCARCE = 1e6, 10 / BURST_S
"""Requests a second; the scarce one allows ten at once, and then one in two seconds."""


@pytest_asyncio.fixture
async def narrow(database: str, clock: FakeClock) -> AsyncIterator[World]:
    """Ten requests an account, as many addresses may have as they like."""
    async with serving(database, clock, rates=Rates(Rate(PLENTY), Rate(SCARCE))) as world:
        yield world


@pytest_asyncio.fixture
async def crowded(database: str, clock: FakeClock) -> AsyncIterator[World]:
    """Ten requests an address."""
    async with serving(database, clock, rates=Rates(Rate(SCARCE), Rate(PLENTY))) as world:
        yield world


async def test_an_account_that_asks_too_often_is_told_when_to_come_and_takes_alerts_all_the_same(
    narrow: World,
) -> None:
    alert = await narrow.raise_alert()
    wild, calm = await narrow.person("li"), await narrow.person("zhao")
    answers = [await wild.get("/api/v1/alerts") for _ in range(20)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["type"] == "urn:vigil:problem:too_many"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (await calm.get("/api/v1/alerts")).status_code == 200
    for step, version in (("acknowledge", 1), ("attend", 2)):
        done = await wild.post(f"/api/v1/alerts/{alert}/{step}", json={"version": version})
        assert done.status_code == 200, done.text


async def test_from_an_address_that_is_flooded_an_officer_who_is_signed_in_still_acts(crowded: World) -> None:
    alert = await crowded.raise_alert()
    li, stranger = await crowded.person("li"), await crowded.client()
    answers = [(await stranger.get("/api/v1/alerts")).status_code for _ in range(20)]
    assert answers[0] == 401
    assert answers[-1] == 429
    body = {"account": "li", "password": PASSWORD}
    assert (await stranger.post("/api/v1/session", json=body)).status_code == 429
    done = await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert done.status_code == 200
    async with li.stream("GET", "/api/v1/stream") as response:
        assert response.status_code == 200


async def test_a_person_at_a_page_reads_that_it_is_away_for_a_moment(crowded: World) -> None:
    client = await crowded.client()
    pages = [await client.get("/login", headers={"Accept": "text/html"}) for _ in range(20)]
    assert pages[-1].status_code == 429
    assert "Retry-After" in pages[-1].headers
    assert pages[-1].headers["Content-Type"].startswith("text/html")
