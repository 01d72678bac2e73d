"""Burden and effect as counts and times: what alarms cost people, and what came of them.

Neighbour: `api.effect` computes the figures from these rows.  Everything is of alerts raised in
a stretch of time, in a scope; what is synthetic is counted apart, canaries never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is looked at.

    Attributes:
        synthetic: `demo` or `drill`; None is real.
    """

    since: datetime
    until: datetime
    estate: str | None = None
    synthetic: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A person was told of an alert for the first time."""

    account: str
    role: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds from being raised until something, over the alerts that came so far."""

    what: str
    alerts: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How alerts ended."""

    alerts: int
    resolved_true: int
    resolved_false: int
    reopened: int
    unanswered: int
    false_of_residents: int


@dataclass(frozen=True, slots=True)
class Precision:
    """How many alerts that a detector or a device contributed to turned out true and false."""

    name: str
    true: int
    false: int


_ALERTS: Final = SQL("""
    WITH chosen AS (
        SELECT * FROM alert
        WHERE raised_at >= %(since)s AND raised_at < %(until)s AND synthetic IS NOT DISTINCT FROM %(synthetic)s
          AND (%(estate)s::text IS NULL OR estate = %(estate)s)
          AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
    )
""")


def _facts(stretch: Stretch, scope: Scope) -> dict[str, object]:
    facts = {name: getattr(stretch, name) for name in Stretch.__dataclass_fields__}
    return facts | {"estates": None if scope.estates is None else sorted(scope.estates)}


async def told(connection: Connection, stretch: Stretch, scope: Scope) -> list[Told]:
    """Return who was told of which alert for the first time, when; repeats are no further alarms."""
    async with connection.cursor(row_factory=class_row(Told)) as cursor:
        await cursor.execute(
            _ALERTS
            + SQL("""
            SELECT n.account, a.role, min(n.sent_at) AS at
            FROM chosen c JOIN notice n ON n.alert = c.id JOIN account a ON a.id = n.account
            WHERE n.channel <> 'console' AND n.sent_at IS NOT NULL
            GROUP BY n.alert, n.account, a.role
            """),
            _facts(stretch, scope),
        )
        return await cursor.fetchall()


async def residents_asked(connection: Connection, stretch: Stretch, scope: Scope) -> list[datetime]:
    """Return when residents were called to be asked whether all is well."""
    cursor = await connection.execute(
        _ALERTS
        + SQL("""
        SELECT n.sent_at FROM chosen c JOIN notice n ON n.alert = c.id
        WHERE n.channel = 'resident' AND n.sent_at IS NOT NULL
        """),
        _facts(stretch, scope),
    )
    return [row[0] for row in await cursor.fetchall()]


async def times(connection: Connection, stretch: Stretch, scope: Scope) -> list[Percentiles]:
    """Return the time until alerts were delivered, acknowledged, attended and resolved."""
    async with connection.cursor(row_factory=class_row(Percentiles)) as cursor:
        await cursor.execute(
            _ALERTS
            + SQL("""
            , reached AS (
                SELECT w.what, extract(epoch FROM min(t.at) - c.raised_at)::float8 AS s
                FROM chosen c JOIN alert_transition t ON t.alert = c.id
                JOIN (VALUES ('delivered', 'delivered'), ('acknowledged', 'acknowledged'),
                             ('acknowledged', 'attending'), ('attended', 'attending'),
                             ('resolved', 'resolved')) w (what, state) ON w.state = t.to_state
                WHERE t.action <> 'join' GROUP BY w.what, c.id, c.raised_at
            )
            SELECT what, count(*)::int AS alerts,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50_s,
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY s) AS p95_s,
                   percentile_cont(0.99) WITHIN GROUP (ORDER BY s) AS p99_s
            FROM reached GROUP BY what
            ORDER BY array_position(ARRAY['delivered', 'acknowledged', 'attended', 'resolved'], what)
            """),
            _facts(stretch, scope),
        )
        return await cursor.fetchall()


async def outcomes(connection: Connection, stretch: Stretch, scope: Scope) -> Outcomes:
    """Return how alerts ended."""
    async with connection.cursor(row_factory=class_row(Outcomes)) as cursor:
        await cursor.execute(
            _ALERTS
            + SQL("""
            SELECT count(*)::int AS alerts,
                   (count(*) FILTER (WHERE outcome = 'true'))::int AS resolved_true,
                   (count(*) FILTER (WHERE outcome = 'false'))::int AS resolved_false,
                   coalesce(sum(reopened), 0)::int AS reopened,
                   (count(*) FILTER (WHERE EXISTS (SELECT FROM alert_transition t
                        WHERE t.alert = chosen.id AND t.to_state = 'unanswered')))::int AS unanswered,
                   (count(*) FILTER (WHERE outcome = 'false' AND resident IS NOT NULL))::int AS false_of_residents
            FROM chosen
            """),
            _facts(stretch, scope),
        )
        (found,) = await cursor.fetchall()
    return found


async def precision(connection: Connection, stretch: Stretch, scope: Scope, by: str) -> list[Precision]:
    """Return true and false alerts by `model` (with its version) or `device`, the worst first."""
    name = {"model": SQL("d.model || ' ' || d.model_version"), "device": SQL("d.device")}[by]
    async with connection.cursor(row_factory=class_row(Precision)) as cursor:
        await cursor.execute(
            _ALERTS
            + SQL("""
            SELECT {name} AS name,
                   (count(DISTINCT c.id) FILTER (WHERE c.outcome = 'true'))::int AS "true",
                   (count(DISTINCT c.id) FILTER (WHERE c.outcome = 'false'))::int AS "false"
            FROM chosen c JOIN alert_evidence x ON x.alert = c.id JOIN detection d ON d.id = x.detection
            WHERE c.outcome IN ('true', 'false')
            GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 500
            """).format(name=name),
            _facts(stretch, scope),
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Bucket:
    """What became of the alerts that were raised between two edges; `n` counts from 1."""

    n: int
    alerts: int
    true: int
    false: int
    p50_s: float | None
    p95_s: float | None


async def course(
    connection: Connection, stretch: Stretch, scope: Scope, edges: list[datetime]
) -> list[Bucket]:
    """Return alerts, outcomes and the time until somebody took them, between each two edges."""
    async with connection.cursor(row_factory=class_row(Bucket)) as cursor:
        await cursor.execute(
            _ALERTS
            + SQL("""
            , taken AS (
                SELECT c.id, c.raised_at, c.outcome, extract(epoch FROM min(t.at) - c.raised_at)::float8 AS s
                FROM chosen c LEFT JOIN alert_transition t
                    ON t.alert = c.id AND t.to_state IN ('acknowledged', 'attending') AND t.action <> 'join'
                GROUP BY c.id, c.raised_at, c.outcome
            )
            SELECT width_bucket(raised_at, %(edges)s::timestamptz[]) AS n, count(*)::int AS alerts,
                   (count(*) FILTER (WHERE outcome = 'true'))::int AS "true",
                   (count(*) FILTER (WHERE outcome = 'false'))::int AS "false",
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50_s,
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY s) AS p95_s
            FROM taken GROUP BY 1 ORDER BY 1
            """),
            _facts(stretch, scope) | {"edges": edges},
        )
        return await cursor.fetchall()


async def precision_course(
    connection: Connection, stretch: Stretch, scope: Scope, edges: list[datetime]
) -> list[tuple[int, str, int, int]]:
    """Return (n, detector, true, false) between each two edges."""
    cursor = await connection.execute(
        _ALERTS
        + SQL("""
        SELECT width_bucket(c.raised_at, %(edges)s::timestamptz[]), d.model,
               count(DISTINCT c.id) FILTER (WHERE c.outcome = 'true'),
               count(DISTINCT c.id) FILTER (WHERE c.outcome = 'false')
        FROM chosen c JOIN alert_evidence x ON x.alert = c.id JOIN detection d ON d.id = x.detection
        WHERE c.outcome IN ('true', 'false') GROUP BY 1, 2 ORDER BY 2, 1
        """),
        _facts(stretch, scope) | {"edges": edges},
    )
    return await cursor.fetchall()


async def consent_course(connection: Connection, edges: list[datetime]) -> list[tuple[int, str, int]]:
    """Return (n, purpose, residents who agree at the end) of the stretch before each edge but the first."""
    cursor = await connection.execute(
        """
        SELECT e.n - 1, c.purpose, count(DISTINCT c.resident)
        FROM unnest(%(edges)s::timestamptz[]) WITH ORDINALITY AS e (at, n)
        JOIN consent c ON c.granted AND c.since <= e.at AND e.at < c.until
        WHERE e.n > 1 GROUP BY 1, 2 ORDER BY 2, 1
        """,
        {"edges": edges},
    )
    return await cursor.fetchall()


async def uptime_course(connection: Connection, edges: list[datetime]) -> list[tuple[int, int, int]]:
    """Return (n, devices that were heard, their hours with a sign of life) between each two edges."""
    cursor = await connection.execute("SELECT * FROM uptime_in(%s::timestamptz[]) ORDER BY 1", [edges])
    return await cursor.fetchall()


async def least_heard(connection: Connection, stretch: Stretch, most: int) -> list[tuple[str, str, int]]:
    """Return (device, kind, hours heard) of the devices that were heard in the fewest hours."""
    facts = [stretch.since, stretch.until, most]
    cursor = await connection.execute("SELECT * FROM uptime_worst(%s, %s, %s)", facts)
    return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Hour:
    """How many of the alerts that were raised in an hour (UTC's) came so far, and how soon."""

    hour: datetime
    estate: str
    priority: str
    what: str
    alerts: int
    within_60s: int
    within_180s: int
    within_600s: int
    seconds_mean: float
    seconds_max: float


async def hourly(
    connection: Connection, stretch: Stretch, scope: Scope, limit: int, after: tuple[object, ...] | None
) -> list[Hour]:
    """Return the hours of a stretch in their order, from after a key (hour, estate, priority, what) on.

    Kept as a continuous aggregate where TimescaleDB is; real alerts alone.
    """
    keys = dict(zip(("hour", "in_estate", "priority", "what"), after or (None,) * 4, strict=True))
    async with connection.cursor(row_factory=class_row(Hour)) as cursor:
        await cursor.execute(
            """
            SELECT hour, estate, priority, what, alerts::int, within_60s::int, within_180s::int,
                   within_600s::int, seconds_sum / alerts AS seconds_mean, seconds_max
            FROM alert_steps_hourly
            WHERE hour >= %(since)s AND hour < %(until)s
              AND (%(estate)s::text IS NULL OR estate = %(estate)s)
              AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
              AND (%(hour)s::timestamptz IS NULL
                   OR (hour, estate, priority, what) > (%(hour)s, %(in_estate)s, %(priority)s, %(what)s))
            ORDER BY hour, estate, priority, what LIMIT %(limit)s
            """,
            {**_facts(stretch, scope), **keys, "limit": limit},
        )
        return await cursor.fetchall()


async def flagged(connection: Connection, estate: str | None, scope: Scope) -> int:
    """Return how many residents are watched over."""
    cursor = await connection.execute(
        """
        SELECT count(*) FROM resident
        WHERE flagged AND (%(estate)s::text IS NULL OR estate = %(estate)s)
          AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
        """,
        {"estate": estate, "estates": None if scope.estates is None else sorted(scope.estates)},
    )
    ((count,),) = await cursor.fetchall()
    return int(count)


async def time_zone(connection: Connection) -> str:
    """Return the communities' time zone: nights are local."""
    cursor = await connection.execute("SELECT time_zone FROM community ORDER BY id LIMIT 1")
    row = await cursor.fetchone()
    return str(row[0]) if row else "UTC"
