"""What `make up` puts into the database before the processes start.

These are the demonstration's rows, its accounts, and the watchdog's canaries with the token of
its robot.  Rows that are there stay as they are, so that the second `make up` finds what people changed.
Passwords and tokens are made up once and kept in the data folder, readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from api.passwords import Passwords, digest, new_secret
from fallback.courier import device_of
from ingest.bridge import partition_of
from vigil.kafka import PARTITIONS
from vigil.store import accounts
from vigil.store.accounts import EVERY_ESTATE, NewAccount, Token
from vigil.store.pool import open_pool
from vigil.store.seed import put_rows
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from deploy.embedded.community import DemoCommunity, Row
    from vigil.store.pool import Connection

CANARIES: Final = 2
"""Nodes of an estate, in partitions of their own; four estates reach every partition twice."""
TOKEN_FOR: Final = timedelta(days=365)
ROBOT: Final = "watchdog"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What people and the robot come in with.

    Attributes:
        password: Of every account of the demonstration.
        token: Of the watchdog's robot.
    """

    password: str
    token: str


def kept_secrets(var: Path) -> Secrets:
    """Return the secrets of this data folder, made up at the first call."""
    return Secrets(_kept(var / "console.password"), _kept(var / "watchdog.token"))


def _kept(file: Path) -> str:
    if not file.exists() or not file.stat().st_size:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_text(new_secret(), encoding="ascii")
    return file.read_text(encoding="ascii")


def canaries(community: str, estates: Sequence[str]) -> list[Address]:
    """Return each estate's canary nodes, named so that each lies in another partition."""
    wanted = itertools.cycle(range(PARTITIONS))
    return [
        Address(community, estate, _in_partition(f"canary-{estate}", next(wanted)))
        for estate in estates
        for _ in range(CANARIES)
    ]


def _in_partition(prefix: str, partition: int) -> str:
    names = (f"{prefix}-{number}" for number in itertools.count(1))
    return next(name for name in names if partition_of(name.encode(), PARTITIONS) == partition)


def canary_rows(addresses: Sequence[Address]) -> dict[str, list[Row]]:
    """Return what the registry says of the canary nodes and their devices."""
    pendants = [
        {"id": device_of(a), "node": a.node, "zone": None, "kind": "pendant", "placement": "waist"}
        for a in addresses
    ]
    hubs = [{"id": a.node, "node": a.node, "zone": None, "kind": "hub", "placement": None} for a in addresses]
    nodes = [{"id": a.node, "estate": a.estate, "synthetic": "canary", "zone": None} for a in addresses]
    return {"node": nodes, "device": [*hubs, *pendants]}


def seed(
    dsn: str, demo: DemoCommunity, addresses: Sequence[Address], secrets: Secrets, now: datetime
) -> None:
    """Put everything in, in one transaction."""
    asyncio.run(_seed(SecretStr(dsn), demo, canary_rows(addresses), secrets, now))


async def _seed(
    dsn: SecretStr,
    demo: DemoCommunity,
    watchdog: Mapping[str, Sequence[Row]],
    secrets: Secrets,
    now: datetime,
) -> None:
    async with open_pool(dsn, "seed", 1) as pool, pool.transaction() as connection:
        await put_rows(connection, demo.tables)
        await put_rows(connection, watchdog)
        await _put_accounts(connection, demo, secrets.password)
        robot = Token(ROBOT, "canary", [EVERY_ESTATE])
        await accounts.put_token(connection, robot, digest(secrets.token), now, now + TOKEN_FOR)


async def _put_accounts(connection: Connection, demo: DemoCommunity, password: str) -> None:
    """Add the accounts that are not there; who changed the password keeps the new one."""
    hashed = Passwords().hash(password)
    for staff in demo.staff:
        if await accounts.find_account(connection, staff.id) is None:
            new = NewAccount(staff.id, staff.name, staff.role, staff.estates, staff.phone)
            await accounts.put_account(connection, new, hashed)
