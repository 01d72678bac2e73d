"""The escalation's rows: how far each alert has come, notices and what became of them, the rota.

Neighbours: `api.escalation.worker` decides and sends.  A due row is claimed with SKIP LOCKED in
the transaction that decides; a notice is claimed by moving its `due_at` ahead (the lease),
committed, sent, and only then recorded (pitfall 29).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class CourseRow:
    """How far an alert has come; `policy` is None before its first round."""

    alert: UUID
    round: int
    policy: dict[str, Any] | None
    started_at: datetime
    next: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class AlertRow:
    """What of an alert the planner and the notices need.

    Attributes:
        pages: Whether anybody is to be told of it: false of a drill's alert while no drill is on.
    """

    id: UUID
    kind: str
    priority: str
    state: str
    version: int
    since: datetime
    silenced_until: datetime | None
    estate: str
    estate_name: str | None
    building: str | None
    time_zone: str | None
    synthetic: str | None
    pages: bool
    resident: str | None
    phone: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice that was claimed; `tries` counts this attempt.

    Attributes:
        task: The task that it asks somebody to do, if any.
        hand_up: The street's centre is called for this, if for any.
        offer: It asks to take the alert over from a colleague, if so.
        wanted: What it asks for is not yet in somebody's hands; of a notice that tells of the
            alert, the alert's state says that.
    """

    id: UUID
    alert: UUID
    account: str | None
    channel: str
    repeat: bool
    contact: int
    tries: int
    task: UUID | None
    hand_up: UUID | None
    offer: UUID | None
    wanted: bool


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice to be sent."""

    id: UUID
    alert: UUID
    round: int
    entry: int
    account: str | None
    channel: str
    repeat: bool
    made_at: datetime


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """A notice and what became of it, for people to read."""

    account: str | None
    name: str | None
    channel: str
    repeat: bool
    tries: int
    made_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    undelivered: str | None
    ended: str | None


async def adopt(connection: Connection, now: datetime) -> int:
    """Begin a course for every open alert that has none.

    Canaries page nobody, and drills nobody while none is on in their estate.
    """
    cursor = await connection.execute(
        """
        INSERT INTO escalation (alert, round, policy, started_at, next, due_at)
        SELECT a.id, 0, 'null', %(now)s, 0, %(now)s FROM alert a
        WHERE a.state NOT IN ('resolved', 'reviewed') AND a.synthetic IS DISTINCT FROM 'canary'
          AND (a.synthetic IS DISTINCT FROM 'drill' OR drill_is_on(a.estate, %(now)s))
          AND NOT EXISTS (SELECT FROM escalation e WHERE e.alert = a.id)
        ON CONFLICT DO NOTHING
        """,
        {"now": now},
    )
    return cursor.rowcount


async def claim_course(connection: Connection, now: datetime) -> CourseRow | None:
    """Lock the course that is due for longest, past those that other workers have."""
    async with connection.cursor(row_factory=class_row(CourseRow)) as cursor:
        await cursor.execute(
            """
            SELECT alert, round, policy, started_at, next, due_at FROM escalation
            WHERE due_at <= %s ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            [now],
        )
        return await cursor.fetchone()


