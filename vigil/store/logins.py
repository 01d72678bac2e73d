"""A login for each process: it may take on that process's roles, and by itself may do nothing.

`python -m vigil.store logins FOLDER` makes them after `migrate`, and writes each one's settings into a
folder of its own, which the process reads as `VIGIL_SECRETS` (`vigil.settings`).  What the roles may
is in `vigil.store.rights`.  Called again it gives every login a new password: that is how they are
changed, and processes then want to be started anew.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from vigil.errors import Stop
from vigil.store.pool import ProcessRole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vigil.store.pool import Connection

LOGINS: Final[Mapping[str, tuple[ProcessRole, ...]]] = {
    "api": (ProcessRole.PEOPLE, ProcessRole.API),
    "processors": (ProcessRole.PROCESSORS,),
    "ingest": (ProcessRole.INGEST,),
}
"""Process -> what it works as.  `edge` and `fallback` have no business in the database."""
PREFIX: Final = "vigil_login_"
FILE: Final = "vigil_database_dsn"
_TOO_MUCH: Final = """
    SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = %s
"""
_OTHERS: Final = """
    SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member
    WHERE l.rolname = %s AND r.rolname <> ALL (%s)
"""


async def put(connection: Connection, folder: Path, dsn: str) -> dict[str, Path]:
    """Make the logins, or give those that are there new passwords.

    Args:
        connection: The owner's, in autocommit; it may create roles.
        folder: Takes a folder for each process, for its account's eyes only.
        dsn: Where PostgreSQL is, as the owner knows it.

    Returns:
        Process -> the folder that it reads as `VIGIL_SECRETS`.

    Raises:
        Stop: The owner may not create roles, `migrate` has not run, or a login of that name may
            more than a process should.
    """
    made: dict[str, Path] = {}
    for process, roles in LOGINS.items():
        password = secrets.token_urlsafe(32)
        try:
            async with connection.transaction():
                await _put_one(connection, PREFIX + process, password, roles)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject) as error:
            why = "run `migrate` first, and as an owner with CREATEROLE"
            raise Stop(
                f"the login {PREFIX + process} cannot be made: {why} ({error.diag.message_primary})"
            ) from error
        made[process] = folder / process
        _write(made[process], own_dsn(dsn, PREFIX + process, password))
    return made


async def _put_one(connection: Connection, login: str, password: str, roles: tuple[ProcessRole, ...]) -> None:
    known = await (await connection.execute(_TOO_MUCH, [login])).fetchone()
    if known == (True,):
        raise Stop(f"there is a login {login} that may more than a process should; drop it first")
    # The server, and its log, see what it keeps of the password and not the password.
    kept = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    verb = SQL("CREATE" if known is None else "ALTER")
    make = SQL("{} ROLE {} LOGIN NOINHERIT PASSWORD {}").format(verb, Identifier(login), Literal(kept))
    await connection.execute(make)
    await connection.execute(SQL("; ").join(_grant(connection, role, login) for role in roles))
    for (other,) in await (await connection.execute(_OTHERS, [login, list(roles)])).fetchall():
        await connection.execute(SQL("REVOKE {} FROM {}").format(Identifier(other), Identifier(login)))


def _grant(connection: Connection, role: ProcessRole, login: str) -> Composed:
    """Let a login take a role on; from version 16 on a membership itself says that nothing is inherited."""
    grant = SQL("GRANT {} TO {}").format(Identifier(role), Identifier(login))
    return (
        grant + SQL(" WITH INHERIT FALSE, SET TRUE") if connection.info.server_version >= 160_000 else grant
    )


def own_dsn(dsn: str, login: str, password: str) -> str:
    """Return the same place as another login reaches it."""
    where = urlsplit(dsn)
    host = where.netloc.rpartition("@")[2]
    return where._replace(netloc=f"{quote(login)}:{quote(password)}@{host}").geturl()


def _write(folder: Path, dsn: str) -> None:
    """Write a process's secret; nobody sees it half written, and nobody else may read it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = folder / f".{FILE}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(dsn)
    new.replace(folder / FILE)
