"""Configs of boxes, as rows: every version that was decided on, and what each box says it goes by.

Neighbours: `api.configs` writes what people set, `ingest.configs` calls `compile_nodes` for what the register
of consents says and publishes both, `processors.intake` notes the boxes' answers.  `vigil.boxconfig` is
what stands in a document.

Rules
-----
1. A version is never changed, and the newest one counts.  Two who write at once get two numbers, or
   one of them none.
2. A version is made by people's settings, or by `compile_nodes` where consents, assignments, places or
   the node's estate have changed what its devices may be used for.  A node of which there is nothing to
   say has no version.
3. A box that goes by a later version than the newest, or by another document of the same number, knows
   what the platform has lost (it came back from a backup).  The next version is numbered above it, and
   what that box holds back and the platform does not stays `held`, until a person lifts it: a withdrawal
   may be among what was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

from vigil import boxconfig
from vigil.boxconfig import Document, Settings, Without
from vigil.purposes import refused
from vigil.store.arrays import encoded
from vigil.store.registry import devices_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from vigil.events import Reply
    from vigil.registry import Device
    from vigil.store.board import Scope
    from vigil.store.pool import Connection

PLATFORM: Final = "platform"
CONSENTS: Final = "what its devices may be used for has changed"
MOVED: Final = "it belongs to another estate now"
CAME_BACK: Final = "the box knew more than the platform, which came back from a backup"
MOST: Final = 2**53


class State(StrEnum):
    """Whether a box has taken the newest version."""

    NONE = "none"
    """There is none: it goes by its own file."""
    TAKEN = "taken"
    REFUSED = "refused"
    WAITING = "waiting"
    """It is connected and has not answered yet."""
    NOT_HEARD = "not_heard"
    """It is not connected."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a node's config.

    Attributes:
        document: As it is published.
        made_by: `person:...` or `platform`.
    """

    node: str
    version: int
    estate: str
    document: str
    digest: str
    made_by: str
    reason: str
    made_at: datetime

    @property
    def content(self) -> Document:
        """What the document says."""
        return boxconfig.decode(self.document.encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """What a box answered to a version; `refused` says why it was a no."""

    version: int
    refused: str | None
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands: the newest version, and what its box says.

    Attributes:
        version: The newest; 0 where there is none.
        has: The version the box goes by; None before its first answer.
        refused: Why it refused the newest.
        off: Devices that the box has switched off.
        held: Whether the newest version holds back what a person has to look at.
    """

    node: str
    estate: str
    state: State
    version: int
    made_at: datetime | None
    has: int | None
    answered_at: datetime | None
    refused: str | None
    off: list[str]
    held: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """What is to be published for a node."""

    node: str
    version: int
    digest: str
    taken: bool
    refused: bool
    online: bool
    retired: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A command to a box."""

    id: UUID
    node: str
    command: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None
    accepted: bool | None = None
    reason: str | None = None


_VERSION: Final = "node, version, estate, document, digest, made_by, reason, made_at"
_NEWEST: Final = f"SELECT DISTINCT ON (node) {_VERSION} FROM node_config"  # noqa: S608 - our own constant
_ORDER: Final = "id, node, command, made_by, made_at, expires_at, answered_at, accepted, reason"
_STANDING: Final = """
    SELECT n.id AS node, n.estate,
           CASE WHEN c.version IS NULL THEN 'none'
                WHEN (s.version, s.digest) = (c.version, c.digest) THEN 'taken'
                WHEN s.refused IS NOT NULL AND s.answered = 'config-' || c.version THEN 'refused'
                WHEN n.online THEN 'waiting' ELSE 'not_heard' END AS state,
           coalesce(c.version, 0) AS version, c.made_at, s.version AS has, s.answered_at,
           CASE WHEN s.answered = 'config-' || c.version THEN s.refused END AS refused,
           coalesce(s.off, '{}') AS off, coalesce(c.document::jsonb -> 'held' <> '{}', false) AS held
    FROM node n
    LEFT JOIN LATERAL (SELECT version, digest, document, made_at FROM node_config WHERE node = n.id
                       ORDER BY version DESC LIMIT 1) c ON true
    LEFT JOIN node_config_state s ON s.node = n.id
    WHERE n.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary'