async def read_alert(connection: Connection, alert: UUID, now: datetime) -> AlertRow:
    """Read an alert with the time since which it is in its state, and whether it pages now."""
    async with connection.cursor(row_factory=class_row(AlertRow)) as cursor:
        await cursor.execute(
            """
            SELECT a.id, a.kind, a.priority, a.state, a.version,
                   coalesce((SELECT max(t.at) FROM alert_transition t
                             WHERE t.alert = a.id AND t.from_state IS DISTINCT FROM t.to_state), a.raised_at) AS since,
                   a.silenced_until, a.estate, e.name AS estate_name, z.building, c.time_zone, a.synthetic,
                   a.synthetic IS DISTINCT FROM 'drill' OR drill_is_on(a.estate, %(now)s) AS pages,
                   a.resident, personal(r.id, 'phone', k.wrapped, r.phone) AS phone,
                   coalesce(page.answer, hub.answer) AS answer
            FROM alert a
            LEFT JOIN estate e ON e.id = a.estate LEFT JOIN community c ON c.id = e.community
            LEFT JOIN zone z ON z.id = a.zone LEFT JOIN resident r ON r.id = a.resident
            LEFT JOIN resident_key k ON k.resident = r.id
            LEFT JOIN LATERAL (SELECT answer FROM resident_answer
                               WHERE alert = a.id ORDER BY at DESC LIMIT 1) page ON true
            LEFT JOIN LATERAL (SELECT v.data->>'answer' AS answer
                               FROM event v JOIN assignment x ON x.device = v.device
                               WHERE x.resident = a.resident AND v.type = 'vigil.alarm.answer.v1'
                                 AND x.since <= v.time AND v.time < x.until AND v.time >= a.raised_at
                               ORDER BY v.time DESC LIMIT 1) hub ON true
            WHERE a.id = %(alert)s
            """,
            {"alert": alert, "now": now},
        )
        row = await cursor.fetchone()
    assert row is not None, "an escalation's alert is kept by its foreign key"  # noqa: S101 - said by the schema
    return row


async def keep_course(connection: Connection, row: CourseRow) -> None:
    """Write how far an alert has come."""
    await connection.execute(
        """
        UPDATE escalation SET round = %s, policy = %s, started_at = %s, next = %s, due_at = %s WHERE alert = %s
        """,
        [row.round, Jsonb(row.policy), row.started_at, row.next, row.due_at, row.alert],
    )


async def end_course(connection: Connection, alert: UUID) -> None:
    """Forget the course of an alert that is closed."""
    await connection.execute("DELETE FROM escalation WHERE alert = %s", [alert])


async def told(connection: Connection, alert: UUID) -> dict[tuple[str, str], datetime]:
    """Return when each account last had a notice of an alert, by account and channel."""
    cursor = await connection.execute(
        """
        SELECT account, channel, max(made_at) FROM notice WHERE alert = %s AND account IS NOT NULL
        GROUP BY account, channel
        """,
        [alert],
    )
    return {(account, channel): at for account, channel, at in await cursor.fetchall()}


async def loads(
    connection: Connection, of_late: datetime, since: datetime
) -> list[tuple[str, int, int, datetime | None]]:
    """Return (account, open alerts held, alerts told of, told last at) of who has anything to do.

    Args:
        connection: To read with.
        of_late: From when on alerts that somebody was told of are counted.
        since: From when on the last one is looked for.
    """
    cursor = await connection.execute(
        """
        WITH held AS (
            SELECT substr(holder, 8) AS account, count(*)::int AS alerts FROM alert
            WHERE state NOT IN ('resolved', 'reviewed') AND state IN ('acknowledged', 'attending')
              AND holder LIKE 'person:%%'
            GROUP BY 1
        ), told AS (
            SELECT account, (count(DISTINCT alert) FILTER (WHERE made_at > %(of_late)s))::int AS alerts,
                   max(made_at) AS last_at
            FROM notice WHERE made_at > %(since)s AND channel <> 'console' AND account IS NOT NULL
            GROUP BY account
        )
        SELECT account, coalesce(held.alerts, 0), coalesce(told.alerts, 0), told.last_at
        FROM held FULL JOIN told USING (account)
        """,
        {"of_late": of_late, "since": since},
    )
    return await cursor.fetchall()


async def put_notices(connection: Connection, notices: Iterable[NewNotice]) -> None:
    """Put notices into the outbox; one that is there already changes nothing."""
    for new in notices:
        await connection.execute(
            """
            INSERT INTO notice (id, alert, round, entry, account, channel, repeat, made_at, due_at)
            VALUES (%(id)s, %(alert)s, %(round)s, %(entry)s, %(account)s, %(channel)s, %(repeat)s,
                    %(made_at)s, %(made_at)s)
            ON CONFLICT DO NOTHING
            """,
            {name: getattr(new, name) for name in NewNotice.__dataclass_fields__},
        )


