"""People's own tokens as rows; their secrets reach this module as digests only.

Neighbours: `api.tokens` makes them, `api.auth` looks them up with every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A token without its secret; `estates` None is all of its owner's."""

    id: UUID
    account: str
    name: str
    scopes: list[str]
    estates: list[str] | None
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is good now, with its owner's role and estates as they are now."""

    id: UUID
    account: str
    name: str
    role: str
    scopes: list[str]
    estates: list[str] | None
    owners_estates: list[str]


async def add(connection: Connection, token: PersonalToken, digest: bytes) -> None:
    """Keep a new token."""
    await connection.execute(
        """
        INSERT INTO personal_token (id, account, name, hash, scopes, estates, made_at, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            token.id,
            token.account,
            token.name,
            digest,
            token.scopes,
            token.estates,
            token.made_at,
            token.expires_at,
        ],
    )


async def of_account(connection: Connection, account: str, now: datetime) -> list[PersonalToken]:
    """Return somebody's tokens that are good, the newest first."""
    async with connection.cursor(row_factory=class_row(PersonalToken)) as cursor:
        await cursor.execute(
            """
            SELECT id, account, name, scopes, estates, made_at, expires_at, used_at FROM personal_token
            WHERE account = %s AND revoked_at IS NULL AND expires_at > %s ORDER BY made_at DESC, id
            """,
            [account, now],
        )
        return await cursor.fetchall()


async def revoke(connection: Connection, account: str, token: UUID, now: datetime) -> bool:
    """Make a token void; False where the account has no good one of this id."""
    cursor = await connection.execute(
        "UPDATE personal_token SET revoked_at = %s WHERE id = %s AND account = %s AND revoked_at IS NULL",
        [now, token, account],
    )
    return cursor.rowcount == 1


async def find(connection: Connection, digest: bytes, now: datetime) -> Bearer | None:
    """Return the token of this secret if it and its owner are good, and note its use (to the minute)."""
    async with connection.cursor(row_factory=class_row(Bearer)) as cursor:
        await cursor.execute(
            """
            WITH noted AS (
                UPDATE personal_token SET used_at = %(now)s
                WHERE hash = %(hash)s AND expires_at > %(now)s AND revoked_at IS NULL
                  AND (used_at IS NULL OR used_at <= %(now)s - interval '1 minute'))
            SELECT t.id, t.account, a.name, a.role, t.scopes, t.estates, a.estates AS owners_estates
            FROM personal_token t JOIN account a ON a.id = t.account
            WHERE t.hash = %(hash)s AND t.expires_at > %(now)s AND t.revoked_at IS NULL AND a.disabled_at IS NULL
            """,
            {"hash": digest, "now": now},
        )
        return await cursor.fetchone()
