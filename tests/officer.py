"""A duty officer as a program: signs in, follows the live stream, takes and closes alerts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Officer:
    """Somebody at the console, over the same API as the page."""

    def __init__(self, console: str, account: str, password: str) -> None:
        """Sign in."""
        self._client = httpx.Client(base_url=console, timeout=10)
        credentials = {"account": account, "password": password}
        self._client.post("/api/v1/session", json=credentials).raise_for_status()
        self._csrf = self._client.get("/api/v1/session").raise_for_status().json()["csrf"]

    def close(self) -> None:
        """Leave."""
        self._client.close()

    def stream(self, limit_s: float, after: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield alerts as the live stream shows them, until the time is up.

        Args:
            limit_s: Longest time to follow.
            after: Resume after this change.
        """
        deadline = time.monotonic() + limit_s
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with self._client.stream("GET", "/api/v1/stream", headers=headers, timeout=15) as answer:
            answer.raise_for_status()
            event = ""
            for line in answer.iter_lines():
                if time.monotonic() > deadline:
                    return
                field, _, value = line.partition(": ")
                if field == "event":
                    event = value
                elif field == "data" and event not in ("heartbeat", "reload"):
                    yield json.loads(value)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the open alerts."""
        found: list[dict[str, Any]] = self._client.get("/api/v1/alerts").raise_for_status().json()["items"]
        return found

    def do(self, action: str, alert: Mapping[str, Any], **body: Any) -> httpx.Response:
        """Take an alert one step on, from the version that was seen."""
        headers = {"X-CSRF-Token": self._csrf, "If-Match": f'"{alert["version"]}"'}
        return self._client.post(f"/api/v1/alerts/{alert['id']}/{action}", json=body or None, headers=headers)
