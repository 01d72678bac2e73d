"""What `make up` puts into the database before the processes start.

These are the demonstration's rows, its accounts with a roster for the days to come, and the
watchdog's canaries with the token of its robot.  Rows that are there stay as they are, so that the second `make up` finds what people changed.
Passwords and tokens are made up once and kept in the data folder, readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from api.escalation import webpush
from api.escalation.channels import MAILBOX
from api.escalation.policies import Channel
from api.passwords import Passwords, digest, new_secret
from deploy.embedded.community import COMMUNITY, DUTY, NIGHT_CREW, ZONE
from fallback.courier import device_of
from ingest.bridge import partition_of
from processors.loading import packaged_versions
from vigil.kafka import PARTITIONS
from vigil.roster import read_private_key, write_public_key
from vigil.sealing import new_master
from vigil.store import accounts, escalation, tasks
from vigil.store.accounts import EVERY_ESTATE, NewAccount, Token
from vigil.store.pool import open_pool
from vigil.store.sealed import IN_CLEAR
from vigil.store.seed import put_rows
from vigil.topics import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deploy.embedded.community import DemoCommunity, Row, Staff
    from vigil.store.pool import Connection
    from vigil.store.sealed import Vault

CANARIES: Final = 2
"""Nodes of an estate, in partitions of their own; four estates reach every partition twice."""
TOKEN_FOR: Final = timedelta(days=365)
ROBOT: Final = "watchdog"
ROSTER_DAYS: Final = 15
"""Days of shifts after the day before the start: while it runs for a week, the next 7 days have no gap."""
MORNING: Final = time(8)
SHIFT: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What people and the watchdog come in with.

    Attributes:
        password: Of every account of the demonstration.
        token: Of the watchdog's robot officer.
        roster_token: Of the watchdog itself, for the roster and for handing alerts over.
    """

    password: str
    token: str
    roster_token: str


@dataclass(frozen=True, slots=True)
class RosterKey:
    """The key that the platform signs the roster with.

    Attributes:
        file: Its private half, which the API alone reads.
        public: Its public half, which the watchdog trusts.
    """

    file: Path
    public: str


def kept_secrets(var: Path) -> Secrets:
    """Return the secrets of this data folder, made up at the first call."""
    tokens = (_kept(var / name, new_secret) for name in ("watchdog.token", "roster.token"))
    return Secrets(_kept(var / "console.password", _new_password), *tokens)


def kept_api_secret(var: Path) -> str:
    """Return what this data folder's console signs and seals with, made up at the first call."""
    return _kept(var / "api.secret", new_secret)


def kept_master_key(var: Path) -> Path:
    """Return the file with the key that residents' keys are wrapped by, made up at the first call."""
    file = var / "master.key"
    _kept(file, new_master)
    return file


def kept_roster_key(var: Path) -> RosterKey:
    """Return the key of this data folder's roster, made up at the first call."""
    file = var / "roster.key"
    _kept(file, _new_key)
    return RosterKey(file, write_public_key(read_private_key(file).public_key()))


def kept_push_key(var: Path) -> Path:
    """Return the file of the key that this data folder's console sends Web Push with, made up at the first call."""
    file = var / "push.pem"
    _kept(file, webpush.new_key)
    return file


def _kept(file: Path, make: Callable[[], str]) -> str:
    if not file.exists() or not file.stat().st_size:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_text(make(), encoding="ascii")
    return file.read_text(encoding="ascii")


def _new_password() -> str:
    """Make up 120 bits in 20 characters: it opens the packs as well, and some readers take 32 at most."""
    return token_urlsafe(15)


def _new_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


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


ACCEPTED_AT: Final = datetime(2026, 11, 24, tzinfo=UTC)
ACCEPTED_FOR: Final = {
    "falls-waist": "SisFall by subject: F1 99.5, sensitivity 99.4, 7 false in 14.5 h (docs/models/wearable.md)",
    "falls-chest": "the waist's trees on the same trunk; never measured on a chest (docs/models/wearable.md)",
    "falls-wrist": "WEDA by subject: F1 94.8, 13 false in 2.25 h (docs/models/wearable.md)",
    "falls-pose": "UP-Fall, trial 2: 100 fused, no false one, one subject (docs/models/camera.md)",
    "routines": "seven homes: 0.05 to 0.2 false a day (docs/models/routines.md)",
}
"""Why what is packaged may alert in the demonstration: it has been measured, and so well."""


