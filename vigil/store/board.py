"""Alerts as people see them: with names and places from the database, within a scope.

Neighbours: `api.live` and `api.alerts` show what this module reads.  Names are joined in
here, at the last moment, and nowhere earlier; `api.views` strips what a role may not see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier

from vigil.store.accounts import EVERY_ESTATE
from vigil.store.alerts import Alert

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody may know of.

    Attributes:
        estates: Ids; None is every estate.
        canary: A robot's world, which holds nothing but canaries, or people's, which holds none.
    """

    estates: frozenset[str] | None
    canary: bool = False

    @property
    def reach(self) -> list[str]:
        """The estates as row-level security reads them."""
        return [EVERY_ESTATE] if self.estates is None else sorted(self.estates)

    def covers(self, estate: str, synthetic: str | None) -> bool:
        """Whether an alert with these facts is in the scope; the queries below say the same."""
        in_estates = self.estates is None or estate in self.estates
        return in_estates and (synthetic == "canary") == self.canary


EVERYWHERE: Final = Scope(None)
"""For what is proven otherwise: a code, a certificate, a signed link that names one thing."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the registry says of an alert's place, resident and holder; None where unknown.

    Attributes:
        offer: The holder's offer to a colleague that stands, or stood until `offer_until`.
        offered_to: The colleague's account.
        offered_name: Their name.
    """

    estate: str | None
    zone: str | None
    building: str | None
    floor: int | None
    resident: str | None
    phone: str | None
    risk: int | None
    lives_alone: bool | None
    holder: str | None
    offer: UUID | None = None
    offered_to: str | None = None
    offered_name: str | None = None
    offer_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """An alert with its names, at the latest change that was seen of it."""

    alert: Alert
    names: Names


@dataclass(frozen=True, slots=True)
class CardChange:
    """A change in the live stream's order, with the card as it stands now."""

    change: int
    action: str
    card: Card


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of an alert's history; `name` is the acting person's, where it was one."""

    version: int
    from_state: str | None
    to_state: str
    action: str
    actor: str
    name: str | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """A detection that an alert rests on, with the event behind it while that is kept."""

    id: UUID
    time: datetime
    kind: str
    device: str
    score: float
    model: str
    model_version: str
    explanation: dict[str, Any]
    event_type: str | None
    event_data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Silence:
    """An alert that rests, and the step that silenced it."""

    alert: UUID
    kind: str
    estate: str
    until: datetime | None
    since: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of alerts ends, in the order of the page."""

    rank: int
    raised_at: datetime
    id: UUID


_RANK: Final = SQL("array_position(ARRAY['critical', 'high', 'medium', 'trouble'], a.priority)")
_NAMES: Final = SQL(
    "e.name, z.name, z.building, z.floor, personal(r.id, 'name', k.wrapped, r.name),"
    " personal(r.id, 'phone', k.wrapped, r.phone), r.risk, r.lives_alone, h.name,"
    " o.id, o.account, p.name, o.until",
)
_ALERT: Final = SQL(", ").join(Identifier("a", name) for name in Alert.__dataclass_fields__)
_FROM: Final = SQL("""
    FROM alert a
    LEFT JOIN estate e ON e.id = a.estate
    LEFT JOIN zone z ON z.id = a.zone
    LEFT JOIN resident r ON r.id = a.resident
    LEFT JOIN resident_key k ON k.resident = a.resident
    LEFT JOIN account h ON a.holder = 'person:' || h.id
    LEFT JOIN alert_offer o ON o.alert = a.id AND o.state = 'offered' AND o.holder = a.holder
        AND a.state IN ('acknowledged', 'attending')
    LEFT JOIN account p ON p.id = o.account
""")
_IN_SCOPE: Final = SQL("""
    (%(estates)s::text[] IS NULL OR a.estate = ANY (%(estates)s))
    AND (a.synthetic IS NOT DISTINCT FROM 'canary') = %(canary)s
""")
_OPEN: Final = SQL("a.state NOT IN ('resolved', 'reviewed')")
_NOTHING: Final = SQL("")
_WIDTH: Final = len(Alert.__dataclass_fields__)


def _query(*parts: SQL | Composed, extra: SQL = _NOTHING) -> Composed:
    return SQL("SELECT {extra}{alert}, {names} {source}").format(
        extra=extra, alert=_ALERT, names=_NAMES, source=_FROM
    ) + SQL("").join(parts)


