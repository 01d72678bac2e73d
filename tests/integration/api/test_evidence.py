"""A frame as evidence, played by the box's own code against the platform: only with everybody's word."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import pytest_asyncio

from api.services import Issuer
from edge.camera import Shot
from edge.claim import Identity, Platform, claim
from edge.evidence import ASK_EVERY, EVERY_S, KEPT, MOST, Evidence
from tests.integration.api.conftest import START, problem, serving
from tests.unit.edge.test_disclosure import LYING
from vigil import evidence, pki
from vigil.errors import Misconfigured
from vigil.store.retention import trim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    import httpx

    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio, pytest.mark.trust]

ISSUER = Issuer(pki.new_authority("c", START), "broker.example:8883", evidence.new_key())
ROOM = np.full((240, 320, 3), (40, 120, 200), np.uint8)
PLACES = """
    INSERT INTO zone (id, estate, name, public, legal_basis) VALUES ('street', 'e1', 'gate', true, 'order 7');
    INSERT INTO resident (id, estate, name, flagged, risk) VALUES ('r2', 'e1', '李明', true, 1);
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e1');
    INSERT INTO device (id, node, zone, kind) VALUES
        ('d1', 'n1', 'z1', 'camera'), ('gate', 'n1', 'street', 'camera'), ('door', 'n1', 'z1', 'door'),
        ('alone', 'n1', 'z1', 'camera'), ('theirs', 'n2', 'z1', 'camera');
    INSERT INTO assignment (device, resident) VALUES ('d1', 'r1'), ('d1', 'r2'), ('theirs', 'r1'), ('door', 'r1'),
        ('gate', 'r1');
