"""Commands for accounts and tokens: `python -m api account add`, `python -m api token create` ...

Neighbours: `vigil.store.accounts` keeps what they make; `api.passwords` hashes.  A password is
asked for, or read from standard input (`--password-stdin`); it never stands in an argument,
where other users of the machine could read it.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from api.access import ROBOTS, Role
from api.passwords import LEAST_LENGTH, Passwords, digest, new_secret
from vigil.errors import Stop, Unavailable
from vigil.store import accounts
from vigil.store.accounts import EVERY_ESTATE, NewAccount, Token
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.clock import Clock
    from vigil.settings import ApiSettings
    from vigil.store.pool import Connection, Pool

TOKEN_DAYS: Final = 365


async def run(arguments: Sequence[str], settings: ApiSettings, clock: Clock) -> int:
    """Run one command; returns the process's exit status.

    Raises:
        Stop: What is wrong, in one line.
    """
    chosen = parser().parse_args(arguments)
    try:
        async with open_pool(settings.database_dsn, "api-command", 1) as pool:
            await _COMMANDS[chosen.thing, chosen.verb](pool, chosen, clock)
    except Unavailable as error:
        raise Stop(str(error)) from None
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    top = argparse.ArgumentParser(prog="python -m api", description="Without arguments: serve.")
    things = top.add_subparsers(dest="thing", required=True)
    _account(
        things.add_parser("account", help="people who sign in").add_subparsers(dest="verb", required=True)
    )
    _token(things.add_parser("token", help="robots' tokens").add_subparsers(dest="verb", required=True))
    return top


def _account(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = verbs.add_parser("add", help="add an account, or bring it up to date")
    add.add_argument("id", help="login name")
    add.add_argument("--name", required=True, help="as colleagues know the person")
    add.add_argument("--role", required=True, choices=sorted(set(Role) - ROBOTS))
    add.add_argument(
        "--estate", action="append", default=[], help=f"in their care; {EVERY_ESTATE} is every one"
    )
    add.add_argument("--phone")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    disable = verbs.add_parser("disable", help="shut an account out, its sessions with it")
    disable.add_argument("id")


def _token(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    create = verbs.add_parser("create", help="make a token and print its secret, once")
    create.add_argument("id", help="what transitions name as robot:ID")
    create.add_argument("--role", required=True, choices=sorted(ROBOTS))
    create.add_argument("--estate", action="append", default=[], help=f"{EVERY_ESTATE} is every one")
    create.add_argument("--days", type=int, default=TOKEN_DAYS, help="good for so many days")
    revoke = verbs.add_parser("revoke", help="make a token void")
    revoke.add_argument("id")


async def _add_account(pool: Pool, chosen: argparse.Namespace, _clock: Clock) -> None:
    password = _read_password(from_stdin=chosen.password_stdin)
    new = NewAccount(chosen.id, chosen.name, chosen.role, tuple(chosen.estate), chosen.phone)
    async with pool.connection() as connection:
        await accounts.put_account(connection, new, Passwords().hash(password))
    print(f"{chosen.id} may sign in as {chosen.role} for {', '.join(chosen.estate) or 'no estate'}")  # noqa: T201 - a command's answer


def _read_password(*, from_stdin: bool) -> str:
    password = sys.stdin.readline().rstrip("\n") if from_stdin else getpass.getpass("Password: ")
    if len(password) < LEAST_LENGTH:
        raise Stop(f"a password has at least {LEAST_LENGTH} characters; this one has {len(password)}")
    return password


async def _disable_account(pool: Pool, chosen: argparse.Namespace, clock: Clock) -> None:
    async with pool.transaction() as connection:
        if not await accounts.disable_account(connection, chosen.id, clock()):
            raise Stop(f"there is no account {chosen.id} that could sign in")


async def _create_token(pool: Pool, chosen: argparse.Namespace, clock: Clock) -> None:
    async with pool.connection() as connection:
        secret = await create_token(
            connection, Token(chosen.id, chosen.role, chosen.estate), clock, chosen.days
        )
    print(secret)  # noqa: T201 - a command's answer


async def create_token(connection: Connection, token: Token, clock: Clock, days: int = TOKEN_DAYS) -> str:
    """Make a robot's token; returns its secret, which is kept nowhere."""
    secret, now = new_secret(), clock()
    await accounts.put_token(connection, token, digest(secret), now, now + timedelta(days=days))
    return secret


async def _revoke_token(pool: Pool, chosen: argparse.Namespace, clock: Clock) -> None:
    async with pool.connection() as connection:
        if not await accounts.revoke_token(connection, chosen.id, clock()):
            raise Stop(f"there is no good token {chosen.id}")


_COMMANDS: Final = {
    ("account", "add"): _add_account,
    ("account", "disable"): _disable_account,
    ("token", "create"): _create_token,
    ("token", "revoke"): _revoke_token,
}
