"""Accounts, sessions and robots' tokens as rows.

Neighbours: `api.auth` decides who is who and hashes passwords, `api.commands` and the demo's
seeding add accounts.  Session and token secrets reach this module as SHA-256 digests only:
they are random and long, so that a fast hash is enough, and a copy of the table opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

EVERY_ESTATE: Final = "*"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be added or brought up to date.

    Attributes:
        id: Login name; also what transitions name as `person:{id}`.
        name: As colleagues know the person.
        role: A value of `api.access.Role`.
        estates: Ids of estates in the person's care, or `EVERY_ESTATE`; empty sees none.
        phone: Where notices reach the person.
    """

    id: str
    name: str
    role: str
    estates: tuple[str, ...] = ()
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands; `password` is an argon2 hash, None where none is set."""

    id: str
    name: str
    role: str
    password: str | None
    estates: list[str]
    failures: int
    locked_until: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good now, with the account it belongs to."""

    account: str
    name: str
    role: str
    estates: list[str]
    csrf: str


@dataclass(frozen=True, slots=True)
class Token:
    """A robot's token that is good now."""

    id: str
    role: str
    estates: list[str]


async def put_account(connection: Connection, new: NewAccount, password: str | None) -> None:
    """Add an account, or bring it up to date; a password hash of None keeps the present one."""
    await connection.execute(
        """
        INSERT INTO account (id, name, role, password, estates, phone)
        VALUES (%(id)s, %(name)s, %(role)s, %(password)s, %(estates)s, %(phone)s)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role,
            password = coalesce(excluded.password, account.password), estates = excluded.estates,
            phone = coalesce(excluded.phone, account.phone), failures = 0, locked_until = NULL
        """,
        {
            "id": new.id,
            "name": new.name,
            "role": new.role,
            "password": password,
            "estates": list(new.estates),
            "phone": new.phone,
        },
    )


async def disable_account(connection: Connection, account: str, now: datetime) -> bool:
    """Shut an account out, its open sessions with it; False where there is none."""
    cursor = await connection.execute(
        "UPDATE account SET disabled_at = %s WHERE id = %s AND disabled_at IS NULL", [now, account]
    )
    await connection.execute("DELETE FROM session WHERE account = %s", [account])
    return cursor.rowcount == 1


async def find_account(connection: Connection, account: str) -> Account | None:
    """Return an account, or None."""
    async with connection.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(
            """
            SELECT id, name, role, password, estates, failures, locked_until, disabled_at
            FROM account WHERE id = %s
            """,
            [account],
        )
        return await cursor.fetchone()