def detector_rows(community: str) -> dict[str, list[Row]]:
    """Let the packaged detectors alert in a community, in the versions that were measured."""
    return {
        "detector_mode": [
            {
                "detector": detector,
                "version": version,
                "community": community,
                "mode": "alert",
                "actor": "person:demo",
                "reason": ACCEPTED_FOR[detector],
                "at": ACCEPTED_AT,
            }
            for detector, version in packaged_versions().items()
        ]
    }


def seed(
    dsn: str,
    demo: DemoCommunity,
    addresses: Sequence[Address],
    secrets: Secrets,
    now: datetime,
    vault: Vault = IN_CLEAR,
) -> None:
    """Put everything in, in one transaction."""
    asyncio.run(_seed(SecretStr(dsn), demo, canary_rows(addresses), secrets, now, vault))


async def _seed(
    dsn: SecretStr,
    demo: DemoCommunity,
    watchdog: Mapping[str, Sequence[Row]],
    secrets: Secrets,
    now: datetime,
    vault: Vault,
) -> None:
    async with open_pool(dsn, "seed", 1, vault=vault) as pool, pool.transaction() as connection:
        await put_rows(connection, demo.tables)
        await put_rows(connection, watchdog)
        await put_rows(connection, detector_rows(COMMUNITY))
        await _put_accounts(connection, demo, secrets.password)
        await _put_roster(connection, demo.staff, now)
        await _put_tokens(connection, secrets, now)


async def _put_tokens(connection: Connection, secrets: Secrets, now: datetime) -> None:
    """Let the watchdog in: its robot officer, and itself for the roster."""
    for name, role, secret in (
        (ROBOT, "canary", secrets.token),
        (f"{ROBOT}-roster", "watchdog", secrets.roster_token),
    ):
        token = Token(name, role, [EVERY_ESTATE])
        await accounts.put_token(connection, token, digest(secret), now, now + TOKEN_FOR)


async def _put_accounts(connection: Connection, demo: DemoCommunity, password: str) -> None:
    """Add the accounts that are not there; who changed the password keeps the new one."""
    hashed = Passwords().hash(password)
    for staff in demo.staff:
        if await accounts.find_account(connection, staff.id) is None:
            new = NewAccount(staff.id, staff.name, staff.role, staff.estates, staff.phone)
            await accounts.put_account(connection, new, hashed)
            if staff.role == "grid_worker":
                await tasks.put_beats(connection, staff.id, [(estate, "") for estate in staff.estates])


async def _put_roster(connection: Connection, staff: Sequence[Staff], now: datetime) -> None:
    """Give everybody who may be told two contacts in the mailbox, verified now, and who has a duty shifts.

    The mailbox is on this machine, so that it is known to work; real contacts are verified by a code.
    """
    on_duty = [person for person in staff if person.role in DUTY]
    for person in (*on_duty, *(person for person in staff if person.role == "community_manager")):
        for position, channel in enumerate((Channel.MESSAGE, Channel.VOICE)):
            url = f"{MAILBOX}{person.id}/{channel}"
            await escalation.put_contact(connection, person.id, position, channel, url, now)
    known = {(account, starts_at) for account, _, starts_at, _ in await escalation.shifts(connection, now)}
    for person in on_duty:
        for starts_at in _beginnings(person, now):
            if starts_at + SHIFT > now and (person.id, starts_at) not in known:
                duty = DUTY[person.role]
                await escalation.add_shift(connection, person.id, duty, starts_at, starts_at + SHIFT)


def _beginnings(person: Staff, now: datetime) -> list[datetime]:
    """Return when a person's shifts begin, from yesterday on, in the community's time zone."""
    yesterday = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
    morning = datetime.combine(yesterday, MORNING, ZoneInfo(ZONE))
    first = morning + SHIFT if person.id in NIGHT_CREW else morning
    return [first + timedelta(days=day) for day in range(ROSTER_DAYS + 1)]
