"""The registry in memory follows every change in the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.making import NOW
from vigil.modes import Live
from vigil.registry import Registry
from vigil.store.registry import refresh

if TYPE_CHECKING:
    from tests.integration.store.conftest import Connect

pytestmark = pytest.mark.integration

COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C'), ('c2', 'D');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E'), ('e2', 'c1', 'F');
    INSERT INTO zone (id, estate, name, public) VALUES ('z1', 'e1', 'Z', false), ('z2', 'e2', 'Y', true);
    INSERT INTO node (id, estate, zone) VALUES ('n1', 'e1', 'z1'), ('n2', 'e2', NULL);
    INSERT INTO device (id, node, zone, kind) VALUES ('d1', 'n1', 'z1', 'pendant'), ('d2', 'n2', 'z2', 'camera');
    INSERT INTO resident (id, estate, name, flagged) VALUES ('r1', 'e1', 'R', true), ('r2', 'e1', 'S', false);
    INSERT INTO assignment (device, resident) VALUES ('d1', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by)
    VALUES ('r1', 'fall_detection', true, '1', 'self');
"""


async def whole(connection: Any) -> Registry:
    registry = Registry()
    await refresh(connection, registry)
    return registry


def contents(registry: Registry) -> Any:
    """Return what a registry knows; words of one resident have no order among themselves."""
    devices = {}
    for id_, device in registry.devices.items():
        owners = sorted(
            (a.resident.id, a.since, a.until, a.resident.flagged, a.resident.profile,
             sorted(a.resident.consents, key=repr))
            for a in device.assignments
        )  # fmt: skip
        facts = (device.node, device.zone, device.public, device.legal_basis, device.kind, device.placement)
        devices[id_] = (facts, device.retired, owners)
    return dict(registry.nodes), devices


@pytest.mark.asyncio
async def test_an_empty_register_is_an_empty_registry(connection: Any) -> None:
    registry = Registry()
    await refresh(connection, registry)
    assert contents(registry) == ({}, {})


