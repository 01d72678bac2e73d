"""What people say of detectors and what became of them: who may alert, how it went, what was missed.

Neighbours: `vigil.modes` decides by these words, `vigil.store.registry` reads them for processors,
`api.detectors` and `python -m processors` write them; `vigil.store.effect` counts what alarms cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import class_row
from psycopg.sql import SQL

from vigil.errors import Conflict, NotFound, Rejected
from vigil.modes import DETECTORS

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from vigil.store.board import Scope
    from vigil.store.effect import Stretch
    from vigil.store.pool import Connection

PURPOSES: Final = {"fall": ("fall_detection", "home_camera")}
"""What residents agree to for a kind of alert; for all other kinds it is `routine_monitoring`."""
FALL: Final = "fall"
ROUTINE_KINDS: Final = (
    *("inactivity", "sensors_silent", "no_return", "wandering", "not_up", "night_trips"),
    "sensor_silent",
)
KINDS: Final = (FALL, *ROUTINE_KINDS)
"""What detectors that have versions raise."""


# --- Who may alert ---


@dataclass(frozen=True, slots=True)
class NewWord:
    """What somebody says of a version of a detector.

    Attributes:
        community: Where it holds; without it and without an estate it is everywhere.
        mode: `alert` or `shadow`.
        actor: Who says so.
        review_by: When somebody has to look again; nothing ends by itself then.
    """

    detector: str
    version: str
    mode: str
    actor: str
    reason: str
    community: str | None = None
    estate: str | None = None
    review_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class WordRow:
    """What somebody has said; `current` while nobody has said anything later of the same place."""

    id: int
    detector: str
    version: str
    community: str | None
    estate: str | None
    mode: str
    actor: str
    reason: str
    at: datetime
    review_by: datetime | None
    current: bool


async def speak(connection: Connection, word: NewWord, now: datetime) -> int:
    """Put a word down; it holds from the next batch on.

    Returns:
        Its number.

    Raises:
        Rejected: `invalid`: there is no such detector, or nobody or nothing is named.
        NotFound: No such community or estate.
    """
    if word.detector not in DETECTORS:
        raise Rejected("invalid", f"detector: has to be one of {', '.join(DETECTORS)}")
    if not word.actor.strip() or not word.reason.strip() or not word.version.strip():
        raise Rejected("invalid", "version, actor, reason: each has to be given")
    if word.community is not None and word.estate is not None:
        raise Rejected("invalid", "estate: lies in one community; name one of the two")
    for table, place in (("community", word.community), ("estate", word.estate)):
        if place is not None and not await _exists(connection, table, place):
            raise NotFound(table, place)
    cursor = await connection.execute(
        """
        INSERT INTO detector_mode (detector, version, community, estate, mode, actor, reason, at, review_by)
        VALUES (%(detector)s, %(version)s, %(community)s, %(estate)s, %(mode)s, %(actor)s, %(reason)s, %(at)s,
                %(review_by)s)
        RETURNING id
        """,
        {name: getattr(word, name) for name in NewWord.__dataclass_fields__} | {"at": now},
    )
    ((number,),) = await cursor.fetchall()
    return int(number)


async def _exists(connection: Connection, table: str, id_: str) -> bool:
    query = {
        "community": "SELECT FROM community WHERE id = %s",
        "estate": "SELECT FROM estate WHERE id = %s",
    }[table]
    return await (await connection.execute(query.encode(), [id_])).fetchone() is not None


async def words(connection: Connection, detector: str | None = None, limit: int = 500) -> list[WordRow]:
    """Return what was said of detectors, the latest first."""
    async with connection.cursor(row_factory=class_row(WordRow)) as cursor:
        await cursor.execute(
            """
            SELECT *, row_number() OVER (PARTITION BY detector, version, community, estate
                                         ORDER BY at DESC, id DESC) = 1 AS current
            FROM detector_mode WHERE %(detector)s::text IS NULL OR detector = %(detector)s
            ORDER BY at DESC, id DESC LIMIT %(limit)s
            """,
            {"detector": detector, "limit": limit},
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Compared:
    """What a version has made of what it was shown, and what people found where somebody alerted.

    Attributes:
        detections: All of them.
        review: Of which at or above the score from which a fall is asked about.
        alert: Of which at or above the score that alerts at once.
        true: Of `review`, those within a minute of an alert about the same subject that was true.
        false: The same, false.
        silent_true: True alerts about which it stayed below `review`.
    """

    model: str
    version: str
    shadow: bool
    detections: int
    review: int
    alert: int
    true: int
    false: int
    silent_true: int


async def compare(
    connection: Connection, stretch: Stretch, scope: Scope, review: float, alert: float
) -> list[Compared]:
    """Compare versions on what all of them were shown; falls only, canaries left out.

    Args:
        connection: Any.
        stretch: What is looked at, by when alerts' events happened.
        scope: Whose estates.
        review: Score from which a fall is asked about.
        alert: Score from which it is raised at once.
    """
    async with connection.cursor(row_factory=class_row(Compared)) as cursor:
        await cursor.execute(
            """
            WITH seen AS (
                SELECT d.model, d.model_version AS version, d.shadow, d.score, near.outcome
                FROM detection d LEFT JOIN LATERAL (
                    SELECT a.outcome FROM alert a
                    WHERE a.subject = d.subject AND a.kind = d.kind AND a.outcome IN ('true', 'false')
                      AND abs(extract(epoch FROM a.event_time - d.time)) <= 60
                    ORDER BY a.outcome DESC LIMIT 1) near ON true
                WHERE d.kind = 'fall' AND d.time >= %(since)s AND d.time < %(until)s
                  AND d.synthetic IS NOT DISTINCT FROM %(synthetic)s
                  AND (%(estate)s::text IS NULL OR d.estate = %(estate)s)
                  AND (%(estates)s::text[] IS NULL OR d.estate = ANY (%(estates)s))
            )
            SELECT model, version, shadow, count(*)::int AS detections,
                   (count(*) FILTER (WHERE score >= %(review)s))::int AS review,
                   (count(*) FILTER (WHERE score >= %(alert)s))::int AS alert,
                   (count(*) FILTER (WHERE score >= %(review)s AND outcome = 'true'))::int AS "true",
                   (count(*) FILTER (WHERE score >= %(review)s AND outcome = 'false'))::int AS "false",
                   (count(*) FILTER (WHERE score < %(review)s AND outcome = 'true'))::int AS silent_true
            FROM seen GROUP BY model, version, shadow ORDER BY model, shadow, version
            """,
            _facts(stretch, scope) | {"review": review, "alert": alert},
        )
        return await cursor.fetchall()


# --- How it went ---


@dataclass(frozen=True, slots=True)
class RealWorld:
    """What came of a kind of alert among real people.

    Attributes:
        alerts: Raised.
        true: Found to be so by people.
        false: Found not to be so.
        missed: What happened and was not alerted of (`missed`).
        residents: Flagged ones who agree to this kind of detection.
    """

    kind: str
    alerts: int
    true: int
    false: int
    missed: int
    residents: int

    @property
    def precision(self) -> float | None:
        """True alerts of those that people decided on."""
        return _share(self.true, self.true + self.false)

    @property
    def sensitivity(self) -> float | None:
        """Found of what is known to have happened: an upper bound, for what nobody reports is not in it."""
        return _share(self.true, self.true + self.missed)

    def false_per_resident_day(self, days: float) -> float | None:
        """False alarms per resident and day."""
        return self.false / (self.residents * days) if self.residents and days else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


async def real_world(connection: Connection, stretch: Stretch, scope: Scope) -> list[RealWorld]:
    """Return what came of each kind of alert, falls first."""
    async with connection.cursor(row_factory=class_row(RealWorld)) as cursor:
        await cursor.execute(
            """
            WITH place AS (
                SELECT id FROM estate WHERE (%(estate)s::text IS NULL OR id = %(estate)s)
                  AND (%(estates)s::text[] IS NULL OR id = ANY (%(estates)s))
            ), agreed AS (
                SELECT DISTINCT r.id, c.purpose FROM resident r JOIN place ON place.id = r.estate
                JOIN consent c ON c.resident = r.id AND c.granted AND c.since <= %(until)s AND c.until > %(until)s
                WHERE r.flagged AND NOT EXISTS (SELECT FROM consent n
                    WHERE n.resident = c.resident AND n.purpose = c.purpose AND NOT n.granted
                      AND n.since > c.since AND n.since <= %(until)s AND n.until > %(until)s)
            )
            SELECT k.kind, count(a.id)::int AS alerts,
                   (count(a.id) FILTER (WHERE a.outcome = 'true'))::int AS "true",
                   (count(a.id) FILTER (WHERE a.outcome = 'false'))::int AS "false",
                   (SELECT count(*) FROM missed m JOIN place ON place.id = m.estate
                    WHERE m.kind = k.kind AND m.withdrawn_at IS NULL AND %(synthetic)s::text IS NULL
                      AND m.happened_at >= %(since)s AND m.happened_at < %(until)s)::int AS missed,
                   (SELECT count(DISTINCT g.id) FROM agreed g WHERE g.purpose = ANY (CASE k.kind
                    WHEN 'fall' THEN %(fall)s::text[] ELSE ARRAY['routine_monitoring'] END))::int AS residents
            FROM unnest(%(kinds)s::text[]) WITH ORDINALITY k (kind, n)
            LEFT JOIN alert a ON a.kind = k.kind AND a.raised_at >= %(since)s AND a.raised_at < %(until)s
                 AND a.synthetic IS NOT DISTINCT FROM %(synthetic)s AND a.estate IN (SELECT id FROM place)
            GROUP BY k.kind, k.n ORDER BY k.n
            """,
            _facts(stretch, scope) | {"kinds": list(KINDS), "fall": list(PURPOSES[FALL])},
        )
        return await cursor.fetchall()


def _facts(stretch: Stretch, scope: Scope) -> dict[str, object]:
    return {
        "since": stretch.since,
        "until": stretch.until,
        "estate": stretch.estate,
        "synthetic": stretch.synthetic,
        "estates": None if scope.estates is None else sorted(scope.estates),
    }


# --- What was missed ---


@dataclass(frozen=True, slots=True)
class NewMiss:
    """Something that happened and that nobody was alerted of.

    Attributes:
        happened_at: As near as anybody can say.
        how_found: `family`, `neighbour`, `visit`, `resident`, `ambulance` or `other`.
    """

    id: UUID
    kind: str
    estate: str
    resident: str | None
    zone: str | None
    happened_at: datetime
    found_at: datetime
    how_found: str
    note: str
    reported_by: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A miss on record.

    Attributes:
        cause: What the platform knew: `no_device`, `withheld`, `silent`, `nothing_seen`, `below` (a
            detector saw it and thought too little of it) or `in_shadow` (it may not alert yet).
        score: Of the detection that came nearest.
    """

    id: UUID
    kind: str
    estate: str
    resident: str | None
    zone: str | None
    happened_at: datetime
    found_at: datetime
    how_found: str
    note: str
    cause: str
    score: float | None
    detection: UUID | None
    reported_by: str
    reported_at: datetime
    withdrawn_by: str | None
    withdrawn_why: str | None
    withdrawn_at: datetime | None


