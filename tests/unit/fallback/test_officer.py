from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from fallback.canary import Stage
from fallback.officer import Officer, alert_of, messages
from tests.unit.fallback.conftest import T0

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANARY, EVENT = uuid4(), uuid4()


def alert(id_: UUID = CANARY, **changed: Any) -> dict[str, Any]:
    return {"id": str(id_), "state": "raised", "version": 1, "synthetic": "canary"} | changed


class FakeApi:
    """What the API answers, and what it was asked."""

    def __init__(self, *, board: list[dict[str, Any]], stream: str = "", status: int = 200) -> None:
        self.board, self.stream, self.status = board, stream, status
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            body = json.loads(request.content)
            self.asked.append((request.url.path.rsplit("/", 2)[-1], body))
            return httpx.Response(self.status, json={"version": body["version"] + 1})
        if request.url.path == "/api/v1/alerts":
            return httpx.Response(200, json={"alerts": self.board, "change": 41, "next": None})
        self.asked.append(("stream", request.url.params["after"]))
        return httpx.Response(200, text=self.stream)


async def listened(api: FakeApi) -> Officer:
    transport = httpx.MockTransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        officer = Officer(client, lambda: T0, {CANARY: EVENT}.get)
        await officer.listen()
        await asyncio.gather(*officer._tasks)
    return officer


@pytest.mark.asyncio
async def test_it_takes_its_canary_from_the_stream_and_resolves_it_as_a_drill() -> None:
    api = FakeApi(board=[], stream=f"id: 42\nevent: raise\ndata: {json.dumps(alert())}\n\n")
    officer = await listened(api)
    assert api.asked == [
        ("stream", "41"),
        ("acknowledge", {"version": 1}),
        ("resolve", {"version": 2, "outcome": "drill"}),
    ]
    assert [(fact.event, fact.stage) for fact in officer.facts] == [
        (EVENT, Stage.ALERTED),
        (EVENT, Stage.ACKNOWLEDGED),
    ]


@pytest.mark.asyncio
async def test_it_takes_what_was_open_before_it_listened() -> None:
    api = FakeApi(board=[alert()])
    await listened(api)
    assert ("acknowledge", {"version": 1}) in api.asked


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "other",
    [
        alert(uuid4()),
        alert(synthetic=None),
        alert(synthetic="drill"),
        alert(state="acknowledged"),
    ],
)
async def test_it_touches_nothing_but_its_own_untaken_canaries(other: dict[str, Any]) -> None:
    api = FakeApi(board=[other])
    officer = await listened(api)
    assert (api.asked, list(officer.facts)) == ([("stream", "41")], [])


@pytest.mark.asyncio
async def test_an_answer_that_does_not_come_is_no_acknowledgement() -> None:
    officer = await listened(FakeApi(board=[alert()], status=503))
    assert [fact.stage for fact in officer.facts] == [Stage.ALERTED]


@pytest.mark.asyncio
async def test_messages_are_read_over_lines_comments_and_other_fields() -> None:
    async def lines() -> AsyncIterator[str]:
        for line in (": hello", "id: 1", "data: {", "data:}", "", "event: x", "", "data: 2", ""):
            yield line

    assert [data async for data in messages(lines())] == ["{\n}", "2"]


@pytest.mark.parametrize("data", ["", "{}", "[]", "nonsense", '{"at": "now", "trouble": null}'])
def test_what_is_no_alert_is_passed_over(data: str) -> None:
    assert alert_of(data) is None
