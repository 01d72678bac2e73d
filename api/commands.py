"""Commands: `python -m api accounts add`, `token create`, `community import`, `channels verify` ...

Neighbours: `api.operations` has those for who sets a community up; `vigil.store.accounts` keeps
accounts and tokens, `api.passwords` hashes.  A password is
asked for, or read from standard input (`--password-stdin`); it never stands in an argument,
where other users of the machine could read it.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from api import operations
from api.access import ROBOTS, Role
from api.escalation.channels import AppriseSender, Mailbox, Routes
from api.passwords import LEAST_LENGTH, Passwords, digest, new_secret
from api.problems import Denied
from api.vault import open_vault
from vigil.errors import Rejected, Stop, Unavailable
from vigil.store import accounts, staff
from vigil.store.accounts import EVERY_ESTATE, NewAccount, Token
from vigil.store.pool import ProcessRole, open_pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from api.escalation.channels import Sender
    from vigil.clock import Clock
    from vigil.settings import ApiSettings
    from vigil.store.pool import Connection, Pool

TOKEN_DAYS: Final = 365


async def run(
    arguments: Sequence[str], settings: ApiSettings, clock: Clock, sender: Sender | None = None
) -> int:
    """Run one command; returns the process's exit status.

    Args:
        arguments: What was typed after the program's name.
        settings: Of the process.
        clock: Present time.
        sender: The ways to people; those of the settings, where left out.

    Raises:
        Stop: What is wrong, in one line.
    """
    chosen = parser().parse_args(arguments)
    if chosen.thing == "community":
        chosen.table = operations.check_table(chosen)
        if chosen.table is None:
            return 0
    try:
        async with _pool(settings) as pool:
            routes = Routes(Mailbox(settings.api_mailbox), AppriseSender())
            await _COMMANDS[chosen.thing.rstrip("s"), chosen.verb](pool, chosen, clock, sender or routes)
    except (Unavailable, Rejected, Denied) as error:
        raise Stop(str(error)) from None
    return 0


def _pool(settings: ApiSettings) -> AbstractAsyncContextManager[Pool]:
    dsn, vault = settings.database_dsn, open_vault(settings)
    return open_pool(dsn, "api-command", 1, role=ProcessRole.API, vault=vault)


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    top = argparse.ArgumentParser(prog="python -m api", description="Without arguments: serve.")
    things = top.add_subparsers(dest="thing", required=True)
    people = things.add_parser("accounts", aliases=["account"], help="people who sign in")
    _account(people.add_subparsers(dest="verb", required=True))
    robots = things.add_parser("tokens", aliases=["token"], help="robots' tokens")
    _token(robots.add_subparsers(dest="verb", required=True))
    operations.describe(things)
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
    verbs.add_parser("list", help="who there is, as what, for which estates")
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


async def _add_account(pool: Pool, chosen: argparse.Namespace, _clock: Clock, _sender: Sender) -> None:
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


async def _disable_account(pool: Pool, chosen: argparse.Namespace, clock: Clock, _sender: Sender) -> None:
    async with pool.transaction() as connection:
        if not await accounts.disable_account(connection, chosen.id, clock()):
            raise Stop(f"there is no account {chosen.id} that could sign in")


async def _create_token(pool: Pool, chosen: argparse.Namespace, clock: Clock, _sender: Sender) -> None:
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


async def _revoke_token(pool: Pool, chosen: argparse.Namespace, clock: Clock, _sender: Sender) -> None:
    async with pool.connection() as connection:
        if not await accounts.revoke_token(connection, chosen.id, clock()):
            raise Stop(f"there is no good token {chosen.id}")


async def _list_accounts(pool: Pool, _chosen: argparse.Namespace, _clock: Clock, _sender: Sender) -> None:
    async with pool.connection() as connection:
        found = await staff.members(connection, operations.EVERYWHERE, limit=10_000)
    for one in found:
        shut_out = " (shut out)" if one.disabled_at else ""
        operations.say(f"{one.id} {one.role} {','.join(one.estates) or '-'} {one.name}{shut_out}")


_COMMANDS: Final = {
    ("account", "add"): _add_account,
    ("account", "list"): _list_accounts,
    ("account", "disable"): _disable_account,
    ("token", "create"): _create_token,
    ("token", "revoke"): _revoke_token,
    ("community", "import"): operations.import_community,
    ("channel", "list"): operations.list_channels,
    ("channel", "add"): operations.add_channel,
    ("channel", "verify"): operations.verify_channel,
    ("alert", "test"): operations.raise_drill,
}