_ALERTED: Final = """
    SELECT id FROM alert
    WHERE kind = %(kind)s AND synthetic IS NULL AND estate = %(estate)s
      AND (resident = %(resident)s OR (%(resident)s::text IS NULL AND zone = %(zone)s))
      AND event_time BETWEEN %(happened_at)s - interval '30 minutes' AND %(happened_at)s + interval '30 minutes'
    LIMIT 1
"""
_NEAREST: Final = """
    SELECT id, score, shadow FROM detection
    WHERE kind = %(kind)s AND synthetic IS NULL AND estate = %(estate)s
      AND (resident = %(resident)s OR zone = %(zone)s)
      AND time BETWEEN %(happened_at)s - interval '30 minutes' AND %(happened_at)s + interval '30 minutes'
    ORDER BY shadow DESC, score DESC LIMIT 1
"""
_CIRCUMSTANCES: Final = """
    WITH worn AS (
        SELECT d.id, d.node FROM device d LEFT JOIN assignment a ON a.device = d.id
        WHERE d.retired_at IS NULL
          AND ((a.resident = %(resident)s AND %(happened_at)s >= a.since AND %(happened_at)s < a.until)
               OR (%(resident)s::text IS NULL AND d.zone = %(zone)s)))
    SELECT EXISTS (SELECT FROM worn),
           EXISTS (SELECT FROM worn WHERE withheld_of(node, (%(happened_at)s)::date)),
           EXISTS (SELECT FROM worn WHERE heard_of(node, %(happened_at)s - interval '2 hours',
                                                   %(happened_at)s + interval '10 minutes'))
"""


