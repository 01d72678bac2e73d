"""The roster as the database knows it: flagged residents, what watches them, who helps.

Used by `api.snapshot`.  Contacts stand in the resident's profile (`key_holders`, `family`,
each a list of name, phone, relation; `note` for the helper at the door).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vigil.roster import Person, Protection, Resident, Roster, contacts

if TYPE_CHECKING:
    from datetime import datetime

    from vigil.store.pool import Connection

_RESIDENTS = """
    SELECT r.id, r.estate, personal(r.id, 'name', k.wrapped, r.name) AS name, r.risk,
           personal(r.id, 'phone', k.wrapped, r.phone) AS phone, coalesce(z.building, ''),
           coalesce(z.floor, 0), coalesce(z.name, ''), r.lives_alone,
           personal(r.id, 'profile', k.wrapped, r.profile::text) AS profile,
           coalesce(d.protections, '[]'), d.seen_at, coalesce(a.state, '')
    FROM resident r
    LEFT JOIN resident_key k ON k.resident = r.id
    LEFT JOIN zone z ON z.id = r.home
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('device', d.id, 'node', d.node, 'kind', d.kind)) AS protections,
               max(d.seen_at) AS seen_at
        FROM device d
        WHERE d.retired_at IS NULL AND d.id IN (
            SELECT h.id FROM device h WHERE h.zone = r.home
            UNION ALL
            SELECT x.device FROM assignment x
            WHERE x.resident = r.id AND x.since <= %(now)s AND %(now)s < x.until)
    ) d ON true
    LEFT JOIN LATERAL (
        SELECT string_agg(kind || ' ' || state, ', ' ORDER BY raised_at) AS state
        FROM alert WHERE resident = r.id AND state NOT IN ('resolved', 'reviewed')
    ) a ON true
    WHERE r.flagged AND r.estate = ANY(%(estates)s)
    ORDER BY r.estate, r.id
"""
_STAFF = """
    SELECT name, coalesce(phone, ''), role, estates FROM account
    WHERE disabled_at IS NULL AND role NOT IN ('resident', 'family', 'auditor')
      AND ('*' = ANY(estates) OR estates && %(estates)s)
    ORDER BY array_position(ARRAY['supervisor', 'community_manager', 'grid_worker', 'duty_officer',
                                  'street_centre', 'ops'], role), name
"""


async def roster(connection: Connection, estates: list[str] | None, now: datetime) -> Roster:
    """Return the roster.

    Args:
        connection: To read with.
        estates: Of these estates; None for all.
        now: Present time.
    """
    cursor = await connection.execute("SELECT id, name, community FROM estate ORDER BY id")
    known = [row for row in await cursor.fetchall() if estates is None or row[0] in estates]
    facts = {"estates": [row[0] for row in known], "now": now}
    residents = await (await connection.execute(_RESIDENTS, facts)).fetchall()
    staff = await (await connection.execute(_STAFF, facts)).fetchall()
    return Roster(
        community=known[0][2] if known else "",
        made_at=now,
        estates={row[0]: row[1] for row in known},
        residents=[_resident(row) for row in residents],
        staff=[Person(*row) for row in staff],
    )


def _resident(row: tuple[Any, ...]) -> Resident:
    profile = row[9]
    return Resident(
        id=row[0],
        estate=row[1],
        name=row[2],
        risk=row[3],
        phone=row[4] or "",
        building=row[5],
        floor=row[6],
        home=row[7],
        lives_alone=row[8],
        note=str(profile.get("note", "")),
        key_holders=contacts(profile.get("key_holders")),
        family=contacts(profile.get("family")),
        protections=msgspec.convert(row[10], list[Protection]),
        last_seen=row[11],
        last_state=row[12],
    )