"""


async def newest(connection: Connection, node: str) -> Version | None:
    """Return a node's newest version."""
    found = await history(connection, node, 1)
    return found[0] if found else None


async def history(connection: Connection, node: str, limit: int, before: int = MOST + 1) -> list[Version]:
    """Return a node's versions below a number, the newest first."""
    query = (
        f"SELECT {_VERSION} FROM node_config WHERE node = %s AND version < %s ORDER BY version DESC LIMIT %s"  # noqa: S608 - our own constant
    )
    async with connection.cursor(row_factory=class_row(Version)) as cursor:
        await cursor.execute(query, [node, before, limit])
        return await cursor.fetchall()


async def answers(connection: Connection, node: str, versions: Sequence[int]) -> dict[int, Answer]:
    """Return what a box answered to versions, by number; one that it never answered is left out."""
    async with connection.cursor(row_factory=class_row(Answer)) as cursor:
        await cursor.execute(
            "SELECT version, refused, answered_at FROM node_config_answer WHERE node = %s AND version = ANY (%s)",
            [node, list(versions)],
        )
        return {one.version: one for one in await cursor.fetchall()}


async def community_of(connection: Connection, estate: str) -> str:
    """Return the community that an estate belongs to."""
    cursor = await connection.execute("SELECT community FROM estate WHERE id = %s", [estate])
    ((community,),) = await cursor.fetchall()
    return str(community)


async def standing(connection: Connection, node: str) -> Standing | None:
    """Return how a node stands; None where there is none in service."""
    async with connection.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(f"{_STANDING} AND n.id = %s", [node])
        return await cursor.fetchone()


async def standings(
    connection: Connection, scope: Scope, limit: int, after: str = "", state: State | None = None
) -> list[Standing]:
    """Return how the nodes of a scope stand, by id; those of one state where it is named."""
    async with connection.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(
            f"""
            SELECT * FROM ({_STANDING}) x
            WHERE node > %(after)s AND (%(state)s::text IS NULL OR state = %(state)s)
              AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
            ORDER BY node LIMIT %(limit)s
            """,  # noqa: S608 - our own constant
            {
                "after": after,
                "state": state,
                "limit": limit,
                "estates": None if scope.estates is None else sorted(scope.estates),
            },
        )
        return await cursor.fetchall()


async def kinds(connection: Connection, node: str) -> dict[str, str]:
    """Return the kind of each device that is registered at a node, by its id."""
    cursor = await connection.execute(
        "SELECT id, kind FROM device WHERE node = %s AND retired_at IS NULL", [node]
    )
    return dict(await cursor.fetchall())


async def unknown_zones(connection: Connection, estate: str, zones: Iterable[str]) -> list[str]:
    """Return those of some zones that an estate does not have."""
    asked = sorted(set(zones))
    cursor = await connection.execute(
        "SELECT id FROM zone WHERE estate = %s AND id = ANY (%s)", [estate, asked]
    )
    known = {id_ for (id_,) in await cursor.fetchall()}
    return [id_ for id_ in asked if id_ not in known]


async def add(
    connection: Connection, document: Document, made_by: str, reason: str, now: datetime
) -> Version | None:
    """Keep a version; None where somebody else has taken its number."""
    raw = boxconfig.encode(document)
    made = Version(
        document.node,
        document.version,
        document.estate,
        raw.decode(),
        boxconfig.digest(raw),
        made_by,
        reason,
        now,
    )
    cursor = await connection.execute(
        f"INSERT INTO node_config ({_VERSION}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",  # noqa: S608 - our own constant
        [getattr(made, name) for name in Version.__dataclass_fields__],
    )
    return made if cursor.rowcount else None


async def next_number(connection: Connection, node: str) -> int:
    """Return a number above all that the platform or the box knows."""
    cursor = await connection.execute(
        """
        SELECT 1 + greatest((SELECT max(version) FROM node_config WHERE node = %(node)s),
                            (SELECT version FROM node_config_state WHERE node = %(node)s), 0)
        """,
        {"node": node},
    )
    ((number,),) = await cursor.fetchall()
    return int(number)


