"""One alert from hand to hand: offers of whoever has it to a named colleague, as rows.

Neighbours: `api.offers` lets people act; `vigil.store.alerts.remark` puts what was said into the alert's
history.  The notice that asks the colleague goes into the escalation's outbox in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from vigil.events import derived_id
from vigil.store.accounts import EVERY_ESTATE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer as it stands.

    Attributes:
        holder: The actor who has the alert.
        account: To whom it is offered.
        until: Without an answer by then it is void.
        state: `offered`, `accepted`, `returned`, or `replaced` by a later one.
    """

    id: UUID
    alert: UUID
    holder: str
    account: str
    note: str
    made_at: datetime
    until: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who could take an alert over; `on_duty` now."""

    account: str
    name: str
    role: str
    on_duty: bool


_COLUMNS: Final = SQL(", ").join(map(Identifier, OfferRow.__dataclass_fields__))


async def add(connection: Connection, new: OfferRow, channels: Sequence[str]) -> None:
    """Keep an offer in place of an earlier one, and ask the colleague by each channel."""
    await connection.execute(
        "UPDATE alert_offer SET state = 'replaced', answered_at = %s WHERE alert = %s AND state = 'offered'",
        [new.made_at, new.alert],
    )
    values = {name: getattr(new, name) for name in OfferRow.__dataclass_fields__}
    await connection.execute(
        SQL("INSERT INTO alert_offer ({}) VALUES ({})").format(
            _COLUMNS, SQL(", ").join(SQL("%({})s").format(SQL(name)) for name in values)
        ),
        values,
    )
    for entry, channel in enumerate(channels):
        await connection.execute(
            """
            INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at, offer)
            VALUES (%s, %s, 0, %s, %s, %s, false, %s, %s, %s)
            """,
            [
                *(derived_id("offer", new.id, channel), new.alert, entry, new.account, channel),
                *(new.made_at, new.made_at, new.id),
            ],
        )


async def find(connection: Connection, offer: UUID) -> OfferRow | None:
    """Return an offer that one may see; who changes it holds the lock of its alert."""
    async with connection.cursor(row_factory=class_row(OfferRow)) as cursor:
        query = SQL("SELECT {} FROM alert_offer WHERE id = %s").format(_COLUMNS)
        await cursor.execute(query, [offer])
        return await cursor.fetchone()


async def answer(connection: Connection, offer: UUID, state: str, now: datetime) -> None:
    """Keep the answer."""
    await connection.execute(
        "UPDATE alert_offer SET state = %s, answered_at = %s WHERE id = %s", [state, now, offer]
    )


async def colleagues(
    connection: Connection, estate: str, but: str, roles: Sequence[str], now: datetime
) -> list[Colleague]:
    """Return who could take over an alert of an estate, who is on duty first.

    Args:
        connection: To read with.
        estate: Where the alert is.
        but: The account that asks.
        roles: That may take alerts.
        now: Present time.
    """
    async with connection.cursor(row_factory=class_row(Colleague)) as cursor:
        await cursor.execute(
            """
            SELECT a.id AS account, a.name, a.role,
                   EXISTS (SELECT FROM shift s WHERE s.account = a.id AND s.starts_at <= %(now)s
                           AND s.ends_at > %(now)s) AS on_duty
            FROM account a
            WHERE a.disabled_at IS NULL AND a.id <> %(but)s AND a.role = ANY (%(roles)s)
              AND a.estates && ARRAY[%(estate)s, %(every)s]
            ORDER BY on_duty DESC, a.name, a.id LIMIT 200
            """,
            {"estate": estate, "but": but, "roles": list(roles), "now": now, "every": EVERY_ESTATE},
        )
        return await cursor.fetchall()
