"""Commands for who sets a community up: its table, people's contacts, a test alert.

Neighbours: `api.commands` names them; `api.community` checks the table, `api.contacts` has the
same proof of a contact over HTTP.  Addresses hold secrets, and are read from standard input.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from api import community
from api.community import About, Checked
from api.contacts import new_code, say_code
from api.escalation.channels import is_address
from api.escalation.messages import verification
from api.escalation.policies import Channel
from vigil.alerts import Priority
from vigil.errors import Rejected, Stop, Unavailable
from vigil.store import alerts, drills, staff
from vigil.store.board import Scope
from vigil.store.detections import Detection
from vigil.store.drills import DrillRow
from vigil.store.seed import put_rows

if TYPE_CHECKING:
    import argparse

    from api.escalation.channels import Sender
    from vigil.clock import Clock
    from vigil.store.pool import Connection, Pool
    from vigil.store.staff import ContactRow

EVERYWHERE: Final = Scope(None)
TEST_FOR: Final = timedelta(minutes=15)
"""How long a test alert pages: longer than any policy takes to reach the last person."""


def describe(things: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    verbs = things.add_parser("community", help="a community's table").add_subparsers(
        dest="verb", required=True
    )
    load = verbs.add_parser("import", help="put residents in from CSV or Excel")
    load.add_argument("file", type=Path, help=f"columns: {', '.join(community.HEADINGS)}")
    load.add_argument("--community", required=True, help="its id")
    load.add_argument("--name", help="its name; its id where left out")
    load.add_argument("--time-zone", default="Asia/Shanghai")
    load.add_argument("--dry-run", action="store_true", help="only say what is wrong, row by row")
    verbs = things.add_parser("channels", help="how people are reached").add_subparsers(
        dest="verb", required=True
    )
    listed = verbs.add_parser("list", help="somebody's contacts, and until when they count for duty")
    listed.add_argument("account")
    add = verbs.add_parser("add", help="add or replace a contact; its address is read from standard input")
    add.add_argument("account")
    add.add_argument("position", type=int, choices=range(10))
    add.add_argument("--channel", choices=[Channel.MESSAGE, Channel.VOICE], default=Channel.MESSAGE)
    verify = verbs.add_parser("verify", help="send a code through a contact, and ask for it")
    verify.add_argument("account")
    verify.add_argument("position", type=int, choices=range(10))
    verbs = things.add_parser("alerts", help="try the way to people").add_subparsers(
        dest="verb", required=True
    )
    test = verbs.add_parser(
        "test", help="raise an alert that is marked as a drill, and pages like a real one"
    )
    test.add_argument("estate")
    test.add_argument("--kind", default="fall")
    test.add_argument("--priority", choices=list(Priority), default=Priority.CRITICAL)


def say(line: str) -> None:
    """Answer whoever typed the command."""
    print(line)  # noqa: T201 - a command's answer


def check_table(chosen: argparse.Namespace) -> Checked | None:
    """Read and check a community's table, without the database; None after a dry run.

    Raises:
        Stop: It cannot be read, or rows are bad; each was named.
    """
    about = About(chosen.community, chosen.name or chosen.community, chosen.time_zone)
    try:
        checked = community.check(community.read(chosen.file), about)
    except (Rejected, OSError) as error:
        raise Stop(f"{chosen.file}: {error}") from None
    for fault in checked.faults:
        say(f"{chosen.file.name}: {fault}")
    if checked.faults:
        raise Stop(f"{len(checked.faults)} faults; nothing was imported")
    if chosen.dry_run:
        say(f"{checked}: nothing is wrong, and nothing was imported")
        return None
    return checked


async def import_community(pool: Pool, chosen: argparse.Namespace, _clock: Clock, _sender: Sender) -> None:
    """Put a table that was checked in, all or nothing."""
    async with pool.transaction() as connection:
        await put_rows(connection, chosen.table.tables)
    say(f"{chosen.table} are in; who was there already stays as they were")


async def list_channels(pool: Pool, chosen: argparse.Namespace, _clock: Clock, _sender: Sender) -> None:
    """Say how somebody is reached."""
    async with pool.connection() as connection:
        await _member(connection, chosen.account)
        for found in await staff.contacts(connection, chosen.account):
            when = f"verified {found.verified_at:%Y-%m-%d %H:%M} UTC" if found.verified_at else "not verified"
            say(f"{found.position} {found.channel} {found.url.partition(':')[0]} {when}")


async def add_channel(pool: Pool, chosen: argparse.Namespace, _clock: Clock, _sender: Sender) -> None:
    """Add a contact.

    Raises:
        Stop: No such account, or no address.
    """
    url = sys.stdin.readline().strip()
    async with pool.transaction() as connection:
        await _member(connection, chosen.account)
        if not is_address(url):
            raise Stop("this is no address that notices could be sent to (see Apprise's documentation)")
        await staff.put_contact(connection, chosen.account, chosen.position, chosen.channel, url)
    say(f"added; it counts for duty after: channels verify {chosen.account} {chosen.position}")


async def verify_channel(pool: Pool, chosen: argparse.Namespace, clock: Clock, sender: Sender) -> None:
    """Send a code through a contact, and read it from standard input.

    Raises:
        Stop: No such contact, it fails, or the code is wrong.
    """
    async with pool.transaction() as connection:
        found = await _contact(connection, chosen)
        code = await new_code(connection, found, clock())
    try:
        await sender.send(found.url, verification(code))
    except Unavailable as error:
        raise Stop(f"the code could not be sent: {error}") from None
    say("a code was sent; type it:")
    said = sys.stdin.readline().strip()
    async with pool.transaction() as connection:
        good = await say_code(connection, found, said, clock())
    if not good:
        raise Stop("that is not the code that was sent")
    say("verified; good for 30 days")


async def _member(connection: Connection, account: str) -> None:
    if await staff.member(connection, account, EVERYWHERE) is None:
        raise Stop(f"there is no account {account}")


async def _contact(connection: Connection, chosen: argparse.Namespace) -> ContactRow:
    found = await staff.contact(connection, chosen.account, chosen.position)
    if found is None:
        raise Stop(f"{chosen.account} has no contact {chosen.position}")
    return found


async def raise_drill(pool: Pool, chosen: argparse.Namespace, clock: Clock, _sender: Sender) -> None:
    """Raise a drill's alert, and let it page for `TEST_FOR`, so that everybody sees whether they are told.

    Raises:
        Stop: No such estate.
    """
    now, id_ = clock(), uuid4()
    summary = {"en": "A test of the way to people; nobody is in need", "zh": "告警通道测试，无人需要救助"}
    async with pool.transaction() as connection:
        cursor = await connection.execute("SELECT FROM estate WHERE id = %s", [chosen.estate])
        if await cursor.fetchone() is None:
            raise Stop(f"there is no estate {chosen.estate}")
        detection = Detection(
            id=id_,
            event=id_,
            time=now,
            kind=chosen.kind,
            subject=f"drill:{chosen.estate}",
            resident=None,
            zone=None,
            estate=chosen.estate,
            device="command",
            score=1.0,
            model="command",
            model_version="1",
            explanation=summary,
            synthetic="drill",
            made_at=now,
        )
        test = DrillRow(
            id=f"test-{id_}",
            estate=chosen.estate,
            kind="test",
            scenario=summary["en"],
            starts_at=now,
            ends_at=now + TEST_FOR,
            ended_at=None,
            made_by="person:command",
            made_at=now,
        )
        await drills.put(connection, test)
        raised = await alerts.raise_found(connection, detection, Priority(chosen.priority), now)
    minutes = TEST_FOR / timedelta(minutes=1)
    say(f"raised as a drill: alert {raised}; it pages for {minutes:.0f} min, or until somebody takes it")
