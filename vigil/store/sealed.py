"""Residents' keys as rows, and personal fields on their way in and out of the database.

Neighbours: `vigil.sealing` seals and opens.  `vigil.store.pool` entrusts its vault to every connection, so
that what is written of people is sealed, and a query which selects `personal(...)` gives clear text, where
the process has the master key.  `Sweep` seals what stands in clear: what was there before, and what an
import put in.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg
import structlog
from prometheus_client import Counter
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.json import Jsonb

from vigil.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vigil.store.pool import Connection, Pool

MARK: Final = "\x01"
"""Before what is sealed: no form and no import takes control characters, so nobody can type it."""
SEALED: Final = "sealed"
"""Where JSON keeps its sealed part."""
JSON_FIELDS: Final = frozenset({"profile", "register_change", "hand_up"})
"""Fields that hold JSON; the others hold text."""
OPERATIONAL: Final = ("mobility", "exit_doors", "absences", "visits")
"""Of the profile, in clear: processors decide by it, and have no key.  No names, no words of people."""
HISTORY: Final = ("resident", "helpers", "profile")
"""Things of the register whose history is sealed: they are named by a resident's id."""
EVERY_S: Final = 60.0
PAUSE_S: Final = 0.05
MOST: Final = 100
"""Residents a batch: a transaction of some 20 ms."""
_sealed = Counter("vigil_sealed_total", "Rows of people that stood in clear and were sealed.", ["what"])
_log = structlog.get_logger(__name__)