async def report_miss(connection: Connection, new: NewMiss, now: datetime) -> Miss:
    """Put a miss on record, with what the platform knew at the time.

    Raises:
        Rejected: `invalid`: nobody and no place is named, or it was found before it happened.
        Conflict: There was an alert about it within half an hour: its outcome is the record.
    """
    if new.kind not in KINDS:
        raise Rejected("invalid", f"kind: has to be one of {', '.join(KINDS)}")
    if new.resident is None and new.zone is None:
        raise Rejected("invalid", "resident, zone: one of them has to be given")
    if not new.happened_at <= new.found_at <= now:
        raise Rejected("invalid", "found_at: lies between when it happened and now")
    facts = {name: getattr(new, name) for name in NewMiss.__dataclass_fields__}
    alerted = await (await connection.execute(_ALERTED, facts)).fetchone()
    if alerted is not None:
        raise Conflict(f"what was missed has alert {alerted[0]}; its outcome is the record, it", None)
    cause, score, detection = await _cause(connection, facts)
    await connection.execute(
        """
        INSERT INTO missed (id, kind, estate, resident, zone, happened_at, found_at, how_found, note, cause,
                            score, detection, reported_by, reported_at)
        VALUES (%(id)s, %(kind)s, %(estate)s, %(resident)s, %(zone)s, %(happened_at)s, %(found_at)s,
                %(how_found)s, %(note)s, %(cause)s, %(score)s, %(detection)s, %(reported_by)s, %(now)s)
        ON CONFLICT DO NOTHING
        """,
        facts | {"cause": cause, "score": score, "detection": detection, "now": now},
    )
    return await get_miss(connection, new.id)


