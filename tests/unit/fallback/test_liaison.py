from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fallback import liaison, records
from fallback.rounds import Check, Method, Result
from tests.unit.fallback.conftest import T0
from vigil.errors import Unavailable

if TYPE_CHECKING:
    from fallback.store import Store


def shown(id_: str, resident: str | None = "r1", at: float = 1, state: str = "notifying") -> dict[str, Any]:
    return {
        "id": id_,
        "kind": "fall",
        "state": state,
        "version": 4,
        "event_time": (T0 + timedelta(minutes=at)).isoformat(),
        "resident": resident and {"id": resident, "name": "王"},
        "synthetic": None,
    }


class FakeApi:
    def __init__(self, open_: list[dict[str, Any]], closed: list[dict[str, Any]] | None = None) -> None:
        self.pages = {"open": open_, "closed": closed or []}
        self.handed: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.handed.append((request.url.path.split("/")[-2], json.loads(request.content)))
            return httpx.Response(200, json={})
        page = self.pages[request.url.params["state"]]
        first = int(request.url.params.get("cursor", "0"))
        more = str(first + 1) if first + 1 < len(page) else None
        return httpx.Response(200, json={"alerts": page[first : first + 1], "next": more, "change": 1})


async def exchange(store: Store, api: FakeApi) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(api), base_url="http://api") as client:
        await liaison.exchange(client, store, "e1", {"r1", "r2"}, T0)


def see(store: Store, at: float, result: Result = Result.WELL) -> None:
    with store.transaction() as connection:
        check = Check("r1", T0 + timedelta(minutes=at), "li", Method.DOOR, result)
        records.keep_check(connection, "e1", check, T0, drill=False)


@pytest.mark.asyncio
async def test_what_was_only_practised_answers_no_alert(store: Store) -> None:
    api = FakeApi([shown("a1")])
    with store.transaction() as connection:
        check = Check("r1", T0 + timedelta(minutes=5), "li", Method.DOOR, Result.WELL, fell=False)
        records.keep_check(connection, "e1", check, T0, drill=True)
    await exchange(store, api)
    assert api.handed == []


class Listener:
    """An API that hears of drills; `well` False answers nothing."""

    def __init__(self) -> None:
        self.well = True
        self.heard: list[tuple[str, str]] = []
        self.last: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.well:
            return httpx.Response(503)
        self.heard.append((request.method, request.url.path))
        if request.method == "PUT":
            self.last = json.loads(request.content)
        return httpx.Response(200, json={})


async def tell(store: Store, listener: Listener) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(listener), base_url="http://api") as client:
        await liaison.tell_drills(client, store, "w")


@pytest.mark.asyncio
async def test_the_platform_is_told_when_a_drill_is_planned_begins_and_ends_and_no_more(store: Store) -> None:
    listener = Listener()
    with store.transaction() as connection:
        connection.execute(
            "INSERT INTO drill (estate, kind, scenario, owner, planned_at, minutes)"
            " VALUES ('e1', 'component', 'Kafka', 'li', ?, 45)",
            [T0.timestamp()],
        )
    await tell(store, listener)
    await tell(store, listener)
    assert listener.heard == [("PUT", "/api/v1/drills/w-1")]
    assert listener.last["ends_at"] == (T0 + timedelta(minutes=45)).isoformat()
    for change, minutes in (
        ("UPDATE drill SET begun_at = ?", 10),
        ("UPDATE drill SET ended_at = ?", 20),
    ):
        with store.transaction() as connection:
            connection.execute(change, [T0.timestamp() + 60 * minutes])
        await tell(store, listener)
    assert listener.last["starts_at"] == (T0 + timedelta(minutes=10)).isoformat()
    assert listener.heard[1:] == [
        ("PUT", "/api/v1/drills/w-1"),
        ("PUT", "/api/v1/drills/w-1"),
        ("POST", "/api/v1/drills/w-1/end"),
    ]


@pytest.mark.asyncio
async def test_a_platform_that_does_not_answer_is_told_later(store: Store) -> None:
    listener = Listener()
    with store.transaction() as connection:
        connection.execute(
            "INSERT INTO drill (estate, kind, scenario, owner, planned_at) VALUES ('e1', 'tabletop', 'x', 'li', 0)"
        )
    listener.well = False
    with pytest.raises(Unavailable):
        await tell(store, listener)
    listener.well = True
    await tell(store, listener)
    assert len(listener.heard) == 1


@pytest.mark.asyncio
async def test_open_and_closed_alerts_of_the_time_without_the_platform_are_kept(store: Store) -> None:
    api = FakeApi([shown("a1"), shown("a2", "r2")], [shown("a3", state="resolved")])
    await exchange(store, api)
    assert {each.id for each in records.late_alerts(store, "e1", T0)} == {"a1", "a2", "a3"}


@pytest.mark.asyncio
async def test_alerts_of_before_of_places_and_of_other_estates_are_not(store: Store) -> None:
    await exchange(store, FakeApi([shown("a1", at=-5), shown("a2", None), shown("a3", "elsewhere")]))
    assert records.late_alerts(store, "e1", T0 - timedelta(days=1)) == []


@pytest.mark.asyncio
async def test_who_was_seen_since_it_happened_is_handed_over_with_the_reason(store: Store) -> None:
    see(store, 5)
    api = FakeApi([shown("a1")])
    await exchange(store, api)
    ((alert, body),) = api.handed
    assert (alert, body["version"]) == ("a1", 4)
    assert body["reason"] == "li: door well 2026-03-02 06:05 UTC"


@pytest.mark.asyncio
@pytest.mark.parametrize(("at", "result"), [(-5, Result.WELL), (5, Result.NO_ANSWER)])
async def test_who_was_not_seen_since_goes_on_paging(store: Store, at: float, result: Result) -> None:
    see(store, at, result)
    api = FakeApi([shown("a1")])
    await exchange(store, api)
    assert api.handed == []


@pytest.mark.asyncio
async def test_an_alert_that_a_person_has_taken_is_left_to_them(store: Store) -> None:
    see(store, 5)
    api = FakeApi([shown("a1", state="acknowledged")])
    await exchange(store, api)
    assert api.handed == []


@pytest.mark.asyncio
async def test_a_platform_that_is_away_is_unavailable(store: Store) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(502))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(Unavailable):
            await liaison.exchange(client, store, "e1", set(), T0)
