"""Alerts as rows: raised by processors, moved on by people and by the escalator.

`vigil.alerts` decides, this module records: the row of the alert and an append-only row of
the transition, in the caller's transaction.  Who comes second is told who was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from vigil import alerts
from vigil.alerts import Action, Priority, State, Step, Subject
from vigil.errors import Conflict, NotFound
from vigil.store.arrays import columns, encoded, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from vigil.store.pool import Connection

CHANNEL: Final = "vigil_alert"
"""PostgreSQL notifies here, with the number of the change, when an alert has changed."""
JOIN: Final = "join"
"""What a transition that only adds evidence is called."""
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


async def raise_alerts(connection: Connection, asked: Sequence[NewAlert], now: datetime) -> dict[UUID, UUID]:
    """Raise alerts, or join their detections to those that are open for the same subject and kind.

    What comes out is as if they had been raised one after the other, in the order given; the
    number of statements does not grow with theirs.  A detection that has been here before changes
    nothing.

    Returns:
        The id of the alert that carries each detection.
    """
    if not asked:
        return {}
    await _lock_changes(connection)
    carriers = await _carriers(connection, [new.detection for new in asked])
    fresh: dict[UUID, NewAlert] = {}
    for new in asked:
        if new.detection not in carriers:
            fresh.setdefault(new.detection, new)
    if not fresh:
        return carriers
    together = _by_subject(fresh.values())
    cursor = await connection.execute(_RAISE, _arrays(together, now), binary=True)
    done = {(row[0], row[1]): _Raised(*row[2:]) for row in await cursor.fetchall()}
    joined = {new.detection: done[new.subject, new.kind].alert for new in fresh.values()}
    await connection.execute(_ADD_EVIDENCE, [list(joined.values()), list(joined)])
    await _record(connection, _transitions(fresh.values(), together, done), now)
    return carriers | joined


async def _carriers(connection: Connection, found: Sequence[UUID]) -> dict[UUID, UUID]:
    cursor = await connection.execute(
        "SELECT detection, alert FROM alert_evidence WHERE detection = ANY(%s)", [found]
    )
    return dict(await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Raised:
    """What became of all that was asked about one subject and kind; `version` is the last one."""

    alert: UUID
    version: int
    state: str
    opened: bool


_Together = dict[tuple[str, str], list[NewAlert]]
"""What is asked, by subject and kind, in the order of the asking."""


def _by_subject(asked: Iterable[NewAlert]) -> _Together:
    found: _Together = {}
    for new in asked:
        found.setdefault((new.subject, new.kind), []).append(new)
    return found


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
    "evidence": "int4",
}
_RAISE: Final = (
    SQL("""
    INSERT INTO alert AS a (id, subject, kind, priority, state, version, estate, zone, resident,
                            event_time, raised_at, changed_at, summary, synthetic, evidence)
    SELECT id, subject, kind, priority, 'raised', evidence, estate, zone, resident,
           event_time, %b, %b, summary::jsonb, synthetic, evidence
    FROM {} ORDER BY subject, kind
    ON CONFLICT (subject, kind) WHERE state NOT IN ('resolved', 'reviewed')
    DO UPDATE SET evidence = a.evidence + excluded.evidence, version = a.version + excluded.version,
        changed_at = excluded.changed_at,
        synthetic = CASE WHEN excluded.synthetic IS NULL THEN NULL ELSE a.synthetic END,
        priority = CASE WHEN array_position(%b::text[], excluded.priority)
                           < array_position(%b::text[], a.priority)
                        THEN excluded.priority ELSE a.priority END
    RETURNING subject, kind, id, version, state, xmax = 0
""")
    .format(unnest(_TYPES))
    .as_bytes()
)
"""A row for each subject and kind: an alert has as many versions as pieces of evidence have joined it
at once.  xmax is 0 only where the row was inserted."""
_ADD_EVIDENCE: Final = """
    INSERT INTO alert_evidence (alert, detection) SELECT * FROM unnest(%s::uuid[], %s::uuid[])
"""


def _arrays(together: _Together, now: datetime) -> list[object]:
    """Return the parameters of `_RAISE`: the first of each group, with what the others add to it."""
    first = [some[0] for some in together.values()]
    values = dict(zip(_TYPES, columns(first, [name for name in _TYPES if name != "evidence"]), strict=False))
    values["priority"] = [
        reduce(alerts.more_urgent, (new.priority for new in some)) for some in together.values()
    ]
    values["summary"] = [encoded(new.summary) for new in first]
    values["synthetic"] = [
        some[0].synthetic if all(new.synthetic for new in some) else None for some in together.values()
    ]
    values["evidence"] = [len(some) for some in together.values()]
    return [now, now, *values.values(), list(alerts.URGENCY), list(alerts.URGENCY)]


def _transitions(
    asked: Iterable[NewAlert], together: _Together, done: Mapping[tuple[str, str], _Raised]
) -> list[_Recorded]:
    """Return what was recorded of each piece of evidence, in the order of the asking."""
    versions = {key: done[key].version - len(some) for key, some in together.items()}
    made = []
    for new in asked:
        key = (new.subject, new.kind)
        versions[key] += 1
        became = done[key]
        first = became.opened and versions[key] == 1
        before, action = (None, "raise") if first else (became.state, JOIN)
        made.append(_Recorded(became.alert, versions[key], before, became.state, action, "system:processors"))
    return made


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
    await _move(connection, before, target, step, now)
    return await get(connection, alert)


def _subject(alert: Alert) -> Subject:
    return Subject(Priority(alert.priority), alert.subject.startswith("estate:"), alert.synthetic)


async def _steps_since(connection: Connection, alert: UUID, version: int) -> list[tuple[str, str]]:
    """Return (action, actor) of what was decided after a version; mere progress is left out."""
    cursor = await connection.execute(
        """
        SELECT action, actor FROM alert_transition
        WHERE alert = %s AND version > %s AND action <> ALL (%s) ORDER BY version
        """,
        [alert, version, [JOIN, *alerts.PROGRESS]],
    )
    return await cursor.fetchall()


async def _move(connection: Connection, before: Alert, target: State, step: Step, now: datetime) -> None:
    await connection.execute(
        """
        UPDATE alert SET state = %s, version = version + 1, changed_at = %s, holder = %s, outcome = %s,
                         silenced_until = %s, reopened = reopened + %s
        WHERE id = %s
        """,
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
    version = before.version + 1
    recorded = _Recorded(before.id, version, before.state, target, step.action, step.actor, step.reason)
    await _record(connection, [recorded], now)


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
