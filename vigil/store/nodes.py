"""What nodes and devices say of themselves, as rows: a batch of it in a statement or two."""

from __future__ import annotations

from collections import defaultdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from psycopg.sql import SQL

from vigil.store.arrays import encoded, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from vigil.events import Birth, NodeState
    from vigil.store.pool import Connection

_STATES: Final = (
    SQL("""
    UPDATE node SET online = t.online, session = t.session, seen_at = %b
    FROM (SELECT id AS said_by, online, session FROM {}) AS t
    WHERE id = said_by AND (t.online OR node.session IS NULL OR node.session = t.session)
""")
    .format(unnest({"id": "text", "online": "bool", "session": "text"}))
    .as_bytes()
)
_BIRTHS: Final = (
    SQL("""
    UPDATE device SET birth = t.birth::jsonb, seen_at = %b
    FROM {} WHERE (device.id, device.node) = (t.id, t.node)
""")
    .format(unnest({"id": "text", "node": "text", "birth": "text"}))
    .as_bytes()
)


async def note_states(connection: Connection, said: Iterable[tuple[str, NodeState]], now: datetime) -> None:
    """Note that nodes are online or offline.

    The will of an old connection may come after the birth of a new one: an offline that names
    another session than the one online is stale, and changes nothing.

    Args:
        connection: Inside a transaction.
        said: Nodes and what they say, in the order in which they say it.
        now: Present time.
    """
    for turn in _turns(said):
        columns = [[node for node, _ in turn], [s.online for _, s in turn], [s.session for _, s in turn]]
        await connection.execute(_STATES, [now, *columns])


def _turns(said: Iterable[tuple[str, NodeState]]) -> Iterator[list[tuple[str, NodeState]]]:
    """Yield what is to be noted one after the other, each node at most once in each."""
    by_node: dict[str, list[NodeState]] = defaultdict(list)
    for node, state in said:
        by_node[node].append(state)
    columns = ([(node, state) for state in settled(states)] for node, states in by_node.items())
    for turn in zip_longest(*columns):
        yield [one for one in turn if one is not None]


def settled(states: Sequence[NodeState]) -> list[NodeState]:
    """Return the few of a node's states, whose order matters, that come to the same as all of them."""
    last = max((at for at, state in enumerate(states) if state.online), default=None)
    if last is None:
        return list(dict.fromkeys(states))
    online = states[last]
    ended = [state for state in states[last + 1 :] if state.session == online.session]
    return [online, *ended[:1]]


async def note_births(connection: Connection, said: Mapping[tuple[str, str], Birth], now: datetime) -> None:
    """Note what nodes say their devices are; of another node's device they say nothing.

    Args:
        connection: Inside a transaction.
        said: By node and device.
        now: Present time.
    """
    if not said:
        return
    columns = [[device for _, device in said], [node for node, _ in said], list(map(encoded, said.values()))]
    await connection.execute(_BIRTHS, [now, *columns])