# What the register of consents says.


@dataclass(frozen=True, slots=True)
class Seen:
    """How far `changed_nodes` has looked: number of the last change, and when consents were looked at."""

    change: int = 0
    at: datetime | None = None


async def changed_nodes(connection: Connection, seen: Seen, now: datetime) -> tuple[list[str], Seen]:
    """Return the nodes of whose devices something may have changed since, and how far that looked.

    Words that begin or end by the clock are no changes of rows, so that those are looked for, too.
    """
    cursor = await connection.execute(
        """
        SELECT coalesce(max(version), 0), coalesce(min(version), 0),
               bool_or(device IS NULL AND node IS NULL) FILTER (WHERE version > %s)
        FROM registry_change
        """,
        [seen.change],
    )
    ((last, first, everything),) = await cursor.fetchall()
    if seen.at is None or everything or first > seen.change + 1:
        cursor = await connection.execute("SELECT id FROM node WHERE retired_at IS NULL ORDER BY id")
    else:
        cursor = await connection.execute(
            """
            SELECT DISTINCT d.node FROM device d
            WHERE d.id IN (SELECT device FROM registry_change WHERE version > %(change)s)
               OR d.node IN (SELECT node FROM registry_change WHERE version > %(change)s)
            UNION
            SELECT d.node FROM assignment a JOIN device d ON d.id = a.device
            WHERE (a.since > %(at)s AND a.since <= %(now)s) OR (a.until > %(at)s AND a.until <= %(now)s)
            UNION
            SELECT d.node FROM consent c JOIN assignment a ON a.resident = c.resident
                 JOIN device d ON d.id = a.device
            WHERE (c.since > %(at)s AND c.since <= %(now)s) OR (c.until > %(at)s AND c.until <= %(now)s)
            ORDER BY 1
            """,
            {"change": seen.change, "at": seen.at, "now": now},
        )
    return [node for (node,) in await cursor.fetchall()], Seen(int(last), now)


async def behind_their_boxes(connection: Connection) -> list[str]:
    """Return nodes whose boxes go by a later version than the newest, or by another of its number."""
    cursor = await connection.execute(
        """
        SELECT s.node FROM node_config_state s JOIN node n ON n.id = s.node
        LEFT JOIN LATERAL (SELECT version, digest FROM node_config c WHERE c.node = s.node
                           ORDER BY version DESC LIMIT 1) c ON true
        WHERE n.retired_at IS NULL
          AND (s.version > coalesce(c.version, 0) OR (s.version = c.version AND s.digest <> c.digest))
        ORDER BY 1
        """
    )
    return [node for (node,) in await cursor.fetchall()]


@dataclass(slots=True)
class _Known:
    """What is known of nodes, each by its id."""

    devices: dict[str, list[Device]] = field(default_factory=dict)
    newest: dict[str, Version] = field(default_factory=dict)
    has: dict[str, tuple[int, str, Without]] = field(default_factory=dict)


async def compile_nodes(connection: Connection, nodes: Sequence[str], now: datetime) -> list[Version]:
    """Make the versions that the register, or what boxes have answered, asks for; return them.

    Args:
        connection: Inside a transaction.
        nodes: Which nodes; they need not have changed.
        now: Time at which consents have to be in force.
    """
    known = await _known(connection, nodes)
    made = []
    for node, community, estate in await _places(connection, nodes):
        wanted = _wanted(known, node, community, estate, now)
        if wanted is not None:
            made.append(await add(connection, *wanted, now))
    return [version for version in made if version is not None]


def without_of(devices: Iterable[Device], now: datetime) -> Without:
    """Return what devices may not be used for."""
    found = {device.id: sorted(refused(device, now)) for device in devices}
    return {id_: purposes for id_, purposes in sorted(found.items()) if purposes}