async def claim_notice(connection: Connection, now: datetime, lease: timedelta) -> NoticeRow | None:
    """Take the notice that is due for longest; it is nobody else's until the lease ends."""
    async with connection.cursor(row_factory=class_row(NoticeRow)) as cursor:
        await cursor.execute(
            """
            UPDATE notice SET due_at = %s, tries = tries + 1
            WHERE id = (SELECT id FROM notice WHERE sent_at IS NULL AND ended_at IS NULL AND due_at <= %s
                        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id, alert, account, channel, repeat, contact, tries, task, hand_up, offer,
                NOT EXISTS (SELECT FROM task t WHERE t.id = notice.task AND t.state <> 'given')
                AND NOT EXISTS (SELECT FROM hand_up h WHERE h.id = notice.hand_up AND h.taken_at IS NOT NULL)
                AND NOT EXISTS (SELECT FROM alert_offer o WHERE o.id = notice.offer
                                AND (o.state <> 'offered' OR o.until <= %s)) AS wanted
            """,
            [now + lease, now, now],
        )
        return await cursor.fetchone()


async def note_sent(connection: Connection, notice: UUID, now: datetime) -> None:
    """Record that a route has taken a notice."""
    await connection.execute("UPDATE notice SET sent_at = %s, error = NULL WHERE id = %s", [now, notice])


async def note_failed(connection: Connection, notice: UUID, error: str, now: datetime) -> None:
    """Record that a contact failed; the person's next one is due at once."""
    await connection.execute(
        "UPDATE notice SET contact = contact + 1, due_at = %s, error = %s WHERE id = %s", [now, error, notice]
    )


async def note_delivered(connection: Connection, notice: UUID, now: datetime) -> UUID | None:
    """Record that a provider has delivered a notice; returns its alert, None where it was known already."""
    cursor = await connection.execute(
        """
        UPDATE notice SET delivered_at = %s
        WHERE id = %s AND sent_at IS NOT NULL AND delivered_at IS NULL RETURNING alert
        """,
        [now, notice],
    )
    found = await cursor.fetchone()
    return found[0] if found else None


async def note_undelivered(
    connection: Connection, notice: UUID, contact: int, why: str, now: datetime
) -> None:
    """Record that a provider could not deliver what it had taken; the person's next contact is due at once.

    Said once for a contact: what was delivered, or has gone to the next one, stays as it is.
    """
    await connection.execute(
        """
        UPDATE notice SET sent_at = NULL, contact = contact + 1, due_at = %s, undelivered = %s
        WHERE id = %s AND contact = %s AND sent_at IS NOT NULL AND delivered_at IS NULL
        """,
        [now, why, notice, contact],
    )


async def end_notice(connection: Connection, notice: UUID, ended: str, now: datetime) -> None:
    """Record that a notice will not be sent: `taken` meanwhile, nobody `unreachable`, or `no_drill` on."""
    await connection.execute(
        "UPDATE notice SET ended = %s, ended_at = %s WHERE id = %s", [ended, now, notice]
    )


async def notices_of(connection: Connection, alert: UUID) -> list[NoticeRecord]:
    """Return an alert's notices, the first one first."""
    async with connection.cursor(row_factory=class_row(NoticeRecord)) as cursor:
        await cursor.execute(
            """
            SELECT n.account, a.name, n.channel, n.repeat, n.tries, n.made_at, n.sent_at,
                   n.delivered_at, n.undelivered, n.ended
            FROM notice n LEFT JOIN account a ON a.id = n.account
            WHERE n.alert = %s ORDER BY n.made_at, n.entry, n.account
            """,
            [alert],
        )
        return await cursor.fetchall()


