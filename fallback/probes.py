"""Looks at each process's `/readyz` and each server's port, all at once, and says what was wrong.

Place in the flow: every `liveness.PERIOD`; `watchdog` takes the results to `liveness`.  A port
that accepts says little (a frozen server's still does), so it stands beside what the processes
say of their servers, not instead of it.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx
import msgspec
from cryptography import x509

from vigil.errors import Unavailable
from vigil.progress import Work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANSWER_S: Final = 3.0
"""Longest wait for a process to say that it is ready; less than the period."""
EXPIRES: Final = timedelta(days=14)
"""A certificate that ends sooner wants a person: twice the week in which one may be on leave."""

LOW_MB: Final = 256.0
"""Free space below which the watchdog's own memory and its packs are in danger."""


class Said(msgspec.Struct, frozen=True):
    """What `vigil.telemetry` answers at `/readyz`."""

    checks: dict[str, str] = {}
    progress: dict[str, Work] = {}


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found.

    Attributes:
        wrong: None where the process is ready.
        progress: How far it has come, as far as it says.
        answers: Whether it answered at all.
    """

    url: str
    wrong: str | None
    at: datetime
    progress: Mapping[str, Work] = field(default_factory=dict)
    answers: bool = True


async def look(client: httpx.AsyncClient, urls: list[str], at: datetime) -> list[Looked]:
    """Look at every process and server."""
    return list(await asyncio.gather(*(_one(client, url, at) for url in urls)))


async def _one(client: httpx.AsyncClient, url: str, at: datetime) -> Looked:
    try:
        # httpx's own time-outs are between two bytes; a process that drips must not hold us.
        async with asyncio.timeout(ANSWER_S):
            if url.startswith("tcp://"):
                refused = await _accepts(url)
                return Looked(url, refused, at, answers=refused is None)
            return _heard(url, await client.get(url), at)
    except TimeoutError:
        return Looked(url, f"no answer in {ANSWER_S:.0f} s", at, answers=False)
    except httpx.HTTPError as error:
        return Looked(url, type(error).__name__, at, answers=False)


async def _accepts(url: str) -> str | None:
    """Return None where a server accepts connections, else why not."""
    where = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(where.hostname, where.port)
    except OSError as error:
        return error.strerror or type(error).__name__
    writer.close()
    return None


def _heard(url: str, answer: httpx.Response, at: datetime) -> Looked:
    said = _said(answer)
    if answer.is_success:
        return Looked(url, None, at, said.progress)
    failing = "; ".join(f"{name}: {result}" for name, result in said.checks.items() if result != "ok")
    return Looked(url, failing or f"HTTP {answer.status_code}", at, said.progress)


def _said(answer: httpx.Response) -> Said:
    try:
        return msgspec.json.decode(answer.content, type=Said)
    except msgspec.DecodeError:
        return Said()


async def expires(host: str, port: int) -> datetime:
    """Return when a server's certificate ends; it is read, not trusted.

    Raises:
        Unavailable: The server shows none.
    """
    try:
        pem = await asyncio.to_thread(ssl.get_server_certificate, (host, port), timeout=ANSWER_S)
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.astimezone(UTC)
    except (OSError, ValueError) as error:
        raise Unavailable(f"the certificate of {host}:{port}", error) from None


def free_mb(folder: Path) -> float:
    """Return how much is free where a folder lies, or will lie (MB)."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free / 2**20
