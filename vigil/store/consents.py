"""The register of consents: what a resident has said to each purpose, from when until when.

Neighbours: `api.consents` takes people's words down; `vigil.store.registry` tells processors of every
change (a trigger on this table), and `agrees` in the database asks the same for frames and families.

Rules
-----
1. A row is one word on one purpose: a yes, or a withdrawal (`granted` false).  The latest word that is
   in force counts; where there is none, that is a no.
2. A new word ends the one before it, so that nothing older comes into force again when it runs out,
   and nothing that was dated ahead comes into force after a withdrawal.
3. Words begin when they are written down, never before: what was not agreed to then stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection


class Purpose(StrEnum):
    """What a resident may agree to; each is asked for by itself."""

    FALLS = "fall_detection"
    CAMERA = "home_camera"
    ROUTINE = "routine_monitoring"
    FRAME = "evidence_frame"
    FAMILY = "family_access"
    RESEARCH = "research"


CLASS_OF: Final = {
    **dict.fromkeys(Purpose, "sensitive"),
    Purpose.FAMILY: "sharing",
}
"""`sensitive`: of health and of the home, which wants a consent of its own (PIPL 28, 29); `sharing`:
handed to somebody else, which does too (PIPL 23)."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word on one purpose.

    Attributes:
        purpose: A `Purpose`, or what an import has brought.
        class_: Of `CLASS_OF`; None before classes were kept.
        given_by: `self`, `guardian`, or what an import has brought.
        guardian: Who gave it in the resident's place.
        proof: Where the proof is kept.
        recorded_by: The actor who wrote it down.
        since: None is always.
        until: None is until it is withdrawn.
    """

    purpose: str
    granted: bool
    class_: str | None
    text_version: str
    given_by: str
    guardian: str | None
    proof: str | None
    recorded_by: str | None
    since: datetime | None
    until: datetime | None


_COLUMNS: Final = """
    purpose, granted, class AS class_, text_version, given_by, guardian, proof, recorded_by,
    nullif(since, '-infinity') AS since, nullif(until, 'infinity') AS until
"""
_IN_FORCE: Final = f"""
    SELECT DISTINCT ON (purpose) {_COLUMNS} FROM consent
    WHERE resident = %(resident)s AND consent.since <= %(now)s AND %(now)s < consent.until
    ORDER BY purpose, consent.since DESC
"""  # noqa: S608 - joined of constants
_HISTORY: Final = f"""
    SELECT {_COLUMNS} FROM consent
    WHERE resident = %(resident)s AND consent.since < consent.until
    ORDER BY consent.since DESC, purpose LIMIT %(limit)s
"""  # noqa: S608 - joined of constants


async def in_force(connection: Connection, resident: str, now: datetime) -> dict[str, Word]:
    """Return a resident's word on each purpose that counts now."""
    async with connection.cursor(row_factory=class_row(Word)) as cursor:
        await cursor.execute(_IN_FORCE, {"resident": resident, "now": now})
        return {word.purpose: word for word in await cursor.fetchall()}


async def history(connection: Connection, resident: str, limit: int) -> list[Word]:
    """Return what a resident has said, the latest word first."""
    async with connection.cursor(row_factory=class_row(Word)) as cursor:
        await cursor.execute(_HISTORY, {"resident": resident, "limit": limit})
        return await cursor.fetchall()


async def record(connection: Connection, resident: str, word: Word, now: datetime) -> None:
    """Write a word down, in force from now on; it ends those before it.

    Args:
        connection: Inside a transaction.
        resident: Whose word.
        word: Its `since` is not looked at.
        now: Present time.
    """
    facts = {name: getattr(word, name) for name in Word.__dataclass_fields__ if name != "since"}
    facts |= {"resident": resident, "now": now}
    # The audit log's trigger reads it: whose act this is.
    await connection.execute("SELECT set_config('vigil.actor', coalesce(%s, ''), true)", [word.recorded_by])
    await connection.execute(
        """
        UPDATE consent SET until = greatest(since, %(now)s)
        WHERE resident = %(resident)s AND purpose = %(purpose)s AND until > %(now)s
        """,
        facts,
    )
    await connection.execute(
        """
        INSERT INTO consent (resident, purpose, granted, class, text_version, given_by, guardian, proof,
                             recorded_by, since, until)
        VALUES (%(resident)s, %(purpose)s, %(granted)s, %(class_)s, %(text_version)s, %(given_by)s,
                %(guardian)s, %(proof)s, %(recorded_by)s, %(now)s, coalesce(%(until)s::timestamptz, 'infinity'))
        ON CONFLICT (resident, purpose, since) DO UPDATE
        SET granted = excluded.granted, class = excluded.class, text_version = excluded.text_version,
            given_by = excluded.given_by, guardian = excluded.guardian, proof = excluded.proof,
            recorded_by = excluded.recorded_by, until = excluded.until
        """,
        facts,
    )