_CARD: Final = _query(SQL("WHERE a.id = %(id)s AND "), _IN_SCOPE)
_PAGE_OPEN: Final = _query(
    SQL("WHERE "), _OPEN, SQL(" AND "), _IN_SCOPE,
    SQL(" AND (%(rank)s::int IS NULL OR ("), _RANK, SQL(", a.raised_at, a.id) > (%(rank)s, %(at)s, %(last)s))"),
    SQL(" ORDER BY "), _RANK, SQL(", a.raised_at, a.id LIMIT %(limit)s"),
)  # fmt: skip
_PAGE_CLOSED: Final = _query(
    SQL("WHERE NOT ("), _OPEN, SQL(") AND "), _IN_SCOPE,
    SQL(" AND (%(rank)s::int IS NULL OR (a.raised_at, a.id) < (%(at)s, %(last)s))"),
    SQL(" ORDER BY a.raised_at DESC, a.id DESC LIMIT %(limit)s"),
)  # fmt: skip
_AFTER: Final = _query(
    SQL(
        "JOIN alert_transition t ON t.alert = a.id WHERE t.change > %(after)s ORDER BY t.change LIMIT %(limit)s"
    ),
    extra=SQL("t.change, t.action, "),
)


def _scope(scope: Scope) -> dict[str, object]:
    return {"estates": None if scope.estates is None else sorted(scope.estates), "canary": scope.canary}


def _card(row: tuple[Any, ...]) -> Card:
    return Card(Alert(*row[:_WIDTH]), Names(*row[_WIDTH:]))


async def find_card(connection: Connection, alert: UUID, scope: Scope) -> Card | None:
    """Return an alert with its names; None where there is none in the scope."""
    cursor = await connection.execute(_CARD, {"id": alert, **_scope(scope)})
    row = await cursor.fetchone()
    return _card(row) if row else None


async def open_cards(
    connection: Connection, scope: Scope, limit: int = 500, after: Position | None = None
) -> list[Card]:
    """Return open alerts, the most urgent and then the oldest first."""
    return await _page(connection, _PAGE_OPEN, scope, limit, after)


async def closed_cards(
    connection: Connection, scope: Scope, limit: int = 50, after: Position | None = None
) -> list[Card]:
    """Return resolved and reviewed alerts, the latest first."""
    return await _page(connection, _PAGE_CLOSED, scope, limit, after)


async def _page(
    connection: Connection, query: Composed, scope: Scope, limit: int, after: Position | None
) -> list[Card]:
    where: dict[str, object] = {"rank": None, "at": None, "last": None}
    if after is not None:
        where = {"rank": after.rank, "at": after.raised_at, "last": after.id}
    cursor = await connection.execute(query, {"limit": limit, **_scope(scope), **where})
    return [_card(row) for row in await cursor.fetchall()]


async def cards_after(connection: Connection, change: int, limit: int = 500) -> list[CardChange]:
    """Return what changed after a change number, in order and in every scope."""
    cursor = await connection.execute(_AFTER, {"after": change, "limit": limit})
    return [CardChange(row[0], row[1], _card(row[2:])) for row in await cursor.fetchall()]


async def history(connection: Connection, alert: UUID) -> list[Transition]:
    """Return an alert's transitions, the first one first."""
    async with connection.cursor(row_factory=class_row(Transition)) as cursor:
        await cursor.execute(
            """
            SELECT t.version, t.from_state, t.to_state, t.action, t.actor, a.name, t.reason, t.at
            FROM alert_transition t LEFT JOIN account a ON t.actor = 'person:' || a.id
            WHERE t.alert = %s ORDER BY t.version
            """,
            [alert],
        )
        return await cursor.fetchall()


async def evidence(connection: Connection, alert: UUID, limit: int = 20) -> list[Evidence]:
    """Return the detections that an alert rests on, the first one first."""
    async with connection.cursor(row_factory=class_row(Evidence)) as cursor:
        await cursor.execute(
            """
            SELECT d.id, d.time, d.kind, d.device, d.score, d.model, d.model_version, d.explanation,
                   v.type AS event_type, v.data AS event_data
            FROM alert_evidence x JOIN detection d ON d.id = x.detection
            LEFT JOIN LATERAL event_of(d.id) v ON true
            WHERE x.alert = %s ORDER BY d.time LIMIT %s
            """,
            [alert, limit],
        )
        return await cursor.fetchall()


async def silences(connection: Connection, scope: Scope, limit: int, after: UUID) -> list[Silence]:
    """Return the alerts that rest now, by id."""
    query = SQL("""
        SELECT a.id AS alert, a.kind, a.estate, a.silenced_until AS until, t.at AS since, t.actor, t.reason
        FROM alert a JOIN LATERAL (
            SELECT at, actor, reason FROM alert_transition
            WHERE alert = a.id AND action = 'silence' ORDER BY version DESC LIMIT 1) t ON true
        WHERE a.state = 'silenced' AND a.id > %(after)s AND {} ORDER BY a.id LIMIT %(limit)s
    """).format(_IN_SCOPE)
    async with connection.cursor(row_factory=class_row(Silence)) as cursor:
        await cursor.execute(query, {"limit": limit, "after": after, **_scope(scope)})
        return await cursor.fetchall()


async def communities(connection: Connection) -> list[tuple[str, str]]:
    """Return (name, time zone) of every community, by name."""
    cursor = await connection.execute("SELECT name, time_zone FROM community ORDER BY name")
    return await cursor.fetchall()
