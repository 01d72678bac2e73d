"""Codes for boxes, and what a box gets for one: played by the box's own code against the platform."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from cryptography import x509

from api.services import Issuer
from edge import config
from edge.claim import Identity, Platform, claim, renew
from tests.integration.api.conftest import START, problem, serving
from vigil import pki
from vigil.errors import Stop, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

AUTHORITY = pki.new_authority("c", START)
NODES = """
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e2');
    INSERT INTO node (id, estate, retired_at) VALUES ('old', 'e1', now());
    INSERT INTO device (id, node, zone, kind, placement) VALUES
        ('n1', 'n1', NULL, 'hub', NULL), ('p1', 'n1', 'z1', 'pendant', 'chest'), ('d1', 'n1', 'z1', 'door', NULL);
"""


@pytest_asyncio.fixture
async def world(database: str, clock: FakeClock) -> AsyncIterator[World]:
    """The application with an authority for boxes, and three nodes."""
    async with serving(database, clock, issuer=Issuer(AUTHORITY, "broker.example:8883")) as world:
        async with world.pool.connection() as connection:
            await connection.execute(NODES)
        yield world


@pytest_asyncio.fixture
async def manager(world: World) -> httpx.AsyncClient:
    return await world.person("boss", "community_manager")


async def code_for(client: httpx.AsyncClient, node: str = "n1") -> str:
    answer = await client.post("/api/v1/claims", json={"node": node})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


async def say(world: World, folder: Path, code: str) -> Identity:
    """Claim with the box's own code."""
    identity = Identity(folder)
    await asyncio.to_thread(claim, identity, Platform(world.url, None), code)
    return identity


async def renewed(identity: Identity, clock: FakeClock, *, early: bool = True) -> object:
    return await asyncio.to_thread(renew, identity, clock(), early=early)


def certificate(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.pem.read_bytes())


async def listed(world: World) -> set[int]:
    answer = await (await world.client()).get("/api/v1/claims/revoked")
    found = x509.load_pem_x509_crl(answer.content)
    assert found.is_signature_valid(AUTHORITY.certificate.public_key())  # type: ignore[arg-type]  # it is an EC key
    return {entry.serial_number for entry in found}


class TestWhoMakesACode:
    async def test_the_manager_and_ops_do_and_nobody_else(self, world: World) -> None:
        for role in ("community_manager", "ops"):
            assert len(await code_for(await world.person(role, role))) == 14
        for role in ("duty_officer", "supervisor", "grid_worker", "auditor", "street_centre"):
            client = await world.person(role, role)
            problem(await client.post("/api/v1/claims", json={"node": "n1"}), 403)
            problem(await client.get("/api/v1/claims/nodes/n1"), 403)
            problem(await client.delete("/api/v1/claims/nodes/n1"), 403)

    async def test_only_for_nodes_of_their_estates_that_are_in_service(self, world: World) -> None:
        client = await world.person("p", "community_manager", ("e1",))
        for node in ("n2", "old", "nobody"):
            problem(await client.post("/api/v1/claims", json={"node": node}), 404)
            problem(await client.delete(f"/api/v1/claims/nodes/{node}"), 404)

    async def test_the_code_itself_is_kept_nowhere(self, world: World, manager: httpx.AsyncClient) -> None:
        code = await code_for(manager)
        async with world.pool.connection() as connection:
            (kept,) = await (await connection.execute("SELECT code FROM claim")).fetchone() or (b"",)
        assert code.encode() not in kept
        assert len(kept) == 32

    async def test_codes_do_not_come_by_the_thousand(self, world: World, manager: httpx.AsyncClient) -> None:
        async with world.pool.connection() as connection:
            await connection.execute(
                "INSERT INTO claim_attempt SELECT 'person:boss', %s FROM generate_series(1, 60)",
                [world.clock()],
            )
        problem(await manager.post("/api/v1/claims", json={"node": "n1"}), 429)


