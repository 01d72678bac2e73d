"""Somebody outside who remembers what the database has confirmed: acts of people and signatures.

The acts are looks at a resident's data, each committed by itself: they come from no Kafka and
from no box, so whatever of them a restoration has not is lost.  The signatures stand for those
that the watchdog keeps, taken more often than the platform's own every 5 minutes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psycopg

from vigil.audit.__main__ import verify
from vigil.audit.chain import sign
from vigil.clock import utc_now
from vigil.store import audit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from vigil.audit.chain import Checkpoint, Finding

EVERY_S: Final = 0.05
SIGN_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Witness:
    """Acts and signatures, in the order in which they were confirmed.

    Attributes:
        acts: Id and moment (monotonic s) of each confirmed act.
        signed: Signatures, each about entries that were committed.
    """

    dsn: str
    resident: str
    key: Ed25519PrivateKey
    acts: list[tuple[int, float]] = field(default_factory=list)
    signed: list[Checkpoint] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to act."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Act no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                asyncio.run(self._act())
            except psycopg.Error:  # the database is away; go on when it is back
                self._ended.wait(0.2)

    async def _act(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, connect_timeout=2
        ) as connection:
            sign_at = 0.0
            while not self._ended.is_set():
                cursor = await connection.execute(
                    "INSERT INTO access_log (resident, actor, purpose, what, at)"
                    " VALUES (%s, 'person:drill', 'care', 'page', %s) RETURNING id",
                    [self.resident, utc_now()],
                )
                ((number,),) = await cursor.fetchall()
                self.acts.append((number, time.monotonic()))
                if time.monotonic() > sign_at:
                    self.signed.append(sign(await audit.head(connection), utc_now(), self.key))
                    sign_at = time.monotonic() + SIGN_EVERY_S
                await asyncio.sleep(EVERY_S)

    def lost(self) -> list[tuple[int, float]]:
        """Return the confirmed acts that the database does not have (any longer)."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            there = {number for (number,) in connection.execute("SELECT id FROM access_log").fetchall()}
        return [act for act in self.acts if act[0] not in there]

    def findings(self) -> list[Finding]:
        """Verify the audit log against the signatures."""
        return asyncio.run(self._verify())

    async def _verify(self) -> list[Finding]:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            _, found = await verify(connection, self.key.public_key(), self.signed)
        return found

    def settle(self, lost: list[tuple[int, float]]) -> None:
        """Put aside what a restoration is known to have lost, as whoever restores notes it down."""
        gone = set(lost)
        self.acts = [act for act in self.acts if act not in gone]
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute("SELECT coalesce(max(seq), 0) FROM audit_log").fetchone()
        head = row[0] if row else 0
        self.signed = [checkpoint for checkpoint in self.signed if checkpoint.seq <= head]