def _wanted(
    known: _Known, node: str, community: str, estate: str, now: datetime
) -> tuple[Document, str, str] | None:
    """Return the document that a node lacks, who makes it and why; None where it lacks none."""
    without = without_of(known.devices.get(node, ()), now)
    before, (has, digest, held_there) = known.newest.get(node), known.has.get(node, (0, "", {}))
    last = before.content if before else None
    number = last.version if last else 0
    ahead = has > number or (before is not None and has == number and digest != before.digest)
    held = last.held if last else {}
    if ahead:
        held = boxconfig.joined(held, boxconfig.lacking(held_there, without))
    wanted = Document(
        community=community,
        estate=estate,
        node=node,
        version=max(has, number) + 1,
        settings=last.settings if last else Settings(),
        without=without,
        held=held,
    )
    if last is None:
        return (wanted, PLATFORM, CAME_BACK if ahead else CONSENTS) if ahead or without else None
    if ahead:
        return wanted, PLATFORM, CAME_BACK
    if last.address != wanted.address:
        return wanted, PLATFORM, MOVED
    return (wanted, PLATFORM, CONSENTS) if last.without != without else None


async def _places(connection: Connection, nodes: Sequence[str]) -> list[tuple[str, str, str]]:
    cursor = await connection.execute(
        """
        SELECT n.id, e.community, n.estate FROM node n JOIN estate e ON e.id = n.estate
        WHERE n.id = ANY (%s) AND n.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary' ORDER BY n.id
        """,
        [list(nodes)],
    )
    return await cursor.fetchall()


async def _known(connection: Connection, nodes: Sequence[str]) -> _Known:
    known = _Known()
    for device in await devices_of(connection, nodes):
        known.devices.setdefault(device.node, []).append(device)
    async with connection.cursor(row_factory=class_row(Version)) as cursor:
        await cursor.execute(f"{_NEWEST} WHERE node = ANY (%s) ORDER BY node, version DESC", [list(nodes)])
        known.newest = {version.node: version for version in await cursor.fetchall()}
    answers = await connection.execute(
        "SELECT node, version, digest, without FROM node_config_state WHERE node = ANY (%s)", [list(nodes)]
    )
    known.has = {
        node: (version, digest, without) for node, version, digest, without in await answers.fetchall()
    }
    return known


# What goes down, and what comes back.


async def to_publish(connection: Connection) -> list[Newest]:
    """Return the newest version of each node that has one, and what its box says of it."""
    async with connection.cursor(row_factory=class_row(Newest)) as cursor:
        await cursor.execute(
            """
            SELECT c.node, c.version, c.digest,
                   coalesce((s.version, s.digest) = (c.version, c.digest), false) AS taken,
                   coalesce(s.refused IS NOT NULL AND s.answered = 'config-' || c.version, false) AS refused,
                   coalesce(n.online, false) AS online, n.retired_at IS NOT NULL AS retired
            FROM (SELECT DISTINCT ON (node) node, version, digest FROM node_config
                  ORDER BY node, version DESC) c
            JOIN node n ON n.id = c.node LEFT JOIN node_config_state s ON s.node = c.node
            ORDER BY c.node
            """
        )
        return await cursor.fetchall()


async def documents(connection: Connection, wanted: Mapping[str, int]) -> list[tuple[Version, str | None]]:
    """Return versions by node and number, each with the estate of the one before it, if that was another."""
    cursor = await connection.execute(
        f"""
        SELECT {", ".join(f"c.{name}" for name in _VERSION.split(", "))},
               (SELECT nullif(b.estate, c.estate) FROM node_config b
                WHERE b.node = c.node AND b.version < c.version ORDER BY b.version DESC LIMIT 1)
        FROM node_config c JOIN unnest(%s::text[], %s::int8[]) AS t(node, version) USING (node, version)
        """,  # noqa: S608 - our own constants
        [list(wanted), list(wanted.values())],
    )
    return [(Version(*row[:-1]), row[-1]) for row in await cursor.fetchall()]


