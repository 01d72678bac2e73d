"""The live stream misses nothing, repeats nothing, and waits for nobody."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from api import live
from api.access import Identity, Role
from api.server import listening_socket
from api.views import alert_view
from tests.integration.api.conftest import until
from vigil.store import alerts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from api.access import View
    from api.views import AlertView
    from tests.integration.api.conftest import World
    from vigil.store.board import Card

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
LIMIT_S = 20


@dataclass(frozen=True)
class Event:
    id: int | None
    name: str
    data: dict[str, Any]


@asynccontextmanager
async def reading(client: httpx.AsyncClient, after: int | None = None) -> AsyncIterator[AsyncIterator[Event]]:
    """Follow the stream; heartbeats are left out."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", "/api/v1/stream", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields and fields["event"] != "heartbeat":
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(LIMIT_S):
        return [await anext(events) for _ in range(count)]


async def connected(world: World, count: int = 1) -> None:
    """Wait until so many sessions are in the hub, and the hub is listening."""
    await until(lambda: len(world.hub._sessions) == count and world.hub.position is not None)


async def test_a_new_alert_and_what_becomes_of_it_are_told_live(world: World) -> None:
    li = await world.person("li")
    async with reading(await world.person("zhao")) as events:
        await connected(world)
        alert = await world.raise_alert()
        await li.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
        raised, taken = await take(events, 2)
    assert (raised.name, raised.data["id"]) == ("raise", str(alert))
    assert (taken.name, taken.data["holder"]["name"]) == ("acknowledge", "Li")
    assert raised.id is not None
    assert taken.id == raised.id + 1


async def test_joined_evidence_is_told_live(world: World) -> None:
    async with reading(await world.person("li")) as events:
        await connected(world)
        for _ in range(2):
            await world.raise_alert("resident:r1")
        _, joined = await take(events, 2)
    assert (joined.name, joined.data["evidence"]) == ("join", 2)


async def test_who_comes_back_is_told_what_was_missed_and_then_what_comes(world: World) -> None:
    li = await world.person("li")
    async with reading(li) as events:
        await connected(world)
        await world.raise_alert()
        (first,) = await take(events, 1)
    await connected(world, 0)
    missed = [await world.raise_alert() for _ in range(3)]
    async with reading(li, first.id) as events:
        told = await take(events, 3)
        later = await world.raise_alert()
        told += await take(events, 1)
    assert [e.data["id"] for e in told] == list(map(str, [*missed, later]))


async def test_cuts_under_concurrent_writers_miss_nothing_and_repeat_nothing(world: World) -> None:
    li = await world.person("li")
    writers, each = 4, 15
    total = writers * each
    cuts = random.Random(7)

    async def write() -> None:
        for _ in range(each):
            await world.raise_alert()

    async def follow() -> list[int]:
        seen: list[int] = []
        while len(seen) < total:
            async with reading(li, seen[-1] if seen else 0) as events:
                for _ in range(min(cuts.randint(1, 12), total - len(seen))):
                    (event,) = await take(events, 1)
                    assert event.id is not None
                    seen.append(event.id)
        return seen

    seen, *_ = await asyncio.gather(follow(), *(write() for _ in range(writers)))
    async with world.pool.connection() as connection:
        rows = await (
            await connection.execute("SELECT change FROM alert_transition ORDER BY change")
        ).fetchall()
    assert seen == [row[0] for row in rows]


