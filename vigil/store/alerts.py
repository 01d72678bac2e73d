"""Alerts as rows: raised by processors, moved on by people and by the escalator.

`vigil.alerts` decides, this module records: the row of the alert and an append-only row of
the transition, in the caller's transaction.  Who comes second is told who was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from vigil import alerts
from vigil.alerts import Action, Priority, State, Step, Subject
from vigil.errors import Conflict, NotFound
from vigil.events import derived_id
from vigil.store.arrays import columns, encoded
from vigil.store.detections import insert_detections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import AsyncCursor

    from vigil.store.detections import Detection
    from vigil.store.pool import Connection

CHANNEL: Final = "vigil_alert"
"""PostgreSQL notifies here, with the number of the change, when an alert has changed."""
JOIN: Final = "join"
"""What a transition that only adds evidence is called."""
NOTE, OFFER, TAKE_OVER, GIVE_BACK = "note", "offer", "take_over", "give_back"
"""What transitions are called that leave the state as it is, and say what people told each other."""
_TALK: Final = (JOIN, NOTE, OFFER, GIVE_BACK)
"""Of these none decides anything: they refuse nobody who had decided just before."""
_CHANGE_LOCK: Final = 0x414C5254


@dataclass(frozen=True, slots=True)
class NewAlert:
    """What a detection asks to be raised.

    Attributes:
        id: Derived from the detection, so that a replay raises nothing anew.
        subject: Whom it is about: `resident:...`, `zone:...`, `canary:...`, `platform:...`.
        kind: `fall`, `sos`, `smoke`, ...
        summary: `{"en": ..., "zh": ...}`: one sentence each, without names.
    """

    id: UUID
    subject: str
    kind: str
    priority: Priority
    estate: str
    zone: str | None
    resident: str | None
    event_time: datetime
    summary: dict[str, str]
    synthetic: str | None
    detection: UUID


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands."""

    id: UUID
    subject: str
    kind: str
    priority: str
    state: str
    version: int
    estate: str
    zone: str | None
    resident: str | None
    holder: str | None
    outcome: str | None
    silenced_until: datetime | None
    event_time: datetime
    raised_at: datetime
    changed_at: datetime
    reopened: int
    evidence: int
    summary: dict[str, str]
    synthetic: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A transition in the live stream's order, with the alert as it stands now."""

    change: int
    alert: Alert


_COLUMNS: Final = SQL(", ").join(Identifier("a", name) for name in Alert.__dataclass_fields__)
_GET: Final = SQL("SELECT {} FROM alert a WHERE id = %s").format(_COLUMNS)
_GET_LOCKED: Final = _GET + SQL(" FOR NO KEY UPDATE")
"""Not FOR UPDATE: whoever writes a row that only refers to the alert need not wait, nor be waited for."""
_MOVE: Final = SQL("""
    UPDATE alert a SET state = %s, version = version + 1, changed_at = %s, holder = %s, outcome = %s,
                       silenced_until = %s, reopened = reopened + %s
    WHERE id = %s RETURNING {}
""").format(_COLUMNS)
_OPEN: Final = SQL("""
    SELECT {} FROM alert a WHERE state NOT IN ('resolved', 'reviewed')
    ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'trouble'], priority), raised_at
    LIMIT %s
""").format(_COLUMNS)
_AFTER: Final = SQL("""
    SELECT t.change, {} FROM alert_transition t JOIN alert a ON a.id = t.alert
    WHERE t.change > %s ORDER BY t.change LIMIT %s
""").format(_COLUMNS)


async def raise_alert(connection: Connection, new: NewAlert, now: datetime) -> UUID:
    """Raise one alert; see `raise_alerts`.

    Returns:
        The id of the alert that carries the detection.
    """
    return (await raise_alerts(connection, [new], now))[new.detection]


