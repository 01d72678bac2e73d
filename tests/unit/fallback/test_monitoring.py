from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fallback.monitoring import STALE, look

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def alertmanager(status: int, content: object) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v2/alerts"
        return httpx.Response(status, content=json.dumps(content))

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def told(age: timedelta, name: str = "VigilHeartbeat") -> list[dict[str, object]]:
    return [{"labels": {"alertname": name}, "updatedAt": (NOW - age).isoformat(), "status": {}}]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "content", "wrong"),
    [
        (200, told(timedelta(minutes=1)), None),
        (200, told(timedelta(hours=1)) + told(timedelta(minutes=1)), None),
        (200, told(STALE + timedelta(minutes=2)), "has said nothing for 6 min"),
        (200, told(timedelta(0), "Another"), "tells Alertmanager nothing"),
        (200, [], "tells Alertmanager nothing"),
        (200, {"not": "a list"}, "does not answer"),
        (503, [], "does not answer"),
    ],
)
async def test_monitoring_stands_when_its_heartbeat_is_missing_old_or_cannot_be_asked_for(
    status: int, content: object, wrong: str | None
) -> None:
    async with alertmanager(status, content) as client:
        said = await look(client, "http://alertmanager:9093/", NOW)
    assert said is None if wrong is None else wrong in str(said)