async def test_a_lost_listening_connection_loses_no_alert(world: World) -> None:
    async with reading(await world.person("li")) as events:
        await connected(world)
        async with world.pool.connection() as connection:
            await connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'vigil-listen' AND datname = current_database()
                """
            )
        alert = await world.raise_alert()
        (told,) = await take(events, 1)
    assert told.data["id"] == str(alert)


async def test_each_reader_is_told_of_its_own_scope_in_its_own_view(world: World) -> None:
    people = {
        "all": await world.person("all"),
        "two": await world.person("two", estates=("e2",)),
        "ops": await world.person("op", "ops"),
        "robot": await world.robot("canary-1", "canary"),
    }
    first = await world.raise_alert()
    second = await world.raise_alert(estate="e2")
    canary = await world.raise_alert("canary:e1", synthetic="canary", resident=None)
    told = {}
    for name, count in (("all", 2), ("two", 1), ("ops", 2), ("robot", 1)):
        async with reading(people[name], 0) as events:
            told[name] = await take(events, count)
    ids = {name: [e.data["id"] for e in events] for name, events in told.items()}
    both = [str(first), str(second)]
    assert ids == {"all": both, "two": [str(second)], "ops": both, "robot": [str(canary)]}
    assert told["all"][0].data["resident"]["name"] == "王秀英"
    assert told["ops"][0].data["resident"] is None


async def test_a_change_is_encoded_once_for_all_who_share_a_view(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []

    def noted(card: Card, view: View) -> AlertView:
        shown.append(view)
        return alert_view(card, view)

    monkeypatch.setattr(live, "alert_view", noted)
    names = ("a", "b", "c")
    people = [await world.person(name) for name in names]
    async with reading(people[0]) as a, reading(people[1]) as b, reading(people[2]) as c:
        await connected(world, 3)
        await world.raise_alert()
        for events in (a, b, c):
            await take(events, 1)
    assert len(shown) == 1


async def test_after_too_long_an_absence_the_board_is_loaded_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CATCH_UP", 2)
    for _ in range(3):
        await world.raise_alert()
    async with reading(await world.person("li"), 0) as events:
        (told,) = await take(events, 1)
        assert (told.name, told.id) == ("reload", 3)
        alert = await world.raise_alert()
        (after,) = await take(events, 1)
    assert after.data["id"] == str(alert)


async def test_a_number_from_a_database_that_is_no_more_loads_the_board_anew(world: World) -> None:
    await world.raise_alert()
    async with reading(await world.person("li"), 1000) as events:
        (told,) = await take(events, 1)
    assert (told.name, told.id) == ("reload", 1)


async def raise_and_read(world: World) -> None:
    """Raise an alert whose change is read alone: what is read at once is kept or dropped as one."""
    before = world.hub.position or 0
    await world.raise_alert()
    await until(lambda: (world.hub.position or 0) > before)


async def test_a_reader_that_does_not_keep_up_is_dropped_and_misses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUEUE", 3)
    slow = Identity("person:slow", "Slow", Role.DUTY_OFFICER, frozenset({"*"}))
    with world.hub.session(slow) as session:
        for _ in range(5):
            await raise_and_read(world)
        assert session.ended
        assert len(await session.take(0)) == 3
    with world.hub.session(slow) as session:
        chunks = [chunk async for chunk in _until(world.hub.follow(session, 3, 1), b"id: 5")]
    assert b"id: 4" in b"".join(chunks)


async def _until(chunks: AsyncIterator[bytes | None], mark: bytes) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if chunk:
            yield chunk
            if mark in chunk:
                return


async def test_a_heartbeat_says_that_the_server_lives_and_hears_its_database(world: World) -> None:
    li = await world.person("li")
    await connected(world, 0)
    async with li.stream("GET", "/api/v1/stream") as response:
        lines = [line async for line in _first(response, 5)]
    assert lines[0] == "retry: 1000"
    assert lines[2] == "event: heartbeat"
    assert json.loads(lines[3].removeprefix("data: ")) == {
        "at": world.clock().isoformat(),
        "trouble": None,
    }


async def _first(response: httpx.Response, count: int) -> AsyncIterator[str]:
    async for line in response.aiter_lines():
        yield line
        count -= 1
        if not count:
            return


async def test_a_reader_whose_session_is_revoked_loses_the_stream(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api import stream

    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)
    li = await world.person("li")
    async with reading(li) as events:
        await connected(world)
        await li.delete("/api/v1/session")
        world.clock.now += stream.RECHECK
        async with asyncio.timeout(LIMIT_S):
            assert [event async for event in events] == []


async def test_readers_who_go_away_are_forgotten(world: World) -> None:
    async with reading(await world.person("li")):
        await connected(world, 1)
    await connected(world, 0)


async def test_the_numbers_of_the_stream_have_no_holes_that_fill_up_later(world: World) -> None:
    await asyncio.gather(*(world.raise_alert() for _ in range(20)))
    async with world.pool.connection() as connection:
        assert await alerts.last_change(connection) == 20


async def test_what_is_sent_waits_for_no_confirmation_of_what_was_sent_before() -> None:
    """Seen in the fan-out bench: a listening socket that was not named as TCP made a p99 of 46 ms out of 18."""
    told = asyncio.get_running_loop().create_future()

    def met(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        told.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listening_socket("127.0.0.1", 0) as bound:
        async with await asyncio.start_server(met, sock=bound):
            _, client = await asyncio.open_connection(*bound.getsockname())
            assert await told
            client.close()