async def raise_found(connection: Connection, found: Detection, priority: Priority, now: datetime) -> UUID:
    """Keep what the platform, or a person at a page of it, has found, and raise an alert on it.

    Returns:
        The id of the alert that carries it: a new one, derived from it, or the one it joins.
    """
    await insert_detections(connection, [found])
    asked = NewAlert(
        id=derived_id("alert", found.id),
        subject=found.subject,
        kind=found.kind,
        priority=priority,
        estate=found.estate,
        zone=found.zone,
        resident=found.resident,
        event_time=found.time,
        summary=found.explanation,
        synthetic=found.synthetic,
        detection=found.id,
    )
    return await raise_alert(connection, asked, now)


async def raise_alerts(connection: Connection, asked: Sequence[NewAlert], now: datetime) -> dict[UUID, UUID]:
    """Raise alerts, or join their detections to those that are open for the same subject and kind.

    What comes out is as if they had been raised one after the other, in the order given; the
    number of statements does not grow with theirs.  A detection that has been here before changes
    nothing.

    Returns:
        The id of the alert that carries each detection.
    """
    cursor = await _ask(connection, asked, now)
    return dict(await cursor.fetchall()) if cursor else {}


async def raise_all(connection: Connection, asked: Sequence[NewAlert], now: datetime) -> None:
    """As `raise_alerts`, for who does not ask what became of each: no wait inside a `connection.pipeline()`."""
    await _ask(connection, asked, now)


async def _ask(connection: Connection, asked: Sequence[NewAlert], now: datetime) -> AsyncCursor[Any] | None:
    """Have alerts raised; the answer is left to be fetched."""
    if not asked:
        return None
    values = dict(zip(_TYPES, columns(asked, _TYPES), strict=True))
    values["summary"] = [encoded(new.summary) for new in asked]
    fixed = [_CHANGE_LOCK, CHANNEL, list(alerts.URGENCY), now]
    return await connection.execute(_RAISE, [*fixed, *values.values()], binary=True)


_TYPES: Final = {
    "id": "uuid",
    "subject": "text",
    "kind": "text",
    "priority": "text",
    "estate": "text",
    "zone": "text",
    "resident": "text",
    "event_time": "timestamptz",
    "summary": "text",
    "synthetic": "text",
    "detection": "uuid",
}
_RAISE: Final = (
    SQL("SELECT detection, alert FROM raise_alerts(%b::int8, %b::text, %b::text[], %b::timestamptz, {})")
    .format(SQL(", ").join(SQL("%b::" + type_ + "[]") for type_ in _TYPES.values()))
    .as_bytes()
)
"""Decided in the database (0014_raise_alerts.sql), where all of it is one round trip."""


async def apply(connection: Connection, alert: UUID, version: int, step: Step, now: datetime) -> Alert:
    """Take an alert one step on, if nobody has since `version`.

    Only what was decided since refuses (rule 6 of `vigil.alerts`), and who repeats a step of
    their own (a tap whose answer was lost) gets the alert as it stands.

    Args:
        connection: Inside a transaction.
        alert: Which one.
        version: The version that the actor saw and decided on.
        step: What is to be done, by whom, why.
        now: Present time.

    Returns:
        The alert after the step.

    Raises:
        NotFound: No such alert.
        Conflict: Somebody else was first; names who has it.
        Rejected: The step is not allowed, or lacks something.
    """
    before = await get(connection, alert, lock=True)
    if before.version != version:
        meanwhile = await _steps_since(connection, alert, version)
        if meanwhile == [(step.action, step.actor)]:
            return before
        if meanwhile or version > before.version:
            raise Conflict(f"alert {alert}", before.holder)
    target = alerts.decide(State(before.state), _subject(before), step, now)
    return await _move(connection, before, target, step, now)


def _subject(alert: Alert) -> Subject:
    return Subject(Priority(alert.priority), alert.subject.startswith("estate:"), alert.synthetic)


async def _steps_since(connection: Connection, alert: UUID, version: int) -> list[tuple[str, str]]:
    """Return (action, actor) of what was decided after a version; mere progress is left out."""
    cursor = await connection.execute(
        """
        SELECT action, actor FROM alert_transition
        WHERE alert = %s AND version > %s AND action <> ALL (%s) ORDER BY version
        """,
        [alert, version, [*_TALK, *alerts.PROGRESS]],
    )
    return await cursor.fetchall()


