"""Detections, what detectors remember, and the times at which they want to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from vigil.store.arrays import columns, encoded, names, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector found in an event; `explanation` says why, by language.

    Attributes:
        shadow: By a version that may not alert there (`vigil.modes`).
    """

    id: UUID
    event: UUID
    time: datetime
    kind: str
    subject: str
    resident: str | None
    zone: str | None
    estate: str
    device: str
    score: float
    model: str
    model_version: str
    explanation: dict[str, str]
    synthetic: str | None
    made_at: datetime
    shadow: bool = False


_TYPES: Final = {
    "id": "uuid",
    "event": "uuid",
    "time": "timestamptz",
    "kind": "text",
    "subject": "text",
    "resident": "text",
    "zone": "text",
    "estate": "text",
    "device": "text",
    "score": "float8",
    "model": "text",
    "model_version": "text",
    "explanation": "text",
    "synthetic": "text",
    "made_at": "timestamptz",
    "shadow": "bool",
}
"""Of every column as it is sent; `explanation` goes as JSON."""
_INSERT: Final = (
    SQL("INSERT INTO detection ({}) SELECT {} FROM {} ORDER BY id ON CONFLICT DO NOTHING")
    .format(
        names(_TYPES),
        SQL(", ").join(SQL("explanation::jsonb") if c == "explanation" else Identifier(c) for c in _TYPES),
        unnest(_TYPES),
    )
    .as_bytes()
)
_GET: Final = SQL("SELECT {} FROM detection WHERE id = ANY(%s::uuid[])").format(names(_TYPES)).as_bytes()


async def insert_detections(connection: Connection, detections: Sequence[Detection]) -> None:
    """Store detections; those that are there already change nothing."""
    if not detections:
        return
    values = dict(zip(_TYPES, columns(detections, _TYPES), strict=True))
    values["explanation"] = [encoded(explanation) for explanation in values["explanation"]]
    await connection.execute(_INSERT, list(values.values()))


async def get_detections(connection: Connection, ids: Iterable[UUID | str]) -> dict[UUID, Detection]:
    """Return those of the detections that are there, by id."""
    async with connection.cursor(row_factory=class_row(Detection)) as cursor:
        await cursor.execute(_GET, [[str(id_) for id_ in ids]])
        return {found.id: found for found in await cursor.fetchall()}


async def load_states(connection: Connection, detector: str, subjects: Iterable[str]) -> dict[str, Any]:
    """Return what a detector remembers of subjects, locked until the transaction ends.

    Everybody locks in the same order; an absent row is created first, so that two who come
    with the first evidence about one subject do not pass each other by.  Two statements, since the
    second one has to see what the first one waited for; one round trip.
    """
    wanted = sorted(set(subjects))
    if not wanted:
        return {}
    async with connection.pipeline():
        await connection.execute(
            """
            INSERT INTO detector_state (detector, subject, state, changed_at)
            SELECT %s, subject, 'null', now() FROM unnest(%s::text[]) AS t(subject) ORDER BY subject
            ON CONFLICT DO NOTHING
            """,
            [detector, wanted],
        )
        cursor = await connection.execute(
            """
            SELECT subject, state FROM detector_state WHERE detector = %s AND subject = ANY(%s)
            ORDER BY subject FOR UPDATE
            """,
            [detector, wanted],
        )
    return {subject: state for subject, state in await cursor.fetchall() if state is not None}


async def peek_states(connection: Connection, detector: str, subjects: Iterable[str]) -> dict[str, Any]:
    """Return what a detector remembers of subjects as of the last commit; nothing is locked."""
    wanted = sorted(set(subjects))
    if not wanted:
        return {}
    cursor = await connection.execute(
        "SELECT subject, state FROM detector_state WHERE detector = %s AND subject = ANY(%s)",
        [detector, wanted],
    )
    return {subject: state for subject, state in await cursor.fetchall() if state is not None}


async def waiting(connection: Connection, detector: str, subjects: Iterable[str]) -> set[str]:
    """Return which subjects a detector wants to look at again; nothing is locked."""
    wanted = sorted(set(subjects))
    if not wanted:
        return set()
    cursor = await connection.execute(
        "SELECT subject FROM deadline WHERE detector = %s AND subject = ANY(%s)", [detector, wanted]
    )
    return {subject for (subject,) in await cursor.fetchall()}


async def save_states(
    connection: Connection, detector: str, states: Mapping[str, Any], now: datetime
) -> None:
    """Store what a detector remembers; the rows were locked by `load_states`.

    Args:
        connection: Inside the transaction of `load_states` or `claim_due`.
        detector: Whose states these are.
        states: By subject; whatever can be encoded as JSON.
        now: Present time.
    """
    if not states:
        return
    await connection.execute(
        """
        UPDATE detector_state s SET state = t.state::jsonb, changed_at = %s
        FROM unnest(%s::text[], %s::text[]) AS t(subject, state)
        WHERE s.detector = %s AND s.subject = t.subject
        """,
        [now, list(states), [encoded(state) for state in states.values()], detector],
    )


async def set_deadlines(connection: Connection, detector: str, waits: Mapping[str, datetime | None]) -> None:
    """Set when to look again (the first time set counts), or that there is nothing to wait for."""
    over = sorted(subject for subject, due_at in waits.items() if due_at is None)
    due = sorted((subject, due_at) for subject, due_at in waits.items() if due_at is not None)
    if over:
        await connection.execute(
            "DELETE FROM deadline WHERE detector = %s AND subject = ANY(%s)", [detector, over]
        )
    if due:
        await connection.execute(
            """
            INSERT INTO deadline (detector, subject, due_at)
            SELECT %s, subject, due_at FROM unnest(%s::text[], %s::timestamptz[]) AS t(subject, due_at)
            ORDER BY subject ON CONFLICT DO NOTHING
            """,
            [detector, [subject for subject, _ in due], [due_at for _, due_at in due]],
        )


async def claim_due(connection: Connection, detector: str, now: datetime, limit: int = 100) -> dict[str, Any]:
    """Take deadlines that have passed; they are gone when the transaction commits.

    The states are locked first, as `load_states` does before deadlines are set: the other way
    round, an answer in the very second of the deadline would be a deadlock.

    Returns:
        What the detector remembers of their subjects, locked.  Subjects that somebody else
        is deciding on are left for the next look.
    """
    cursor = await connection.execute(
        """
        SELECT subject, state FROM deadline d JOIN detector_state s USING (detector, subject)
        WHERE detector = %s AND due_at <= %s
        ORDER BY due_at LIMIT %s FOR UPDATE OF s SKIP LOCKED
        """,
        [detector, now, limit],
    )
    states = dict(await cursor.fetchall())
    cursor = await connection.execute(
        "DELETE FROM deadline WHERE detector = %s AND subject = ANY(%s) AND due_at <= %s RETURNING subject",
        [detector, list(states), now],
    )
    return {subject: states[subject] for (subject,) in await cursor.fetchall()}