class Sealer(Protocol):
    """Seals one resident's fields (`vigil.sealing.Sealer`)."""

    @property
    def resident(self) -> str:
        """Whose."""

    @property
    def wrapped(self) -> bytes | None:
        """The resident's key as it is kept; None in clear."""

    def text(self, field: str, value: str | None) -> str | None:
        """Seal a text; nothing stays nothing."""

    def json(
        self, field: str, value: Mapping[str, Any] | None, clear: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Seal an object but for the names that stay in clear."""


class Vault(Protocol):
    """Makes residents' keys, and opens what was sealed with them (`vigil.sealing.Vault`)."""

    @property
    def seals(self) -> bool:
        """Whether there is a master key."""

    def new(self, resident: str) -> Sealer:
        """Make a resident's key up."""

    def sealer(self, resident: str, wrapped: bytes) -> Sealer:
        """Return what seals with a resident's key that is kept."""

    def open(self, resident: str, field: str, wrapped: bytes | None, value: str) -> Any:
        """Open what was read of a field: a text, or an object where the field holds one."""


class _ClearSealer:
    """Leaves everything in clear."""

    wrapped: bytes | None = None

    def __init__(self, resident: str) -> None:
        self.resident = resident

    def text(self, _field: str, value: str | None) -> str | None:
        return value

    def json(
        self, _field: str, value: Mapping[str, Any] | None, _clear: Collection[str] = ()
    ) -> dict[str, Any] | None:
        return None if value is None else dict(value)


class InClear:
    """The vault of a process without a master key: it writes in clear, and opens nothing."""

    seals = False

    def new(self, resident: str) -> Sealer:
        """Return what leaves a resident's fields in clear."""
        return _ClearSealer(resident)

    def sealer(self, resident: str, wrapped: bytes) -> Sealer:
        """Refuse: what has a key is not to be written in clear.

        Raises:
            Rejected: `bad_key`.
        """
        del wrapped
        raise _locked(resident)

    def open(self, resident: str, field: str, wrapped: bytes | None, value: str) -> Any:
        """Return what is in clear.

        Raises:
            Rejected: `bad_key`; it is sealed.
        """
        opened = json.loads(value) if field in JSON_FIELDS else value
        if (SEALED in opened) if isinstance(opened, dict) else opened.startswith(MARK):
            if wrapped is not None:
                raise _locked(resident)
            return "" if isinstance(opened, str) else {k: v for k, v in opened.items() if k != SEALED}
        return opened


def _locked(resident: str) -> Rejected:
    return Rejected("bad_key", f"the data of {resident} are sealed; set VIGIL_MASTER_KEY_FILE")


IN_CLEAR: Final = InClear()


class Entrusted(psycopg.AsyncConnection[Any]):
    """A connection of a pool, with the vault of its process."""

    vault: Vault = IN_CLEAR


def vault_of(connection: Connection) -> Vault:
    """Return the vault that a connection was entrusted with."""
    return connection.vault if isinstance(connection, Entrusted) else IN_CLEAR


async def entrust(connection: Connection, vault: Vault) -> None:
    """Give a connection its vault; what it reads by `personal(...)` is opened from now on."""
    if isinstance(connection, Entrusted):
        connection.vault = vault
    info = await CompositeInfo.fetch(connection, "personal_field")
    if info is not None:  # a database that is not migrated yet has none
        register_composite(info, connection, factory=vault.open)


async def sealer_of(connection: Connection, resident: str) -> Sealer:
    """Return what seals a resident's fields; who has no key yet gets one.

    Args:
        connection: Inside a transaction that sees the resident.
        resident: Who is there.

    Raises:
        Rejected: `erased`; their key was destroyed.
    """
    vault = vault_of(connection)
    wrapped = await _key(connection, resident)
    if wrapped is None and not vault.seals:
        return vault.new(resident)
    if wrapped is None:
        await keep_keys(connection, [vault.new(resident)])
        wrapped = await _key(connection, resident)
    assert wrapped is not None, "the row was made above, or by somebody quicker"  # noqa: S101 - as said
    return vault.sealer(resident, wrapped)


async def _key(connection: Connection, resident: str) -> bytes | None:
    cursor = await connection.execute("SELECT wrapped FROM resident_key WHERE resident = %s", [resident])
    row = await cursor.fetchone()
    if row is not None and row[0] is None:
        raise Rejected("erased", f"the data of {resident} were erased; nothing is written any more")
    return None if row is None else bytes(row[0])


async def keep_keys(connection: Connection, sealers: Sequence[Sealer]) -> None:
    """Keep the keys of residents who are there; one that is there already stays."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO resident_key (resident, wrapped) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [[one.resident, one.wrapped] for one in sealers if one.wrapped is not None],
        )


def seal_row(sealer: Sealer, row: Mapping[str, Any]) -> dict[str, Any]:
    """Seal what is personal in the values of a resident's row."""
    sealed: dict[str, Any] = {name: sealer.text(name, row[name]) for name in ("name", "phone") if name in row}
    if row.get("profile") is not None:
        sealed["profile"] = sealer.json("profile", row["profile"], OPERATIONAL)
    return {**row, **sealed}


class Sweep:
    """Seals what stands in clear, a batch at a time, for as long as its process runs.

    Args:
        pool: Entrusted with the vault, in the rights of the API.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self) -> None:
        """Look for ever; without a master key there is nothing to do."""
        while True:
            more = False
            try:
                more = await self.step()
            except Unavailable as error:
                _log.warning("sealing waits", error=str(error))
            await asyncio.sleep(PAUSE_S if more else EVERY_S)

    async def step(self) -> bool:
        """Seal a batch; return whether there may be more."""
        async with self._pool.transaction() as connection:
            if not vault_of(connection).seals:
                return False
            await connection.execute("SELECT set_config('vigil.actor', 'platform:sealing', true)")
            people = await seal_residents(connection, MOST)
            changes = await seal_changes(connection, MOST)
            documents = await seal_hand_ups(connection, MOST)
        for what, count in (("resident", people), ("register_change", changes), ("hand_up", documents)):
            _sealed.labels(what).inc(count)
        return MOST in (people, changes, documents)


async def seal_residents(connection: Connection, most: int) -> int:
    """Seal residents who stand in clear; returns how many."""
    cursor = await connection.execute(
        """
        SELECT r.id, personal(r.id, 'name', k.wrapped, r.name), personal(r.id, 'phone', k.wrapped, r.phone),
               personal(r.id, 'profile', k.wrapped, r.profile::text)
        FROM resident r LEFT JOIN resident_key k ON k.resident = r.id
        WHERE (r.name <> '' AND NOT starts_with(r.name, E'\\x01') OR NOT starts_with(r.phone, E'\\x01')
               OR r.profile - 'sealed' - %s::text[] <> '{}')
          AND (k.resident IS NULL OR k.wrapped IS NOT NULL)
        LIMIT %s FOR NO KEY UPDATE OF r SKIP LOCKED
        """,
        [list(OPERATIONAL), most],
    )
    rows = await cursor.fetchall()
    for id_, name, phone, profile in rows:
        clear = {"name": name, "phone": phone, "profile": profile}
        sealed = seal_row(await sealer_of(connection, id_), clear)
        await connection.execute(
            "UPDATE resident SET name = %s, phone = %s, profile = %s WHERE id = %s",
            [sealed["name"], sealed["phone"], Jsonb(sealed["profile"]), id_],
        )
    return len(rows)


async def seal_changes(connection: Connection, most: int) -> int:
    """Seal the register's history of residents where it stands in clear; returns how many lines."""
    cursor = await connection.execute(
        """
        SELECT c.id, c.thing_id, personal(c.thing_id, 'register_change', k.wrapped, c.before::text),
               personal(c.thing_id, 'register_change', k.wrapped, c.after::text)
        FROM register_change c
        JOIN resident r ON r.id = c.thing_id LEFT JOIN resident_key k ON k.resident = c.thing_id
        WHERE c.thing = ANY (%s) AND (c.before - 'sealed' <> '{}' OR c.after - 'sealed' <> '{}')
          AND (k.resident IS NULL OR k.wrapped IS NOT NULL)
        LIMIT %s
        """,
        [list(HISTORY), most],
    )
    rows = await cursor.fetchall()
    for id_, resident, *values in rows:
        sealer = await sealer_of(connection, resident)
        sealed = [sealer.json("register_change", value) for value in values]
        await connection.execute(
            "SELECT reseal_change(%s, %s, %s)",
            [id_, *(None if one is None else Jsonb(one) for one in sealed)],
        )
    return len(rows)


async def seal_hand_ups(connection: Connection, most: int) -> int:
    """Seal the documents of what was handed up where they stand in clear; returns how many."""
    cursor = await connection.execute(
        """
        SELECT h.id, r.id, personal(r.id, 'hand_up', k.wrapped, h.document::text)
        FROM hand_up h JOIN alert a ON a.id = h.alert JOIN resident r ON r.id = a.resident
        LEFT JOIN resident_key k ON k.resident = r.id
        WHERE h.document - 'sealed' <> '{}' AND (k.resident IS NULL OR k.wrapped IS NOT NULL)
        LIMIT %s FOR NO KEY UPDATE OF h SKIP LOCKED
        """,
        [most],
    )
    rows = await cursor.fetchall()
    for id_, resident, document in rows:
        sealed = (await sealer_of(connection, resident)).json("hand_up", document)
        await connection.execute("UPDATE hand_up SET document = %s WHERE id = %s", [Jsonb(sealed), id_])
    return len(rows)