async def _move(connection: Connection, before: Alert, target: State, step: Step, now: datetime) -> Alert:
    async with connection.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(
            _MOVE,
            [
                target,
                now,
                _holder(before.holder, step),
                step.outcome or before.outcome,
                step.until,
                int(step.action is Action.REOPEN),
                before.id,
            ],
        )
        (after,) = await cursor.fetchall()
    recorded = _Recorded(before.id, after.version, before.state, target, step.action, step.actor, step.reason)
    await _record(connection, [recorded], now)
    return after


async def remark(
    connection: Connection, before: Alert, action: str, actor: str, words: str, now: datetime
) -> Alert:
    """Record what leaves an alert's state as it is: a note, an offer, or its answer.

    Args:
        connection: Inside a transaction.
        before: As it was read with its lock.
        action: `NOTE`, `OFFER`, `TAKE_OVER` (its actor has the alert then) or `GIVE_BACK`.
        actor: Who says it.
        words: What.
        now: Present time.
    """
    holder = actor if action == TAKE_OVER else before.holder
    kept = [before.state, now, holder, before.outcome, before.silenced_until, 0, before.id]
    async with connection.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(_MOVE, kept)
        (after,) = await cursor.fetchall()
    said = _Recorded(before.id, after.version, before.state, before.state, action, actor, words)
    await _record(connection, [said], now)
    return after


def _holder(before: str | None, step: Step) -> str | None:
    """Return who has the alert after a step: who takes it has it, re-opening frees it."""
    if step.action in (Action.ACKNOWLEDGE, Action.ATTEND, Action.HAND_TO_FALLBACK, Action.RESOLVE):
        return step.actor
    return None if step.action is Action.REOPEN else before


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A transition that took place."""

    alert: UUID
    version: int
    from_state: str | None
    to_state: str
    action: str
    actor: str
    reason: str = ""


async def _lock_changes(connection: Connection) -> None:
    """Take the lock under which changes are numbered, before the lock of any alert's row.

    A batch that changes several alerts would otherwise hold the first one's number while it
    waits for the row of one whose person waits for a number.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_CHANGE_LOCK])


_RECORD: Final = """
    WITH appended AS (
        INSERT INTO alert_transition (alert, version, from_state, to_state, action, actor, reason, change, at)
        SELECT alert, version, from_state, to_state, action, actor, reason, nextval('alert_change'), %s
        FROM unnest(%s::uuid[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
             AS t(alert, version, from_state, to_state, action, actor, reason)
        RETURNING change)
    SELECT pg_notify(%s, change::text) FROM appended ORDER BY change
"""


async def _record(connection: Connection, done: Sequence[_Recorded], now: datetime) -> None:
    """Append transitions, numbered in their order for the live stream, and tell who listens."""
    values = columns(done, _Recorded.__dataclass_fields__)
    await connection.execute(_RECORD, [now, *values, CHANNEL])


async def get(connection: Connection, alert: UUID, *, lock: bool = False) -> Alert:
    """Return an alert.

    Args:
        connection: Inside a transaction, if `lock`.
        alert: Which one.
        lock: Nobody else changes it until the transaction ends.  The lock of the changes is
            taken first, here and everywhere, so that no two wait for each other.

    Raises:
        NotFound: There is none with this id.
    """
    if lock:
        await _lock_changes(connection)
    async with connection.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(_GET_LOCKED if lock else _GET, [alert])
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("alert", str(alert))
    return found


async def open_alerts(connection: Connection, limit: int = 500) -> list[Alert]:
    """Return the open alerts, the most urgent and then the oldest first."""
    async with connection.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(_OPEN, [limit])
        return await cursor.fetchall()


async def changes_after(connection: Connection, change: int, limit: int = 500) -> list[Change]:
    """Return what changed after a change number, in order; each with the alert as it is now."""
    cursor = await connection.execute(_AFTER, [change, limit])
    return [Change(row[0], Alert(*row[1:])) for row in await cursor.fetchall()]


async def last_change(connection: Connection) -> int:
    """Return the number of the latest change, 0 where there is none."""
    cursor = await connection.execute("SELECT coalesce(max(change), 0) FROM alert_transition")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
