"""Detections, what detectors remember, and the times at which they want to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector found in an event; `explanation` says why, by language."""

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


_COLUMNS: Final = tuple(Detection.__dataclass_fields__)
_NAMES: Final = SQL(", ").join(map(Identifier, _COLUMNS))
_INSERT: Final = SQL("INSERT INTO detection ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
    _NAMES,
    SQL(", ").join([SQL("%s")] * len(_COLUMNS)),
)
_GET: Final = SQL("SELECT {} FROM detection WHERE id = %s").format(_NAMES)


async def insert_detections(connection: Connection, detections: Iterable[Detection]) -> None:
    """Store detections; those that are there already change nothing."""
    for detection in detections:
        values = [getattr(detection, name) for name in _COLUMNS]
        values[_COLUMNS.index("explanation")] = Jsonb(detection.explanation)
        await connection.execute(_INSERT, values)


async def get_detection(connection: Connection, id_: UUID | str) -> Detection | None:
    """Return a detection, if it is there."""
    async with connection.cursor(row_factory=class_row(Detection)) as cursor:
        await cursor.execute(_GET, [id_])
        return await cursor.fetchone()


async def load_states(connection: Connection, detector: str, subjects: Iterable[str]) -> dict[str, Any]:
    """Return what a detector remembers of subjects, locked until the transaction ends.

    Everybody locks in the same order; an absent row is created first, so that two who come
    with the first evidence about one subject do not pass each other by.
    """
    wanted = sorted(set(subjects))
    if not wanted:
        return {}
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


async def save_states(
    connection: Connection, detector: str, states: Mapping[str, Any], now: datetime
) -> None:
    """Store what a detector remembers; the rows were locked by `load_states`."""
    for subject, state in sorted(states.items()):
        await connection.execute(
            "UPDATE detector_state SET state = %s, changed_at = %s WHERE detector = %s AND subject = %s",
            [Jsonb(state), now, detector, subject],
        )


async def set_deadlines(connection: Connection, detector: str, waits: Mapping[str, datetime | None]) -> None:
    """Set when to look again (the first time set counts), or that there is nothing to wait for."""
    for subject, due_at in sorted(waits.items()):
        if due_at is None:
            await connection.execute(
                "DELETE FROM deadline WHERE detector = %s AND subject = %s",
                [detector, subject],
            )
        else:
            await connection.execute(
                "INSERT INTO deadline (detector, subject, due_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [detector, subject, due_at],
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
