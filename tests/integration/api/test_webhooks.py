"""The community's own programs are told, in order, until they have taken it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from api.delivery import LEASE, Delivery, pause_after
from api.outbound import Outbound, read_networks
from tests.integration.api.conftest import problem
from vigil.errors import Unavailable

if TYPE_CHECKING:
    import httpx

    from tests.integration.api.conftest import World

LOCAL = Outbound(read_networks("127.0.0.0/8, ::1/128"))
pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
HOOK = {"id": "board", "url": "https://hooks.example.org/vigil", "estates": ["e1"]}


@dataclass
class Program:
    """A program that takes what is posted, or answers with another status, or not at all."""

    world: World
    boss: httpx.AsyncClient
    taken: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    status: int = 204
    away: bool = False
    dies: bool = False

    async def post(self, _url: str, body: bytes, headers: dict[str, str]) -> int:
        if self.dies:
            raise KilledError
        if self.away:
            raise Unavailable("a webhook", "ConnectTimeout")
        if self.status < 300:
            self.taken.append((headers, json.loads(body)))
        return self.status

    async def deliver(self) -> list[str]:
        """Let the worker do what is due; returns the types taken so far."""
        worker = Delivery(self.world.pool, self.world.clock, self.post)
        while await worker.deliver_one():
            pass
        return [event["type"] for _, event in self.taken]

    async def stands(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.boss.get("/api/v1/webhooks/board")).json()
        return found


class KilledError(Exception):
    """The worker ends here."""


@pytest_asyncio.fixture
async def program(world: World) -> Program:
    await world.raise_alert()  # what happened before is not sent
    boss = await world.person("boss", "community_manager")
    made = await boss.post("/api/v1/webhooks", json=HOOK)
    assert made.status_code == 201, made.text
    return Program(world, boss)


async def test_every_change_is_sent_once_in_order_and_without_names(program: Program) -> None:
    alert = await program.world.raise_alert()
    await program.boss.post(f"/api/v1/alerts/{alert}/acknowledge", json={"version": 1})
    assert await program.deliver() == ["vigil.alert.raise.v1", "vigil.alert.acknowledge.v1"]
    assert len(await program.deliver()) == 2
    event = program.taken[0][1]
    assert (event["specversion"], event["subject"], event["source"]) == ("1.0", str(alert), "//vigil/e1")
    assert event["data"]["resident"] is None
    assert "王秀英" not in json.dumps(program.taken, ensure_ascii=False)


async def test_what_is_sent_is_signed_with_the_secret_that_was_shown_once(world: World) -> None:
    boss = await world.person("boss", "community_manager")
    secret = (await boss.post("/api/v1/webhooks", json=HOOK)).json()["secret"]
    program = Program(world, boss)
    assert "secret" not in (await program.stands())
    bodies: list[bytes] = []

    async def keep(_url: str, body: bytes, headers: dict[str, str]) -> int:
        bodies.append(body)
        program.taken.append((headers, {}))
        return 200

    await world.raise_alert()
    await Delivery(world.pool, world.clock, keep).deliver_one()
    headers = program.taken[0][0]
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + bodies[0]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


async def test_a_program_that_refuses_or_is_away_gets_everything_later(program: Program) -> None:
    await program.world.raise_alert()
    program.status = 500
    await program.deliver()
    program.away = True
    program.world.clock.move(seconds=6)
    await program.deliver()
    stands = await program.stands()
    assert (stands["failures"], "ConnectTimeout" in stands["error"]) == (2, True)
    program.status, program.away = 200, False
    assert await program.deliver() == []  # it is left alone for a while
    program.world.clock.move(minutes=10)
    assert await program.deliver() == ["vigil.alert.raise.v1"]
    assert (await program.stands())["failures"] == 0


async def test_a_worker_that_was_killed_leaves_nothing_out(program: Program) -> None:
    await program.world.raise_alert()
    program.dies = True
    with pytest.raises(KilledError):
        await program.deliver()
    program.dies = False
    assert await program.deliver() == []
    program.world.clock.now += LEASE
    assert await program.deliver() == ["vigil.alert.raise.v1"]


@pytest.mark.trust
async def test_other_estates_and_canaries_are_not_sent(program: Program) -> None:
    await program.world.raise_alert(estate="e2", resident=None)
    await program.world.raise_alert("canary:e1", synthetic="canary", resident=None)
    assert await program.deliver() == []
    far = await program.world.person("far", "community_manager", ("e2",))
    problem(await far.get("/api/v1/webhooks/board"), 404)
    problem(await far.post("/api/v1/webhooks", json=HOOK | {"id": "x"}), 403)
    officer = await program.world.person("li")
    problem(await officer.get("/api/v1/webhooks"), 403)


@pytest.mark.parametrize(
    "url", ["http://hooks.example.org/", "ftp://x/", "https://u:p@host/", "https:///x", "x"]
)
async def test_an_address_that_others_could_listen_to_is_refused(program: Program, url: str) -> None:
    problem(await program.boss.post("/api/v1/webhooks", json=HOOK | {"id": "x", "url": url}), 422)


async def test_a_webhook_is_changed_and_removed_on_the_version_that_was_seen(program: Program) -> None:
    body = {"url": "https://other.example.org/", "estates": ["*"]}
    problem(await program.boss.put("/api/v1/webhooks/board", json=body, headers={"If-Match": '"9"'}), 412)
    put = await program.boss.put("/api/v1/webhooks/board", json=body, headers={"If-Match": '"1"'})
    assert put.json()["url"] == body["url"]
    gone = await program.boss.delete("/api/v1/webhooks/board", headers={"If-Match": put.headers["ETag"]})
    assert gone.status_code == 204
    problem(await program.boss.get("/api/v1/webhooks/board"), 404)


async def test_pauses_double_up_to_ten_minutes() -> None:
    assert [pause_after(n).total_seconds() for n in (0, 1, 2, 20)] == [5, 10, 20, 600]


async def test_a_program_that_is_not_there_is_away(world: World) -> None:
    with pytest.raises(Unavailable):
        await LOCAL.post("http://127.0.0.1:9/", b"", {})
    assert await LOCAL.post(f"{world.url}/login", b"", {}) == 422


@pytest.mark.trust
@pytest.mark.parametrize(
    "url",
    [
        "{world}/login",
        "http://localhost:{port}/login",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
    ],
)
async def test_a_webhook_does_not_lead_into_the_sites_own_house(world: World, url: str) -> None:
    address = url.format(world=world.url, port=world.url.rpartition(":")[2])
    with pytest.raises(Unavailable, match="within the site"):
        await Outbound().post(address, b"", {})