@pytest.mark.asyncio
async def test_a_registry_knows_at_once_which_detectors_may_alert(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    assert registry.modes.live("routines", ("1",), "c1", "e1") == Live("1", stands_in=True)
    await connection.execute(
        """
        INSERT INTO detector_mode (detector, version, estate, mode, actor, reason, at)
        VALUES ('routines', 'any', 'e1', 'shadow', 'person:x', 'too many false ones', now())
        """
    )
    assert await refresh(connection, registry)
    assert registry.modes.live("routines", ("1",), "c1", "e1") is None


@pytest.mark.asyncio
async def test_a_registry_knows_nodes_devices_residents_and_their_words(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    assert (registry.nodes["n1"].community, registry.nodes["n1"].estate) == ("c1", "e1")
    assert registry.devices["d2"].public
    (resident,) = registry.devices["d1"].residents(NOW)
    assert resident.flagged
    assert resident.consents_to("fall_detection", NOW)
    assert not resident.consents_to("home_camera", NOW)
    assert not await refresh(connection, registry)


CHANGES: dict[str, str] = {
    "a new device": "INSERT INTO device (id, node, kind) VALUES ('d3', 'n1', 'door')",
    "a retired device": "UPDATE device SET retired_at = now() WHERE id = 'd1'",
    "a retired node": "UPDATE node SET retired_at = now() WHERE id = 'n1'",
    "a device that moves to another node": "UPDATE device SET node = 'n2' WHERE id = 'd1'",
    "a device that moves to another zone": "UPDATE device SET zone = 'z2' WHERE id = 'd1'",
    "a node that moves to another estate": "UPDATE node SET estate = 'e2' WHERE id = 'n1'",
    "an estate that moves to another community": "UPDATE estate SET community = 'c2' WHERE id = 'e1'",
    "a node registered for drills": "UPDATE node SET synthetic = 'drill' WHERE id = 'n1'",
    "a consent withdrawn": "UPDATE consent SET granted = false",
    "a consent deleted": "DELETE FROM consent",
    "a consent that turns out to be another resident's": "UPDATE consent SET resident = 'r2'",
    "a new consent": """INSERT INTO consent (resident, purpose, granted, text_version, given_by)
                        VALUES ('r1', 'home_camera', true, '1', 'self')""",
    "a resident no longer flagged": "UPDATE resident SET flagged = false WHERE id = 'r1'",
    "a changed profile": """UPDATE resident SET profile = '{"frail": true}' WHERE id = 'r1'""",
    "a device taken back": "DELETE FROM assignment",
    "a device handed on": "UPDATE assignment SET resident = 'r2'",
    "an assignment that turns out to be another device's": "UPDATE assignment SET device = 'd2'",
    "an assignment that ended": "UPDATE assignment SET until = '2020-01-01Z'",
    "a zone with a legal basis": "UPDATE zone SET legal_basis = 'notice 7' WHERE id = 'z2'",
    "a zone no longer public": "UPDATE zone SET public = false WHERE id = 'z2'",
    "a device deleted": "DELETE FROM device WHERE id = 'd2'",
    "everything at once": "UPDATE device SET kind = 'x'; UPDATE node SET zone = 'z2'; DELETE FROM consent",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_is_seen_at_the_next_look(connection: Any, what: str) -> None:
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    before = contents(registry)
    await connection.execute(CHANGES[what])
    assert await refresh(connection, registry)
    assert contents(registry) == contents(await whole(connection)) != before


@pytest.mark.asyncio
@pytest.mark.parametrize("table", ["assignment", "consent", "device", "node", "zone"])
async def test_a_table_emptied_at_a_stroke_is_seen_too(connection: Any, table: str) -> None:
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    await connection.execute(f"TRUNCATE {table} CASCADE")
    await refresh(connection, registry)
    assert contents(registry) == contents(await whole(connection))


@pytest.mark.asyncio
async def test_signs_of_life_are_no_changes_of_the_register(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    await connection.execute("UPDATE node SET online = true, session = 's', seen_at = now()")
    await connection.execute("UPDATE device SET birth = '{}', seen_at = now()")
    assert not await refresh(connection, registry)


@pytest.mark.asyncio
async def test_a_change_that_commits_later_than_a_younger_one_would_be_overlooked_and_so_waits(
    connect: Connect,
) -> None:
    async with connect() as one, connect() as other, connect() as reader:
        await reader.execute(COMMUNITY)
        registry = await whole(reader)
        async with one.transaction():
            await one.execute("UPDATE resident SET flagged = false WHERE id = 'r1'")
            await other.execute("SET lock_timeout = 50")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await other.execute("UPDATE zone SET public = false WHERE id = 'z2'")
            assert not await refresh(reader, registry)
        assert await refresh(reader, registry)
        assert not registry.devices["d1"].assignments[0].resident.flagged


@pytest.mark.asyncio
async def test_after_very_many_changes_the_registry_is_read_whole(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vigil.store import registry as under_test

    monkeypatch.setattr(under_test, "_WHOLE_ABOVE", 3)
    await connection.execute(COMMUNITY)
    registry = await whole(connection)
    await connection.execute("UPDATE device SET kind = 'x'; UPDATE node SET zone = NULL; DELETE FROM consent")
    assert await refresh(connection, registry)
    assert contents(registry) == contents(await whole(connection))
    assert not await refresh(connection, registry)


@pytest.mark.asyncio
async def test_who_slept_until_changes_were_deleted_reads_everything(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    asleep, awake = await whole(connection), await whole(connection)
    await connection.execute("DELETE FROM consent")
    assert await refresh(connection, awake)
    await connection.execute("UPDATE device SET kind = 'x' WHERE id = 'd2'")
    await connection.execute(
        "DELETE FROM registry_change WHERE version < (SELECT max(version) FROM registry_change)"
    )
    for registry in (asleep, awake):
        assert await refresh(connection, registry)
        assert contents(registry) == contents(await whole(connection))
        assert not await refresh(connection, registry)


nodes = st.sampled_from(["n1", "n2"])
devices = st.sampled_from(["d1", "d2", "d3"])
residents = st.sampled_from(["r1", "r2"])
flags = st.sampled_from(["true", "false"])
zones = st.sampled_from(["'z1'", "'z2'", "NULL"])
changes = st.one_of(
    st.builds("INSERT INTO device (id, node, kind) VALUES ('{}', '{}', 'k') ON CONFLICT DO NOTHING".format, devices, nodes),
    st.builds("UPDATE device SET node = '{1}', zone = {2} WHERE id = '{0}'".format, devices, nodes, zones),
    st.builds("UPDATE device SET retired_at = now() WHERE id = '{}'".format, devices),
    st.builds("UPDATE node SET zone = {1}, estate = 'e2' WHERE id = '{0}'".format, nodes, zones),
    st.builds("UPDATE resident SET flagged = {1} WHERE id = '{0}'".format, residents, flags),
    st.builds(
        "INSERT INTO assignment (device, resident) SELECT id, '{1}' FROM device WHERE id = '{0}' ON CONFLICT DO NOTHING".format,
        devices, residents,
    ),
    st.builds("DELETE FROM assignment WHERE device = '{}'".format, devices),
    st.builds("DELETE FROM assignment WHERE resident = '{}'".format, residents),
    st.builds(
        "UPDATE assignment SET device = '{1}' WHERE device = '{0}' AND EXISTS (SELECT FROM device WHERE id = '{1}')"
        " AND NOT EXISTS (SELECT FROM assignment WHERE device = '{1}')".format,
        devices, devices,
    ),
    st.builds(
        "INSERT INTO consent (resident, purpose, granted, text_version, given_by) VALUES ('{}', 'fall_detection', {}, '1', 'x')"
        " ON CONFLICT (resident, purpose, since) DO UPDATE SET granted = excluded.granted".format,
        residents, flags,
    ),
    st.builds("DELETE FROM consent WHERE resident = '{}'".format, residents),
    st.builds("UPDATE zone SET public = {1} WHERE id = {0}".format, zones, flags),
    st.builds(
        "DELETE FROM device d WHERE id = '{}' AND NOT EXISTS (SELECT FROM assignment a WHERE a.device = d.id)".format,
        devices,
    ),
    st.just("SELECT 'look'"),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(changes, max_size=12))
def test_looking_at_changes_alone_is_as_good_as_reading_everything(database: str, made: list[str]) -> None:
    asyncio.run(_followed(database, made))


async def _followed(dsn: str, made: list[str]) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "TRUNCATE community, estate, zone, node, device, resident, assignment, consent, registry_change CASCADE"
        )
        await connection.execute(COMMUNITY)
        registry = await whole(connection)
        for statement in made:
            await connection.execute(statement)
            if "look" in statement:
                await refresh(connection, registry)
        await refresh(connection, registry)
        assert contents(registry) == contents(await whole(connection))