async def count_failure(connection: Connection, account: str) -> int:
    """Count one wrong password; returns how many there were in a row."""
    cursor = await connection.execute(
        "UPDATE account SET failures = failures + 1 WHERE id = %s RETURNING failures", [account]
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def lock_account(connection: Connection, account: str, until: datetime) -> None:
    """Refuse the account's passwords until then."""
    await connection.execute("UPDATE account SET locked_until = %s WHERE id = %s", [until, account])


async def start_session(
    connection: Connection, account: str, digest: bytes, csrf: str, now: datetime, expires: datetime
) -> None:
    """Keep a new session, forget the failures before it, and sweep what has expired."""
    await connection.execute(
        "UPDATE account SET failures = 0, locked_until = NULL WHERE id = %s AND failures > 0", [account]
    )
    await connection.execute("DELETE FROM session WHERE expires_at <= %s", [now])
    await connection.execute(
        "INSERT INTO session (hash, account, csrf, created_at, expires_at) VALUES (%s, %s, %s, %s, %s)",
        [digest, account, csrf, now, expires],
    )


async def find_session(
    connection: Connection, digest: bytes, now: datetime, idle_since: datetime
) -> Session | None:
    """Return the session of this secret if it is good: not over, in use, and its account not disabled.

    Its use is noted, to the minute.

    Args:
        connection: Any.
        digest: Of the secret.
        now: Present time.
        idle_since: A session that was not used since then is over.
    """
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(
            """
            WITH noted AS (
                UPDATE session SET seen_at = %(now)s
                WHERE hash = %(hash)s AND expires_at > %(now)s
                  AND coalesce(seen_at, created_at) BETWEEN %(idle_since)s AND %(now)s - interval '1 minute')
            SELECT a.id AS account, a.name, a.role, a.estates, s.csrf
            FROM session s JOIN account a ON a.id = s.account
            WHERE s.hash = %(hash)s AND s.expires_at > %(now)s AND a.disabled_at IS NULL
              AND coalesce(s.seen_at, s.created_at) > %(idle_since)s
            """,
            {"hash": digest, "now": now, "idle_since": idle_since},
        )
        return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class Place:
    """One of somebody's sessions; `current` is the one that asks."""

    began_at: datetime
    seen_at: datetime
    current: bool


async def sessions_of(connection: Connection, account: str, current: bytes, now: datetime) -> list[Place]:
    """Return somebody's sessions, the one used last first."""
    async with connection.cursor(row_factory=class_row(Place)) as cursor:
        await cursor.execute(
            """
            SELECT created_at AS began_at, coalesce(seen_at, created_at) AS seen_at, hash = %s AS current
            FROM session WHERE account = %s AND expires_at > %s ORDER BY seen_at DESC
            """,
            [current, account, now],
        )
        return await cursor.fetchall()


async def end_sessions(connection: Connection, account: str, but: bytes = b"") -> None:
    """Forget all of somebody's sessions, except one where that is named."""
    await connection.execute("DELETE FROM session WHERE account = %s AND hash <> %s", [account, but])


async def end_session(connection: Connection, digest: bytes) -> None:
    """Forget a session."""
    await connection.execute("DELETE FROM session WHERE hash = %s", [digest])


async def put_token(
    connection: Connection, token: Token, digest: bytes, now: datetime, expires: datetime
) -> None:
    """Keep a robot's token; one of the same id is replaced, and its old secret is void."""
    await connection.execute(
        """
        INSERT INTO api_token (id, hash, role, estates, created_at, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, role = excluded.role, estates = excluded.estates,
            created_at = excluded.created_at, expires_at = excluded.expires_at, revoked_at = NULL
        """,
        [token.id, digest, token.role, token.estates, now, expires],
    )


async def find_token(connection: Connection, digest: bytes, now: datetime) -> Token | None:
    """Return the token of this secret if it is good: neither expired nor revoked."""
    async with connection.cursor(row_factory=class_row(Token)) as cursor:
        await cursor.execute(
            """
            SELECT id, role, estates FROM api_token
            WHERE hash = %s AND expires_at > %s AND revoked_at IS NULL
            """,
            [digest, now],
        )
        return await cursor.fetchone()


async def revoke_token(connection: Connection, token: str, now: datetime) -> bool:
    """Make a token void; False where there is no good one of this id."""
    cursor = await connection.execute(
        "UPDATE api_token SET revoked_at = %s WHERE id = %s AND revoked_at IS NULL", [now, token]
    )
    return cursor.rowcount == 1


async def note_access(
    connection: Connection, resident: str, actor: str, purpose: str, what: str, now: datetime
) -> None:
    """Write down that somebody read what concerns a resident."""
    await connection.execute(
        "INSERT INTO access_log (resident, actor, purpose, what, at) VALUES (%s, %s, %s, %s, %s)",
        [resident, actor, purpose, what, now],
    )


async def note_accesses(
    connection: Connection, residents: list[str], actor: str, purpose: str, what: str, now: datetime
) -> None:
    """Write down that somebody read what concerns several residents."""
    await connection.execute(
        """
        INSERT INTO access_log (resident, actor, purpose, what, at)
        SELECT resident, %s, %s, %s, %s FROM unnest(%s::text[]) AS t(resident)
        """,
        [actor, purpose, what, now, residents],
    )