class TestABoxThatSaysACode:
    async def test_has_certificate_authority_broker_and_config_for_itself_alone(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path / "identity", await code_for(manager))
        assert pki.common_name(certificate(identity)) == "n1"
        assert (tmp_path / "identity/ca.pem").read_bytes() == AUTHORITY.pem
        setting = (tmp_path / "identity/edge.env").read_text().splitlines()
        assert {"VIGIL_MQTT_HOST=broker.example", "VIGIL_MQTT_PORT=8883"} < set(setting)
        node = config.parse((tmp_path / "identity/node.json").read_bytes())
        assert (node.community, node.estate, node.node) == ("c", "e1", "n1")
        assert {device.id: device.worn for device in node.devices} == {"n1": None, "d1": None, "p1": "chest"}
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in identity.folder.iterdir()}
        assert set(modes) == {"identity.pem", "ca.pem", "edge.env", "node.json", "claim.json"}
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700

    async def test_may_have_it_typed_in_as_people_type(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        code = await code_for(manager)
        await say(world, tmp_path, code.lower().replace("-", " ").replace("0", "o").replace("1", "l"))

    async def test_gets_nothing_for_one_that_another_box_has_used(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        code = await code_for(manager)
        await say(world, tmp_path / "first", code)
        with pytest.raises(Stop, match="was used, or has expired"):
            await say(world, tmp_path / "second", code)
        assert not (tmp_path / "second/identity.pem").exists()

    async def test_gets_the_same_again_when_its_answer_was_lost(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        code = await code_for(manager)
        identity = Identity(tmp_path)
        asked = pki.request(identity.next_key(), "box").decode()
        client = await world.client()
        lost = await client.post("/api/v1/claims/redeem", json={"code": code, "request": asked})
        assert lost.status_code == 200, lost.text
        assert certificate(await say(world, tmp_path, code)).serial_number == int(
            pki.serial_of(pki.read_certificate(lost.json()["certificate"].encode())), 16
        )

    async def test_of_ten_at_once_one_has_it(self, world: World, manager: httpx.AsyncClient) -> None:
        code, client = await code_for(manager), await world.client()
        bodies = [{"code": code, "request": pki.request(pki.new_key(), "x").decode()} for _ in range(10)]
        answers = await asyncio.gather(*(client.post("/api/v1/claims/redeem", json=body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [200] + [403] * 9

    async def test_gets_nothing_for_one_that_has_expired(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        code = await code_for(manager)
        world.clock.move(hours=24)
        with pytest.raises(Stop, match="has expired"):
            await say(world, tmp_path, code)

    async def test_gets_nothing_for_one_that_a_newer_one_has_replaced(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        old, new = await code_for(manager), await code_for(manager)
        with pytest.raises(Stop):
            await say(world, tmp_path, old)
        await say(world, tmp_path, new)

    async def test_is_told_to_wait_when_it_guesses(self, world: World, tmp_path: Path) -> None:
        async with world.pool.connection() as connection:
            await connection.execute(
                "INSERT INTO claim_attempt SELECT '127.0.0.1', %s FROM generate_series(1, 10)",
                [world.clock()],
            )
        with pytest.raises(Unavailable, match="wait a minute"):
            await say(world, tmp_path, "0000-0000-0000")
        world.clock.move(seconds=61)
        with pytest.raises(Stop):
            await say(world, tmp_path, "0000-0000-0000")

    async def test_takes_the_place_of_the_node_s_earlier_box(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        first = await say(world, tmp_path / "first", await code_for(manager))
        second = await say(world, tmp_path / "second", await code_for(manager))
        assert await listed(world) == {certificate(first).serial_number}
        with pytest.raises(Stop, match="was revoked"):
            await renewed(first, world.clock)
        assert await renewed(second, world.clock)

    async def test_keeps_its_code_when_its_request_was_junk(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        code, client = await code_for(manager), await world.client()
        for junk in ("x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"):
            problem(await client.post("/api/v1/claims/redeem", json={"code": code, "request": junk}), 422)
        await say(world, tmp_path, code)


class TestTheNextCertificate:
    async def test_is_asked_for_a_month_before_the_end(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path, await code_for(manager))
        before = certificate(identity)
        world.clock.move(days=59)
        assert await renewed(identity, world.clock, early=False) is None
        world.clock.move(days=2)
        assert await renewed(identity, world.clock, early=False)
        after = certificate(identity)
        assert after.not_valid_after_utc - before.not_valid_after_utc == world.clock() - START
        assert after.public_key() != before.public_key()
        assert await listed(world) == set()

    async def test_does_not_bring_the_node_s_file_back(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path, await code_for(manager))
        (tmp_path / "node.json").write_text("{}")
        await renewed(identity, world.clock)
        assert (tmp_path / "node.json").read_text() == "{}"

    async def test_is_refused_after_the_end_and_the_box_says_what_helps(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path, await code_for(manager))
        world.clock.move(days=91)
        with pytest.raises(Stop, match="claimed anew"):
            await renewed(identity, world.clock)

    async def test_is_refused_when_the_box_was_revoked(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path, await code_for(manager))
        assert (await manager.delete("/api/v1/claims/nodes/n1")).json() == {"revoked": 1}
        assert await listed(world) == {certificate(identity).serial_number}
        with pytest.raises(Stop, match="claim the box anew"):
            await renewed(identity, world.clock)
        (entry,) = (await manager.get("/api/v1/claims/nodes/n1")).json()
        assert entry["revoked_by"] == "person:boss"

    async def test_is_not_had_without_the_present_key(
        self, world: World, manager: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        identity = await say(world, tmp_path, await code_for(manager))
        stranger = pki.key_pem(pki.new_key())
        whole = identity.pem.read_bytes()
        identity.pem.write_bytes(stranger + whole[whole.index(b"-----BEGIN CERTIFICATE") :])
        with pytest.raises(Stop, match="not one of ours"):
            await renewed(identity, world.clock)


async def test_the_revoked_leave_the_list_when_they_would_have_ended(
    world: World, manager: httpx.AsyncClient, tmp_path: Path
) -> None:
    await say(world, tmp_path, await code_for(manager))
    await manager.delete("/api/v1/claims/nodes/n1")
    assert len(await listed(world)) == 1
    world.clock.move(days=92)
    assert await listed(world) == set()


async def test_without_an_authority_the_remedy_is_named(
    database: str, clock: FakeClock, tmp_path: Path
) -> None:
    async with serving(database, clock) as world:
        manager = await world.person("boss", "community_manager")
        said = problem(await manager.post("/api/v1/claims", json={"node": "n1"}), 503)
        assert "VIGIL_API_DEVICE_CA" in said["detail"]
        with pytest.raises(Unavailable, match="VIGIL_API_DEVICE_CA"):
            await say(world, tmp_path, "0000-0000-0000")
