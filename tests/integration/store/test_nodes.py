"""What nodes say of themselves, and signs of life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import NOW
from vigil.events import Birth, NodeState
from vigil.store import heartbeats, nodes

pytestmark = pytest.mark.integration

COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E');
    INSERT INTO node (id, estate) VALUES ('n1', 'e1'), ('n2', 'e1');
    INSERT INTO device (id, node, kind) VALUES ('d1', 'n1', 'pendant');
"""
BIRTH = Birth(session="s", model="m", firmware="1", capabilities=["fall"])


async def states(connection: Any, *said: tuple[bool, str], at_once: bool) -> Any:
    await connection.execute(COMMUNITY)
    batch = [("n1", NodeState(online=online, session=session)) for online, session in said]
    for some in [batch] if at_once else [[one] for one in batch]:
        await nodes.note_states(connection, some, NOW)
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
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.asyncio
async def test_the_will_of_an_old_connection_does_not_put_a_new_one_offline(
    connection: Any, said: list[tuple[bool, str]], stands: tuple[bool, str], at_once: bool
) -> None:
    assert await states(connection, *said, at_once=at_once) == stands


def noted(stands: NodeState | None, states: list[NodeState]) -> NodeState | None:
    """What stands after states that are noted one by one, from what stood before."""
    for state in states:
        if state.online or stands is None or stands.session == state.session:
            stands = state
    return stands


said_states = st.builds(NodeState, online=st.booleans(), session=st.sampled_from("abc"))


@given(st.none() | said_states, st.lists(said_states, max_size=8))
def test_a_batch_of_a_nodes_states_comes_to_what_they_come_to_one_by_one(
    before: NodeState | None, states: list[NodeState]
) -> None:
    few = nodes.settled(states)
    assert noted(before, few) == noted(before, states)
    assert len(few) <= 3


@pytest.mark.asyncio
async def test_states_of_many_nodes_do_not_touch_each_other(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    said = [("n1", True, "a"), ("n2", True, "b"), ("n1", False, "a"), ("stranger", True, "c")]
    batch = [(node, NodeState(online=online, session=session)) for node, online, session in said]
    await nodes.note_states(connection, batch, NOW)
    rows = await connection.execute("SELECT id, online, session, seen_at FROM node ORDER BY id")
    assert await rows.fetchall() == [("n1", False, "a", NOW), ("n2", True, "b", NOW)]


@pytest.mark.asyncio
async def test_a_birth_is_kept(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await nodes.note_births(connection, {("n1", "d1"): BIRTH}, NOW)
    row = await (await connection.execute("SELECT birth->>'model', seen_at FROM device")).fetchone()
    assert row == ("m", NOW)


@pytest.mark.asyncio
async def test_a_node_says_nothing_of_another_nodes_device(connection: Any) -> None:
    await connection.execute(COMMUNITY)
    await nodes.note_births(connection, {("n2", "d1"): BIRTH}, NOW)
    assert await (await connection.execute("SELECT birth FROM device")).fetchone() == (None,)


@pytest.mark.asyncio
async def test_who_gave_a_sign_of_life_lately_is_alive(connection: Any) -> None:
    await heartbeats.beat(connection, "processors-x-1", NOW - timedelta(minutes=1), {"alarm": 1})
    within = timedelta(seconds=15)
    assert not await heartbeats.alive(connection, "processors", NOW, within)
    await heartbeats.beat(connection, "processors-x-1", NOW - timedelta(seconds=14), {"alarm": 2})
    assert await heartbeats.alive(connection, "processors", NOW, within)
    assert not await heartbeats.alive(connection, "ingest", NOW, within)
    assert not await heartbeats.alive(connection, "proc%", NOW, within)
