"""Accounts and contacts as the people who manage them see and change them.

Neighbours: `api.staff` and `api.contacts`; `vigil.store.accounts` has what signing in needs.
Every change names the version it was decided on, and counts one up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier

from vigil.store.accounts import EVERY_ESTATE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Member:
    """An account without its secrets."""

    id: str
    name: str
    role: str
    estates: list[str]
    phone: str | None
    disabled_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A way to reach somebody; `url` is an Apprise address and holds a secret."""

    account: str
    position: int
    channel: str
    url: str
    verified_at: datetime | None
    code_sent_at: datetime | None
    version: int


_MEMBER: Final = SQL(", ").join(map(Identifier, Member.__dataclass_fields__))
_CONTACT: Final = SQL(", ").join(map(Identifier, ContactRow.__dataclass_fields__))
_IN_SCOPE: Final = SQL("(%(scope)s::text[] IS NULL OR estates && %(scope)s OR %(every)s = ANY (estates))")


def _scope(scope: Scope) -> dict[str, object]:
    return {
        "scope": None if scope.estates is None else sorted(scope.estates),
        "every": EVERY_ESTATE,
    }


def covers(scope: Scope, estates: Sequence[str]) -> bool:
    """Whether all of somebody's estates are in a scope: who manages an account has at least its reach."""
    return scope.estates is None or scope.estates >= set(estates)


async def members(
    connection: Connection,
    scope: Scope,
    limit: int,
    after: str = "",
    role: str | None = None,
    words: str = "",
) -> list[Member]:
    """Return the accounts that look after an estate of a scope, by id, those shut out included.

    Args:
        connection: To read with.
        scope: Whose.
        limit: Most accounts.
        after: Id after which they begin.
        role: Only these.
        words: A part of the id or the name.
    """
    query = SQL(
        "SELECT {} FROM account WHERE id > %(after)s AND (%(role)s::text IS NULL OR role = %(role)s) AND {} "
        "AND strpos(lower(id || ' ' || name), lower(%(words)s)) > 0 ORDER BY id LIMIT %(limit)s"
    ).format(_MEMBER, _IN_SCOPE)
    facts = {"after": after, "role": role, "limit": limit, "words": words}
    async with connection.cursor(row_factory=class_row(Member)) as cursor:
        await cursor.execute(query, facts | _scope(scope))
        return await cursor.fetchall()


async def member(connection: Connection, account: str, scope: Scope, *, lock: bool = False) -> Member | None:
    """Return an account of the scope, locked until the transaction ends if asked; or None."""
    query: Composed = SQL("SELECT {} FROM account WHERE id = %(id)s AND {}").format(_MEMBER, _IN_SCOPE)
    async with connection.cursor(row_factory=class_row(Member)) as cursor:
        await cursor.execute(
            query + SQL(" FOR NO KEY UPDATE" if lock else ""), {"id": account, **_scope(scope)}
        )
        return await cursor.fetchone()


async def add_member(connection: Connection, new: Member, password: str | None) -> bool:
    """Add an account; False where the id is taken."""
    cursor = await connection.execute(
        """
        INSERT INTO account (id, name, role, estates, phone, password) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        [new.id, new.name, new.role, new.estates, new.phone, password],
    )
    return cursor.rowcount == 1


async def change_member(connection: Connection, new: Member, password: str | None) -> None:
    """Write an account that is locked; a password hash of None keeps the present one.

    Whoever loses a right loses it at once: open sessions read role and estates anew each time.
    """
    await connection.execute(
        """
        UPDATE account SET name = %s, role = %s, estates = %s, phone = %s, disabled_at = %s,
            password = coalesce(%s, password), version = version + 1 WHERE id = %s
        """,
        [new.name, new.role, new.estates, new.phone, new.disabled_at, password, new.id],
    )
    if new.disabled_at is not None or password is not None:
        await connection.execute("DELETE FROM session WHERE account = %s", [new.id])


async def touch(connection: Connection, account: str) -> int:
    """Give an account that is locked a new version: what belongs to it was changed; returns the version."""
    cursor = await connection.execute(
        "UPDATE account SET version = version + 1 WHERE id = %s RETURNING version", [account]
    )
    ((version,),) = await cursor.fetchall()
    return int(version)


async def contacts(connection: Connection, account: str) -> list[ContactRow]:
    """Return somebody's contacts in their order."""
    query = SQL("SELECT {} FROM contact WHERE account = %s ORDER BY position").format(_CONTACT)
    async with connection.cursor(row_factory=class_row(ContactRow)) as cursor:
        await cursor.execute(query, [account])
        return await cursor.fetchall()


async def contact(connection: Connection, account: str, position: int) -> ContactRow | None:
    """Return one contact, locked until the transaction ends; or None."""
    query = SQL("SELECT {} FROM contact WHERE account = %s AND position = %s FOR NO KEY UPDATE").format(
        _CONTACT
    )
    async with connection.cursor(row_factory=class_row(ContactRow)) as cursor:
        await cursor.execute(query, [account, position])
        return await cursor.fetchone()


async def put_contact(connection: Connection, account: str, position: int, channel: str, url: str) -> None:
    """Add a contact, or replace the one at that position; only a code verifies it (again)."""
    await connection.execute(
        """
        INSERT INTO contact (account, position, channel, url) VALUES (%s, %s, %s, %s)
        ON CONFLICT (account, position) DO UPDATE SET channel = excluded.channel, url = excluded.url,
            verified_at = NULL, code = NULL, code_sent_at = NULL, version = contact.version + 1
        """,
        [account, position, channel, url],
    )


async def remove_contact(connection: Connection, account: str, position: int) -> None:
    """Remove a contact."""
    await connection.execute("DELETE FROM contact WHERE account = %s AND position = %s", [account, position])


async def keep_code(connection: Connection, found: ContactRow, digest: bytes, now: datetime) -> None:
    """Keep the digest of a code that is about to be sent; the one before is void."""
    await connection.execute(
        """
        UPDATE contact SET code = %s, code_sent_at = %s, code_tries = 0 WHERE account = %s AND position = %s
        """,
        [digest, now, found.account, found.position],
    )


async def try_code(
    connection: Connection, found: ContactRow, digest: bytes, tries: int, sent_after: datetime, now: datetime
) -> bool:
    """Count one attempt, and verify the contact if the code is right, recent and not tried too often.

    Args:
        connection: To be committed also when the answer is no: the attempt counts.
        found: The contact.
        digest: Of the code that was said.
        tries: Most attempts.
        sent_after: A code from before is void.
        now: Present time.
    """
    cursor = await connection.execute(
        """
        UPDATE contact SET code_tries = code_tries + 1,
            verified_at = CASE WHEN good THEN %(now)s ELSE verified_at END,
            code = CASE WHEN good THEN NULL ELSE code END,
            version = version + CASE WHEN good THEN 1 ELSE 0 END
        FROM (SELECT account, position, coalesce(
                  code = %(digest)s AND code_sent_at > %(sent_after)s AND code_tries < %(tries)s, false) AS good
              FROM contact WHERE account = %(account)s AND position = %(position)s) checked
        WHERE contact.account = checked.account AND contact.position = checked.position
        RETURNING good
        """,
        {
            "now": now,
            "digest": digest,
            "sent_after": sent_after,
            "tries": tries,
            "account": found.account,
            "position": found.position,
        },
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