async def _cause(connection: Connection, facts: dict[str, object]) -> tuple[str, float | None, UUID | None]:
    nearest = await (await connection.execute(_NEAREST, facts)).fetchone()
    if nearest is not None:
        detection, score, shadow = nearest
        return ("in_shadow" if shadow else "below"), score, detection
    ((device, withheld, heard),) = await (await connection.execute(_CIRCUMSTANCES, facts)).fetchall()
    if not device:
        return "no_device", None, None
    if withheld:
        return "withheld", None, None
    return ("nothing_seen" if heard else "silent"), None, None


async def get_miss(connection: Connection, id_: UUID) -> Miss:
    """Return a miss.

    Raises:
        NotFound: There is none with this id.
    """
    async with connection.cursor(row_factory=class_row(Miss)) as cursor:
        await cursor.execute("SELECT * FROM missed WHERE id = %s", [id_])
        found = await cursor.fetchone()
    if found is None:
        raise NotFound("miss", str(id_))
    return found


async def misses(
    connection: Connection,
    stretch: Stretch,
    scope: Scope,
    limit: int = 500,
    after: tuple[datetime, UUID] | None = None,
) -> list[Miss]:
    """Return what was missed in a stretch of time, the latest first; what was withdrawn too.

    Args:
        connection: To read with.
        stretch: When it happened.
        scope: Whose.
        limit: Most of them.
        after: When the last one of the page before happened, and its id.
    """
    happened_at, id_ = after or (None, None)
    async with connection.cursor(row_factory=class_row(Miss)) as cursor:
        await cursor.execute(
            SQL("""
            SELECT * FROM missed WHERE happened_at >= %(since)s AND happened_at < %(until)s
              AND (%(estate)s::text IS NULL OR estate = %(estate)s)
              AND (%(estates)s::text[] IS NULL OR estate = ANY (%(estates)s))
              AND (%(at)s::timestamptz IS NULL OR happened_at < %(at)s OR (happened_at = %(at)s AND id > %(id)s))
            ORDER BY happened_at DESC, id LIMIT %(limit)s
            """),
            _facts(stretch, scope) | {"limit": limit, "at": happened_at, "id": id_},
        )
        return await cursor.fetchall()


async def withdraw_miss(connection: Connection, id_: UUID, actor: str, why: str, now: datetime) -> Miss:
    """Take a miss back that was none; the row stays, and counts no more.

    Raises:
        NotFound: There is none with this id.
        Rejected: `invalid`: without a reason.
    """
    if not why.strip():
        raise Rejected("invalid", "why: has to be given")
    await connection.execute(
        """
        UPDATE missed SET withdrawn_by = %s, withdrawn_why = %s, withdrawn_at = %s
        WHERE id = %s AND withdrawn_at IS NULL
        """,
        [actor, why, now, id_],
    )
    return await get_miss(connection, id_)