"""
YES = "INSERT INTO consent VALUES (%s, %s, %s, '1', 'self', %s)"


@pytest_asyncio.fixture
async def world(database: str, clock: FakeClock) -> AsyncIterator[World]:
    async with serving(database, clock, issuer=ISSUER) as world:
        async with world.pool.connection() as connection:
            await connection.execute(PLACES)
        yield world


@pytest_asyncio.fixture
async def box(world: World, tmp_path: Path) -> Evidence:
    return await boxed(world, tmp_path)


async def boxed(world: World, folder: Path, node: str = "n1") -> Evidence:
    manager = await world.person(f"boss-{node}", "community_manager")
    code = (await manager.post("/api/v1/claims", json={"node": node})).json()["code"]
    identity = Identity(folder / node)
    await asyncio.to_thread(claim, identity, Platform(world.url, None), code)
    return Evidence(identity, folder / f"frames-{node}", world.clock)


async def say(
    world: World,
    granted: bool = True,
    residents: tuple[str, ...] = ("r1", "r2"),
    purpose: str = "evidence_frame",
) -> None:
    world.clock.move(seconds=1)
    async with world.pool.connection() as connection:
        for resident in residents:
            await connection.execute(YES, [resident, purpose, granted, world.clock()])


async def everybody_agrees(world: World) -> None:
    await say(world, purpose="home_camera")
    await say(world)


def shot(world: World, device: str = "d1", episode: str = "d1.1.1") -> Shot:
    return Shot(device, episode, world.clock(), ROOM, LYING)


def waiting(box: Evidence) -> list[Path]:
    return sorted(box._folder.glob("*"))


async def frames_of(world: World) -> int:
    async with world.pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM evidence_frame")).fetchone()
    return int(row[0]) if row else 0


async def handed_over(world: World, box: Evidence) -> UUID:
    """Everybody agrees, somebody falls, and the platform has the frame and an alert."""
    await everybody_agrees(world)
    await asyncio.to_thread(box.step)
    box.offer(shot(world))
    assert len(waiting(box)) == 1
    await asyncio.to_thread(box.step)
    assert (await frames_of(world), waiting(box)) == (1, [])
    return await world.raise_alert("resident:r1")


async def shown(client: httpx.AsyncClient, alert: UUID) -> dict[str, Any]:
    (found,) = (await client.get(f"/api/v1/alerts/{alert}/frames")).json()
    return dict(found)


class TestNoFrameIsMade:
    async def test_before_the_platform_has_permitted_any(self, world: World, box: Evidence) -> None:
        await everybody_agrees(world)
        box.offer(shot(world))
        assert waiting(box) == []

    async def test_without_the_word_of_everybody_whom_the_camera_watches_over(
        self, world: World, box: Evidence
    ) -> None:
        for purpose, resident in (("evidence_frame", "r1"), ("evidence_frame", "r2"), ("home_camera", "r1")):
            await say(world, purpose=purpose, residents=(resident,))
            box._asked = None
            await asyncio.to_thread(box.step)
            box.offer(shot(world))
            assert waiting(box) == []

    async def test_in_public_by_what_is_no_camera_of_nobody_and_by_another_box(
        self, world: World, box: Evidence
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        for device in ("gate", "door", "alone", "theirs"):
            box.offer(shot(world, device))
        assert waiting(box) == []

    async def test_an_hour_after_the_platform_was_heard_last(
        self, world: World, box: Evidence, clock: FakeClock
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        clock.move(hours=1)
        box.offer(shot(world))
        assert waiting(box) == []

    async def test_less_than_a_minute_after_somebody_took_the_word_back(
        self, world: World, box: Evidence, clock: FakeClock
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        await say(world, granted=False, residents=("r2",))
        assert ASK_EVERY + timedelta(seconds=EVERY_S) < timedelta(minutes=1)
        clock.now += ASK_EVERY
        await asyncio.to_thread(box.step)
        box.offer(shot(world))
        assert waiting(box) == []

    async def test_by_a_box_that_was_never_claimed(self, tmp_path: Path, clock: FakeClock) -> None:
        with pytest.raises(Misconfigured, match="need a claimed box"):
            Evidence(Identity(tmp_path), tmp_path, clock)

    async def test_where_nobody_can_be_told_from_the_room(self, world: World, box: Evidence) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        nobody = LYING * np.array((1, 1, 0), np.float32)
        box.offer(Shot("d1", "d1.1.1", world.clock(), ROOM, nobody))
        assert waiting(box) == []


class TestOnTheBox:
    async def test_a_frame_lies_sealed_for_its_user_alone(self, world: World, box: Evidence) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        box.offer(shot(world))
        (path,) = waiting(box)
        assert path.stat().st_mode & 0o077 == 0
        assert b"JFIF" not in path.read_bytes()

    async def test_it_waits_for_the_platform_for_a_day_and_no_longer(
        self, world: World, box: Evidence, clock: FakeClock
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        box.offer(shot(world))
        box._platform = Platform("http://127.0.0.1:9", None)
        clock.move(hours=23)
        await asyncio.to_thread(box.step)
        assert len(waiting(box)) == 1
        clock.now = shot(world).at + KEPT
        await asyncio.to_thread(box.step)
        assert waiting(box) == []

    async def test_there_are_never_more_than_a_few(self, world: World, box: Evidence) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        box._platform = Platform("http://127.0.0.1:9", None)
        for n in range(MOST + 3):
            box.offer(shot(world, episode=f"d1.{n}.1"))
        await asyncio.to_thread(box.step)
        assert len(waiting(box)) == MOST

    async def test_a_full_disk_costs_the_frame_and_nothing_more(
        self, world: World, box: Evidence, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)

        def full(_name: str, _content: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(box, "_write", full)
        box.offer(shot(world))


class TestThePlatform:
    async def test_shows_it_for_a_purpose_and_the_resident_can_read_who_looked(
        self, world: World, box: Evidence
    ) -> None:
        alert = await handed_over(world, box)
        officer = await world.person("li", "duty_officer")
        path = f"/api/v1/alerts/{alert}/frames/{(await shown(officer, alert))['id']}"
        problem(await officer.get(path), 422)
        answer = await officer.get(path, params={"purpose": "alert"})
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.headers["Cache-Control"] == "no-store"
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == ROOM.shape
        async with world.pool.connection() as connection:
            query = (
                "SELECT resident, actor, purpose FROM access_log WHERE what LIKE 'frame:%' ORDER BY resident"
            )
            looked = await (await connection.execute(query)).fetchall()
        assert looked == [("r1", "person:li", "alert"), ("r2", "person:li", "alert")]

    async def test_keeps_it_sealed(self, world: World, box: Evidence) -> None:
        await handed_over(world, box)
        async with world.pool.connection() as connection:
            row = await (await connection.execute("SELECT sealed FROM evidence_frame")).fetchone()
        assert row is not None
        assert b"JFIF" not in bytes(row[0])

    async def test_shows_it_to_nobody_else(self, world: World, box: Evidence) -> None:
        alert = await handed_over(world, box)
        for role in ("grid_worker", "ops", "auditor", "street_centre"):
            client = await world.person(role, role)
            problem(await client.get(f"/api/v1/alerts/{alert}/frames"), 403)
        elsewhere = await world.person("e2", "duty_officer", ("e2",))
        problem(await elsewhere.get(f"/api/v1/alerts/{alert}/frames"), 404)

    async def test_shows_it_only_with_the_alert_that_it_belongs_to(
        self, world: World, box: Evidence, clock: FakeClock
    ) -> None:
        await handed_over(world, box)
        clock.move(minutes=5)
        later = await world.raise_alert("resident:r9")
        officer = await world.person("li", "duty_officer")
        assert (await officer.get(f"/api/v1/alerts/{later}/frames")).json() == []

    @pytest.mark.parametrize("purpose", ["evidence_frame", "home_camera"])
    async def test_forgets_it_as_soon_as_anybody_takes_the_word_back(
        self, world: World, box: Evidence, purpose: str
    ) -> None:
        await handed_over(world, box)
        await say(world, granted=False, residents=("r2",), purpose=purpose)
        assert await frames_of(world) == 0

    async def test_takes_none_that_was_made_before_the_word_was_taken_back(
        self, world: World, box: Evidence
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        box.offer(shot(world))
        await say(world, granted=False, residents=("r1",))
        await asyncio.to_thread(box.step)
        assert (await frames_of(world), waiting(box)) == (0, [])

    async def test_takes_the_same_frame_twice_and_keeps_one(self, world: World, box: Evidence) -> None:
        await handed_over(world, box)
        box.offer(shot(world))
        await asyncio.to_thread(box.step)
        assert (await frames_of(world), waiting(box)) == (1, [])

    async def test_takes_none_of_a_revoked_box(self, world: World, box: Evidence) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        box.offer(shot(world))
        manager = await world.person("boss", "community_manager")
        await manager.delete("/api/v1/claims/nodes/n1")
        await asyncio.to_thread(box.step)
        assert (await frames_of(world), waiting(box)) == (0, [])

    async def test_takes_none_of_another_box_s_camera(
        self, world: World, box: Evidence, tmp_path: Path
    ) -> None:
        await everybody_agrees(world)
        await asyncio.to_thread(box.step)
        other = await boxed(world, tmp_path, "n2")
        other._permit = box._permit
        other.offer(shot(world))
        assert len(waiting(other)) == 1
        other._asked = world.clock()
        await asyncio.to_thread(other.step)
        assert (await frames_of(world), waiting(other)) == (0, [])

    async def test_is_rid_of_it_after_three_days(self, world: World, box: Evidence, clock: FakeClock) -> None:
        alert = await handed_over(world, box)
        officer = await world.person("li", "duty_officer")
        until = datetime.fromisoformat((await shown(officer, alert))["expires_at"])
        assert until - clock() == timedelta(hours=72)
        clock.move(hours=72)
        officer = await world.person("li", "duty_officer")
        assert (await officer.get(f"/api/v1/alerts/{alert}/frames")).json() == []

    async def test_deletes_it_when_its_time_has_come(self, world: World, box: Evidence) -> None:
        await handed_over(world, box)
        async with world.pool.connection() as connection:
            row = await (await connection.execute("SELECT now()")).fetchone()
            assert row is not None
            await connection.execute(
                "UPDATE evidence_frame SET received_at = %s", [row[0] - timedelta(hours=73)]
            )
        gone = await trim(world.pool, row[0])
        assert (gone["evidence_frame"], await frames_of(world)) == (1, 0)

    async def test_without_a_key_takes_none_at_all(
        self, database: str, clock: FakeClock, tmp_path: Path
    ) -> None:
        async with serving(database, clock, issuer=Issuer(ISSUER.authority, ISSUER.broker)) as world:
            async with world.pool.connection() as connection:
                await connection.execute(PLACES)
            await everybody_agrees(world)
            box = await boxed(world, tmp_path)
            await asyncio.to_thread(box.step)
            box.offer(shot(world))
            assert waiting(box) == []

    async def test_refuses_what_is_no_statement_of_a_box(self, world: World) -> None:
        client = await world.client()
        body = {"certificate": ISSUER.authority.pem.decode(), "statement": "{}", "proof": "AA=="}
        problem(await client.post("/api/v1/evidence/permits", json=body), 422)
        problem(await client.post("/api/v1/evidence/frames", json=body | {"proof": "é"}), 422)