async def pull_forward(connection: Connection, now: datetime) -> int:
    """Make due what waits although nobody has the alert and it should have been looked at.

    A clock that was put back leaves rows that lie further ahead than their policy ever waits;
    they are looked at now.
    """
    cursor = await connection.execute(
        """
        UPDATE escalation e SET due_at = %(now)s FROM alert a
        WHERE a.id = e.alert AND e.due_at > %(now)s AND (e.started_at > %(now)s
              OR e.due_at > %(now)s + make_interval(secs => coalesce((e.policy->'ask'->>'within_s')::float8, 0)
                  + greatest((e.policy->>'again_every_s')::float8, (
                      SELECT max((s->>'wait_s')::float8 + (s->>'repeats')::float8 * (s->>'every_s')::float8)
                      FROM jsonb_array_elements(e.policy->'steps') s))))
          AND a.state IN ('raised', 'notifying', 'delivered', 'unanswered')
        """,
        {"now": now},
    )
    return cursor.rowcount


async def overdue(connection: Connection, before: datetime) -> tuple[int, int]:
    """Return how many courses and notices were due before a time and are still waiting."""
    cursor = await connection.execute(
        """
        SELECT (SELECT count(*) FROM escalation WHERE due_at < %(before)s),
               (SELECT count(*) FROM notice WHERE sent_at IS NULL AND ended_at IS NULL AND due_at < %(before)s)
        """,
        {"before": before},
    )
    ((courses, notices),) = await cursor.fetchall()
    return courses, notices


async def put_answer(connection: Connection, alert: UUID, answer: str, by: str, now: datetime) -> None:
    """Keep what a resident has said, and let the escalation look at it now."""
    await connection.execute(
        "INSERT INTO resident_answer (alert, answer, by, at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [alert, answer, by, now],
    )
    await connection.execute(
        "UPDATE escalation SET due_at = least(due_at, %s) WHERE alert = %s", [now, alert]
    )


async def policies(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the policies that apply, in their newest version: body, priority, estate, kind, from_hour, to_hour."""
    cursor = await connection.execute(
        """
        SELECT body, priority, estate, kind, from_hour, to_hour
        FROM (SELECT DISTINCT ON (name) * FROM policy ORDER BY name, version DESC) p WHERE NOT retired
        """
    )
    return await cursor.fetchall()


async def people(connection: Connection) -> list[tuple[str, str, list[str]]]:
    """Return (account, role, estates) of everybody who may be told of alerts."""
    cursor = await connection.execute(
        """
        SELECT id, role, estates FROM account
        WHERE disabled_at IS NULL AND role NOT IN ('resident', 'family', 'ops', 'auditor') ORDER BY id
        """
    )
    return await cursor.fetchall()


async def contacts(connection: Connection) -> list[tuple[str, str, str, datetime | None]]:
    """Return (account, channel, url, verified_at) of every contact, each person's in their order."""
    cursor = await connection.execute(
        "SELECT account, channel, url, verified_at FROM contact ORDER BY account, position"
    )
    return await cursor.fetchall()


async def shifts(connection: Connection, after: datetime) -> list[tuple[str, str, datetime, datetime]]:
    """Return (account, duty, starts_at, ends_at) of the shifts that end after a time."""
    cursor = await connection.execute(
        "SELECT account, duty, starts_at, ends_at FROM shift WHERE ends_at > %s ORDER BY starts_at", [after]
    )
    return await cursor.fetchall()


async def add_shift(
    connection: Connection, account: str, duty: str, starts_at: datetime, ends_at: datetime
) -> None:
    """Put a person on duty."""
    await connection.execute(
        "INSERT INTO shift (account, duty, starts_at, ends_at) VALUES (%s, %s, %s, %s)",
        [account, duty, starts_at, ends_at],
    )


async def put_contact(
    connection: Connection, account: str, position: int, channel: str, url: str, verified_at: datetime | None
) -> None:
    """Add a contact of a person, or replace the one at that position."""
    await connection.execute(
        """
        INSERT INTO contact (account, position, channel, url, verified_at) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (account, position) DO UPDATE SET channel = excluded.channel, url = excluded.url,
            verified_at = excluded.verified_at
        """,
        [account, position, channel, url, verified_at],
    )
