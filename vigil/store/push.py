"""Browsers that take Web Push, as rows.

Neighbours: `api.push` lets people subscribe theirs, `api.escalation.worker` sends to them and deletes
those that the push service no longer knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from vigil.events import derived_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser.

    Attributes:
        endpoint: Where its push service takes messages for it.
        p256dh: Its public key, an uncompressed point of P-256.
        auth: The secret it shares with us.
        language: What it speaks.
    """

    account: str
    endpoint: str
    p256dh: bytes
    auth: bytes
    language: str

    @property
    def id(self) -> UUID:
        """The same for the same browser, whoever is signed in."""
        return derived_id("push", self.endpoint)


async def put(connection: Connection, new: Subscription, now: datetime) -> None:
    """Keep a subscription; a browser is whose account was signed in last."""
    await connection.execute(
        """
        INSERT INTO push_subscription (id, account, endpoint, p256dh, auth, language, made_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE SET account = excluded.account, p256dh = excluded.p256dh,
            auth = excluded.auth, language = excluded.language
        """,
        [new.id, new.account, new.endpoint, new.p256dh, new.auth, new.language, now],
    )


async def remove(connection: Connection, endpoint: str) -> None:
    """Forget a browser."""
    await connection.execute("DELETE FROM push_subscription WHERE id = %s", [derived_id("push", endpoint)])


async def remove_of(connection: Connection, account: str, endpoint: str) -> None:
    """Forget a browser, if it is this account's."""
    await connection.execute(
        "DELETE FROM push_subscription WHERE id = %s AND account = %s",
        [derived_id("push", endpoint), account],
    )


async def of_account(connection: Connection, account: str) -> list[Subscription]:
    """Return somebody's browsers."""
    async with connection.cursor(row_factory=class_row(Subscription)) as cursor:
        await cursor.execute(
            "SELECT account, endpoint, p256dh, auth, language FROM push_subscription"
            " WHERE account = %s ORDER BY made_at, id",
            [account],
        )
        return await cursor.fetchall()


async def accounts(connection: Connection) -> frozenset[str]:
    """Return who has a browser that takes Web Push."""
    cursor = await connection.execute("SELECT DISTINCT account FROM push_subscription")
    return frozenset(account for (account,) in await cursor.fetchall())


async def note_taken(connection: Connection, endpoint: str, now: datetime) -> None:
    """Record that the push service has taken a message for a browser."""
    await connection.execute(
        "UPDATE push_subscription SET taken_at = %s WHERE id = %s", [now, derived_id("push", endpoint)]
    )
