"""Erasing what is known of a resident: the request, the second person, the certificate.

Neighbours: `api.erasure` asks for it and carries it out; `vigil.store.sealed` keeps the key that is
destroyed.  The key is what counts: sealed fields are gone with it in every copy of the database.  What is
not sealed is overwritten or deleted here, table by table (`STEPS`).  What stays names the resident by an
opaque id alone: alerts and how they were answered, consents (that and when they were given), looks and the
audit log (decision 0036).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from vigil.errors import Rejected

if TYPE_CHECKING:
    from datetime import datetime
    from typing import LiteralString

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase, and what became of it.

    Attributes:
        request: Where the resident's own request is kept.
        certificate: What was done, as canonical JSON; None before.
        signature: Over it; None where the platform has no key.
        key: Fingerprint of the key that signed.
    """

    id: int
    resident: str
    request: str
    asked_by: str
    asked_at: datetime
    done_by: str | None
    done_at: datetime | None
    certificate: str | None
    signature: str | None
    key: str | None


STEPS: Final[tuple[tuple[str, LiteralString], ...]] = (
    (
        "resident_key",
        """
        INSERT INTO resident_key (resident, destroyed_at) VALUES (%(resident)s, %(now)s)
        ON CONFLICT (resident) DO UPDATE SET wrapped = NULL, destroyed_at = %(now)s
        """,
    ),
    (
        "resident",
        """
        UPDATE resident SET name = '', phone = NULL, home = NULL, flagged = false, profile = '{}', version = version + 1
        WHERE id = %(resident)s
        """,
    ),
    ("written once", "SELECT erase_written(%(resident)s)"),
    (
        "hand_up",
        """
        UPDATE hand_up SET document = '{}' WHERE alert IN (SELECT id FROM alert WHERE resident = %(resident)s)
        """,
    ),
    (
        "consent",
        """
        UPDATE consent SET guardian = NULL, proof = NULL, until = least(until, greatest(since, %(now)s))
        WHERE resident = %(resident)s
        """,
    ),
    ("assignment to come", "DELETE FROM assignment WHERE resident = %(resident)s AND since >= %(now)s"),
    ("assignment", "UPDATE assignment SET until = %(now)s WHERE resident = %(resident)s AND until > %(now)s"),
    ("evidence_frame", "DELETE FROM evidence_frame WHERE %(resident)s = ANY (residents)"),
    ("sheet_note", "DELETE FROM sheet_note WHERE resident = %(resident)s"),
    (
        "break_glass",
        "UPDATE break_glass SET reason = 'erased with the resident' WHERE resident = %(resident)s",
    ),
    (
        "access_case",
        "UPDATE access_case SET facts = '{}', note = '' WHERE resident = %(resident)s",
    ),
    ("missed", "UPDATE missed SET note = '' WHERE resident = %(resident)s"),
    (
        "task",
        """
        UPDATE task SET note = '' WHERE alert IN (SELECT id FROM alert WHERE resident = %(resident)s)
            OR id IN (SELECT task FROM neighbourhood_report WHERE resident = %(resident)s)
        """,
    ),
    ("neighbourhood_report", "UPDATE neighbourhood_report SET words = '' WHERE resident = %(resident)s"),
    (
        "detector_state",
        """
        DELETE FROM detector_state
        WHERE subject = %(subject)s OR right(subject, length(%(subject)s) + 1) = '/' || %(subject)s
        """,
    ),
    (
        "deadline",
        """
        DELETE FROM deadline
        WHERE subject = %(subject)s OR right(subject, length(%(subject)s) + 1) = '/' || %(subject)s
        """,
    ),
    (
        "account",
        """
        DELETE FROM account WHERE id IN (SELECT account FROM account_resident
                                         WHERE resident = %(resident)s AND relation = 'self')
        """,
    ),
    ("account_resident", "DELETE FROM account_resident WHERE resident = %(resident)s"),
    ("answered", "DELETE FROM answered WHERE strpos(body, %(resident)s) > 0"),
)
"""What is done, in this order: name of the table, statement."""

_COLUMNS: Final = """
    id, resident, request, asked_by, asked_at, done_by, done_at, certificate, signature, key
"""


async def ask(connection: Connection, resident: str, request: str, actor: str, now: datetime) -> None:
    """Write a request down.

    Raises:
        Rejected: `not_allowed`; there is one already.
    """
    try:
        await connection.execute(
            "INSERT INTO erasure (resident, request, asked_by, asked_at) VALUES (%s, %s, %s, %s)",
            [resident, request, actor, now],
        )
    except UniqueViolation:
        why = "this was asked for already; another person carries it out, or withdraws it"
        raise Rejected("not_allowed", why) from None


async def found(connection: Connection, resident: str, *, lock: bool = False) -> Erasure | None:
    """Return the request that stands, done or not; locked until the transaction ends if asked."""
    query = f"SELECT {_COLUMNS} FROM erasure WHERE resident = %s AND withdrawn_at IS NULL"  # noqa: S608 - constants
    async with connection.cursor(row_factory=class_row(Erasure)) as cursor:
        await cursor.execute((query + (" FOR UPDATE" if lock else "")).encode(), [resident])
        return await cursor.fetchone()


async def withdraw(connection: Connection, id_: int, actor: str, now: datetime) -> bool:
    """Take a request back that was not carried out; False where it was."""
    cursor = await connection.execute(
        "UPDATE erasure SET withdrawn_by = %s, withdrawn_at = %s WHERE id = %s AND done_at IS NULL",
        [actor, now, id_],
    )
    return cursor.rowcount == 1


async def erase(connection: Connection, resident: str, now: datetime) -> dict[str, int]:
    """Destroy a resident's key and everything that is not sealed with it; returns rows by table.

    Args:
        connection: In a transaction, in rights that reach every table (`vigil.store.own.act_for_platform`).
        resident: Whose.
        now: Present time.
    """
    facts = {"resident": resident, "subject": f"resident:{resident}", "now": now}
    done: dict[str, int] = {}
    for what, step in STEPS:
        cursor = await connection.execute(step, facts)
        row = await cursor.fetchone() if cursor.description else None
        done[what] = row[0] if row else cursor.rowcount
    return done


async def certify(
    connection: Connection,
    id_: int,
    actor: str,
    now: datetime,
    certificate: str,
    signature: tuple[str, str] | None,
) -> None:
    """Keep what was done, with the signature over it and the fingerprint of its key."""
    signed, key = signature or (None, None)
    await connection.execute(
        """
        UPDATE erasure SET done_by = %s, done_at = %s, certificate = %s, signature = %s, key = %s WHERE id = %s
        """,
        [actor, now, certificate, signed, key, id_],
    )
