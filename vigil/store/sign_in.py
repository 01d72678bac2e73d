"""Second factors, and which account an identity provider's subject is, as rows.

Neighbours: `api.second_factor` and `api.oidc` decide; `vigil.store.accounts` has accounts and sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor; `sealed` holds its secret, `confirmed_at` None is one under way."""

    account: str
    sealed: bytes
    last_step: int
    confirmed_at: datetime | None


async def factor(connection: Connection, account: str) -> Factor | None:
    """Return an account's second factor, confirmed or not."""
    async with connection.cursor(row_factory=class_row(Factor)) as cursor:
        await cursor.execute(
            "SELECT account, sealed, last_step, confirmed_at FROM second_factor WHERE account = %s", [account]
        )
        return await cursor.fetchone()


async def begin_factor(connection: Connection, account: str, sealed: bytes, now: datetime) -> bool:
    """Keep a secret that is yet to be confirmed; False where a confirmed one is in force."""
    cursor = await connection.execute(
        """
        INSERT INTO second_factor (account, sealed, made_at) VALUES (%s, %s, %s)
        ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed, made_at = excluded.made_at, last_step = 0
        WHERE second_factor.confirmed_at IS NULL
        """,
        [account, sealed, now],
    )
    return cursor.rowcount == 1


async def confirm_factor(connection: Connection, account: str, codes: Sequence[bytes], now: datetime) -> None:
    """Put a second factor in force, with the digests of its recovery codes."""
    await connection.execute("UPDATE second_factor SET confirmed_at = %s WHERE account = %s", [now, account])
    await connection.execute("DELETE FROM recovery_code WHERE account = %s", [account])
    await connection.execute(
        "INSERT INTO recovery_code (account, hash) SELECT %s, unnest(%s::bytea[])", [account, list(codes)]
    )


async def use_step(connection: Connection, account: str, step: int) -> bool:
    """Take a time step, each at most once and none before one that was taken; False: too late."""
    cursor = await connection.execute(
        "UPDATE second_factor SET last_step = %s WHERE account = %s AND last_step < %s", [step, account, step]
    )
    return cursor.rowcount == 1


async def use_recovery_code(connection: Connection, account: str, digest: bytes) -> bool:
    """Use a recovery code up; False where there is none of this digest."""
    cursor = await connection.execute(
        "DELETE FROM recovery_code WHERE account = %s AND hash = %s", [account, digest]
    )
    return cursor.rowcount == 1


async def recovery_codes_left(connection: Connection, account: str) -> int:
    """Count an account's unused recovery codes."""
    cursor = await connection.execute("SELECT count(*) FROM recovery_code WHERE account = %s", [account])
    ((count,),) = await cursor.fetchall()
    return int(count)


async def remove_factor(connection: Connection, account: str) -> bool:
    """Forget a second factor; False where there is none."""
    cursor = await connection.execute("DELETE FROM second_factor WHERE account = %s", [account])
    return cursor.rowcount == 1


async def account_of(connection: Connection, issuer: str, subject: str) -> str | None:
    """Return the account that a provider's subject is linked with."""
    cursor = await connection.execute(
        "SELECT account FROM account_identity WHERE issuer = %s AND subject = %s", [issuer, subject]
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def link(connection: Connection, issuer: str, subject: str, account: str, now: datetime) -> bool:
    """Link an account that has no password and no other subject with a subject; False: it may not be."""
    cursor = await connection.execute(
        """
        INSERT INTO account_identity (issuer, subject, account, linked_at)
        SELECT %s, %s, id, %s FROM account WHERE id = %s AND password IS NULL AND disabled_at IS NULL
        ON CONFLICT DO NOTHING
        """,
        [issuer, subject, now, account],
    )
    return cursor.rowcount == 1


async def take_role(connection: Connection, account: str, role: str) -> None:
    """Give an account the role that its provider says it has."""
    await connection.execute(
        "UPDATE account SET role = %s, version = version + 1 WHERE id = %s AND role <> %s",
        [role, account, role],
    )
