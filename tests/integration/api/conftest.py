"""The application on a real database, and people and robots who use it."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from pydantic import SecretStr

from api.app import create_app
from api.commands import create_token
from api.limits import Rate, Rates
from api.live import Hub
from api.passwords import Passwords
from api.seal import Seal
from api.server import listening_socket, serve_until_cancelled
from api.services import Issuer, Services
from vigil.alerts import Priority
from vigil.errors import Unavailable
from vigil.events import derived_id
from vigil.store import accounts, alerts
from vigil.store.accounts import NewAccount, Token
from vigil.store.alerts import NewAlert
from vigil.store.detections import Detection, insert_detections
from vigil.store.pool import Pool, ProcessRole, open_pool
from vigil.store.sealed import IN_CLEAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from api.escalation.messages import Message
    from api.escalation.push import Pusher
    from api.oidc import Provider
    from vigil.clock import Clock
    from vigil.store.sealed import Vault

PASSWORD = "correct horse battery"
LINK_KEY = b"a key of the tests alone"
FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
START = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass
class FakeClock:
    """Time that stands still until a test moves it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Outbox:
    """Routes to people: remembers what was sent, fails for the addresses that it is told to."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    async def send(self, url: str, message: Message) -> None:
        if url in self.broken:
            raise Unavailable("a contact's route", "refused")
        self.sent.append((url, message))


@dataclass
class World:
    """The running application, and shortcuts for what tests need again and again."""

    pool: Pool
    hub: Hub
    clock: Any
    url: str
    sender: Outbox = field(default_factory=Outbox)
    clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def sent(self) -> list[tuple[str, Message]]:
        """What was sent to whom."""
        return self.sender.sent

    @property
    def broken(self) -> set[str]:
        """Addresses that fail."""
        return self.sender.broken

    async def raise_alert(
        self,
        subject: str | None = None,
        *,
        estate: str = "e1",
        synthetic: str | None = None,
        resident: str | None = "r1",
        kind: str = "fall",
        priority: Priority = Priority.CRITICAL,
    ) -> UUID:
        """Raise an alert as the processors do."""
        n = next(_numbers)
        found = detection(n, subject or f"resident:{n}", kind, estate, resident, synthetic, self.clock())
        new = NewAlert(
            id=derived_id("alert", found.id),
            subject=found.subject,
            kind=kind,
            priority=priority,
            estate=estate,
            zone="z1",
            resident=resident,
            event_time=self.clock(),
            summary={"en": "Hard impact", "zh": "剧烈撞击"},
            synthetic=synthetic,
            detection=found.id,
        )
        async with self.pool.transaction() as connection:
            await insert_detections(connection, [found])
            return await alerts.raise_alert(connection, new, self.clock())

    async def client(self) -> httpx.AsyncClient:
        """Return a client that nobody knows."""
        return await self.clients.enter_async_context(httpx.AsyncClient(base_url=self.url, timeout=10))

    async def person(
        self, account: str, role: str = "duty_officer", estates: tuple[str, ...] = ("*",)
    ) -> httpx.AsyncClient:
        """Return the client of somebody who has signed in."""
        async with self.pool.connection() as connection:
            new = NewAccount(account, account.title(), role, estates)
            await accounts.put_account(connection, new, FAST.hash(PASSWORD))
        client = await self.client()
        answer = await client.post("/api/v1/session", json={"account": account, "password": PASSWORD})
        assert answer.status_code == 204, answer.text
        client.headers["X-CSRF-Token"] = (await client.get("/api/v1/session")).json()["csrf"]
        return client

    async def robot(self, name: str, role: str, estates: tuple[str, ...] = ("*",)) -> httpx.AsyncClient:
        """Return the client of a robot with a token."""
        async with self.pool.connection() as connection:
            secret = await create_token(connection, Token(name, role, list(estates)), self.clock)
        client = await self.client()
        client.headers["Authorization"] = f"Bearer {secret}"
        return client


def detection(
    n: int, subject: str, kind: str, estate: str, resident: str | None, synthetic: str | None, now: datetime
) -> Detection:
    return Detection(
        id=derived_id("detection", kind, n),
        event=derived_id("event", n),
        time=now,
        kind=kind,
        subject=subject,
        resident=resident,
        zone="z1",
        estate=estate,
        device="d1",
        score=0.9,
        model="rule",
        model_version="1",
        explanation={"en": "Hard impact", "zh": "剧烈撞击"},
        synthetic=synthetic,
        made_at=now,
    )


REGISTRY = """
    INSERT INTO community VALUES ('c', '阳光社区', 'Asia/Shanghai');
    INSERT INTO estate VALUES ('e1', 'c', '一区'), ('e2', 'c', '二区');
    INSERT INTO zone (id, estate, name, building, floor) VALUES ('z1', 'e1', '2单元 401', '3号楼', 4);
    INSERT INTO resident (id, estate, home, name, phone, flagged, risk)
        VALUES ('r1', 'e1', 'z1', '王秀英', '13900000001', true, 3);
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def world(database: str, clock: FakeClock) -> AsyncIterator[World]:
    """The application, served on a free port of the loopback, on a database with a small registry."""
    async with serving(database, clock) as world:
        yield world


@asynccontextmanager
async def serving(
    database: str,
    clock: Clock,
    *,
    issuer: Issuer | None = None,
    provider: Provider | None = None,
    pusher: Pusher | None = None,
    rates: Rates | None = None,
    vault: Vault = IN_CLEAR,
) -> AsyncIterator[World]:
    """Serve the application while the context lasts; without rates of its own nobody is slowed down."""
    dsn = SecretStr(database)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, "test", 4, vault=vault))
        people = await stack.enter_async_context(
            open_pool(dsn, "test-api", 8, role=ProcessRole.PEOPLE, vault=vault)
        )
        live = await stack.enter_async_context(
            open_pool(dsn, "test-live", 2, role=ProcessRole.API, vault=vault)
        )
        async with pool.connection() as connection:
            await connection.execute(REGISTRY)
        hub = Hub(dsn, live, clock)
        sender = Outbox()
        services = Services(
            people,
            hub,
            Passwords(FAST),
            clock,
            link_key=LINK_KEY,
            sender=sender,
            issuer=issuer,
            seal=Seal(LINK_KEY),
            provider=provider,
            pusher=pusher,
            rates=rates or Rates(Rate(1e6), Rate(1e6)),
        )
        app = create_app(services)
        bound = stack.enter_context(listening_socket("127.0.0.1", 0))
        tasks = [
            asyncio.create_task(hub.run()),
            asyncio.create_task(serve_until_cancelled(app, bound, hub.close)),
        ]
        world = World(pool, hub, clock, f"http://127.0.0.1:{bound.getsockname()[1]}", sender)
        try:
            yield world
        finally:
            await world.clients.aclose()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has come about; the time limit only ends a test that has failed."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is watched is not ours to signal
            await asyncio.sleep(0.01)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:vigil:problem:")
    assert body["detail"]
    return body
