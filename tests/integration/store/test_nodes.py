"""What nodes say of themselves, and signs of life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.making import NOW
from vigil.events import Birth, NodeState
from vigil.store import heartbeats, nodes

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E');
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e1');
    INSERT INTO device (id, node, kind) VALUES ('d1', 'n1', 'pendant');
"""
BIRTH = Birth(session="s", model="m", firmware="1", capabilities=["fall"])


async def states(connection: Any, *said: tuple[bool, str]) -> Any:
    await connection.execute(COMMUNITY)
    for online, session in said:
        await nodes.note_state(connection, "n1", NodeState(online=online, session=session), NOW)
    rows = await connection.execute("SELECT online, session FROM node WHERE id = 'n1'")
    return await rows.fetchone()


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ([(True, "a")], (True, "a")),
        ([(True, "a"), (False, "a")], (False, "a")),
        ([(False, "a")], (False, "a")),
        ([(True, "a"), (True, "b"), (False, "a")], (True, "b")),
        ([(True, "a"), (False, "a"), (True, "b"), (False, "a"), (False, "b")], (False, "b")),
    ],
)
async def test_the_will_of_an_old_connection_does_not_put_a_new_one_offline(
    connection: Any, said: list[tuple[bool, str]], stands: tuple[bool, str]
) -> None:
    assert await states(connection, *said) == stands


async def test_a_birth_is_kept(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await nodes.note_birth(connection, "n1", "d1", BIRTH, NOW)
    row = await (await connection.execute("SELECT birth->>'model', seen_at FROM device")).fetchone()
    assert row == ("m", NOW)


async def test_a_node_says_nothing_of_another_nodes_device(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await nodes.note_birth(connection, "n2", "d1", BIRTH, NOW)
    assert await (await connection.execute("SELECT birth FROM device")).fetchone() == (None,)


async def test_who_gave_a_sign_of_life_lately_is_alive(connection: Any) -> None:
    await heartbeats.beat(connection, "processors-x-1", NOW - timedelta(minutes=1), {"alarm": 1})
    within = timedelta(seconds=15)
    assert not await heartbeats.alive(connection, "processors", NOW, within)
    await heartbeats.beat(connection, "processors-x-1", NOW - timedelta(seconds=14), {"alarm": 2})
    assert await heartbeats.alive(connection, "processors", NOW, within)
    assert not await heartbeats.alive(connection, "ingest", NOW, within)
    assert not await heartbeats.alive(connection, "proc%", NOW, within)