async def note_replies(connection: Connection, replies: Iterable[tuple[str, Reply]], now: datetime) -> None:
    """Note what boxes have answered, in the order in which they did.

    Args:
        connection: Inside a transaction.
        replies: Nodes and their answers, to configs and to commands; what fits neither changes nothing.
        now: Present time.
    """
    for node, reply in sorted(replies, key=lambda one: one[0]):
        if reply.has is not None:
            await _note_config(connection, node, reply, now)
        else:
            await connection.execute(
                """
                UPDATE node_command SET answered_at = %s, accepted = %s, reason = nullif(%s, '')
                WHERE id::text = %s AND node = %s AND answered_at IS NULL
                """,
                [now, reply.accepted, reply.reason[:500], reply.to, node],
            )


async def _note_config(connection: Connection, node: str, reply: Reply, now: datetime) -> None:
    has = reply.has
    if has is None:
        return
    await connection.execute(
        """
        INSERT INTO node_config_state (node, version, digest, without, off, answered, refused, answered_at)
        SELECT id, %(version)s, %(digest)s, %(without)s::jsonb, %(off)s, %(answered)s, %(refused)s, %(now)s
        FROM node WHERE id = %(node)s
        ON CONFLICT (node) DO UPDATE SET
            version = excluded.version, digest = excluded.digest, without = excluded.without,
            off = excluded.off, answered = excluded.answered, refused = excluded.refused,
            answered_at = excluded.answered_at
        """,
        {
            "node": node,
            "version": has.version,
            "digest": has.digest,
            "without": encoded(has.without),
            "off": has.off[:1000],
            "answered": reply.to[:64],
            "refused": _refusal(reply),
            "now": now,
        },
    )
    await connection.execute(
        """
        INSERT INTO node_config_answer (node, version, refused, answered_at)
        SELECT node, version, %s, %s FROM node_config WHERE node = %s AND 'config-' || version = %s
        ON CONFLICT (node, version) DO UPDATE SET refused = excluded.refused, answered_at = excluded.answered_at
        """,
        [_refusal(reply), now, node, reply.to],
    )


def _refusal(reply: Reply) -> str | None:
    return None if reply.accepted else reply.reason[:500] or "no reason given"


async def counts(connection: Connection, now: datetime) -> tuple[dict[State, int], float]:
    """Return how many nodes stand how, and for how many seconds a connected one has not taken its config."""
    cursor = await connection.execute(
        f"""
        SELECT state, count(*), extract(epoch FROM %s - min(made_at) FILTER (WHERE state = 'waiting'))::float8
        FROM ({_STANDING}) x GROUP BY state
        """,  # noqa: S608 - our own constant
        [now],
    )
    rows = await cursor.fetchall()
    return {State(state): count for state, count, _ in rows}, max((w or 0.0 for *_, w in rows), default=0.0)


# Commands.


async def add_order(connection: Connection, order: Order) -> None:
    """Keep a command, to be given to a box until it answers or the command ends."""
    await connection.execute(
        "INSERT INTO node_command (id, node, command, made_by, made_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)",
        [order.id, order.node, order.command, order.made_by, order.made_at, order.expires_at],
    )


async def orders(connection: Connection, node: str, limit: int) -> list[Order]:
    """Return a node's commands, the latest first."""
    query = f"SELECT {_ORDER} FROM node_command WHERE node = %s ORDER BY made_at DESC, id LIMIT %s"  # noqa: S608 - our own constant
    async with connection.cursor(row_factory=class_row(Order)) as cursor:
        await cursor.execute(query, [node, limit])
        return await cursor.fetchall()


async def open_orders(connection: Connection, now: datetime) -> list[tuple[str, str, Order]]:
    """Return the commands that no box has answered and that hold: community, estate, command."""
    cursor = await connection.execute(
        f"""
        SELECT e.community, n.estate, {", ".join(f"c.{name}" for name in _ORDER.split(", "))}
        FROM node_command c JOIN node n ON n.id = c.node JOIN estate e ON e.id = n.estate
        WHERE c.answered_at IS NULL AND c.expires_at > %s AND n.retired_at IS NULL ORDER BY c.made_at
        """,  # noqa: S608 - our own constants
        [now],
    )
    return [(row[0], row[1], Order(*row[2:])) for row in await cursor.fetchall()]
