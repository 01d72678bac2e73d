"""Counts of what models were shown, and how far each device lies off; neighbour: `processors.drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vigil.store.arrays import columns, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from vigil.store.pool import Connection


async def add(connection: Connection, counts: Mapping[tuple[str, str, str, date], Sequence[int]]) -> None:
    """Add counts, by detector, version, device and day; in one order, so that nobody waits for another.

    Counts of other bins (the model was packaged anew on the same day) take the old ones' place.
    """
    rows = [{"key": [*key[:3], key[3].isoformat()], "counts": counts[key]} for key in sorted(counts)]
    if not rows:
        return
    await connection.execute(
        """
        INSERT INTO drift_count AS d (detector, version, device, day, counts)
        SELECT r->'key'->>0, r->'key'->>1, r->'key'->>2, (r->'key'->>3)::date,
               ARRAY(SELECT n::int FROM jsonb_array_elements_text(r->'counts') WITH ORDINALITY t(n, at) ORDER BY at)
        FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY rows(r, at) ORDER BY at
        ON CONFLICT (detector, version, device, day) DO UPDATE SET counts =
            CASE WHEN cardinality(d.counts) = cardinality(excluded.counts)
            THEN ARRAY(SELECT a + b FROM unnest(d.counts, excluded.counts) WITH ORDINALITY t(a, b, at) ORDER BY at)
            ELSE excluded.counts END
        """,
        [encoded(rows)],
    )


async def counted(connection: Connection, detector: str, version: str, since: date) -> dict[str, list[int]]:
    """Return the counts of each device since a day."""
    cursor = await connection.execute(
        """
        SELECT device, array_agg(n ORDER BY at) FROM (
            SELECT device, t.at, sum(t.n)::int AS n
            FROM drift_count, unnest(counts) WITH ORDINALITY t(n, at)
            WHERE detector = %s AND version = %s AND day >= %s GROUP BY device, t.at) summed
        GROUP BY device
        """,
        [detector, version, since],
    )
    return dict(await cursor.fetchall())


_KEPT = ("device", "windows", "from_reference", "from_fleet", "measure")


async def keep(
    connection: Connection, detector: str, version: str, moved: Sequence[Any], now: datetime
) -> None:
    """Write how far each device of a model lies off: what has the attributes `_KEPT`, one a device."""
    if not moved:
        return
    ordered = sorted(moved, key=lambda one: one.device)
    await connection.execute(
        """
        INSERT INTO device_drift (detector, version, device, windows, from_reference, from_fleet, measure, measured_at)
        SELECT %s, %s, t.*, %s
        FROM unnest(%s::text[], %s::int[], %s::real[], %s::real[], %s::text[]) AS t
        ON CONFLICT (detector, version, device) DO UPDATE SET windows = excluded.windows,
            from_reference = excluded.from_reference, from_fleet = excluded.from_fleet,
            measure = excluded.measure, measured_at = excluded.measured_at
        """,
        [detector, version, now, *columns(ordered, _KEPT)],
    )


async def farthest(connection: Connection, limit: int = 50) -> list[tuple[Any, ...]]:
    """Return detector, version and `_KEPT` of the devices that lie farthest from their fleet."""
    cursor = await connection.execute(
        """
        SELECT detector, version, device, windows, from_reference, from_fleet, measure FROM device_drift
        ORDER BY from_fleet DESC NULLS LAST, from_reference DESC NULLS LAST, device LIMIT %s
        """,
        [limit],
    )
    return await cursor.fetchall()


async def forget(connection: Connection, before: date) -> None:
    """Delete the counts of days that nobody looks at any more."""
    await connection.execute("DELETE FROM drift_count WHERE day < %s", [before])
