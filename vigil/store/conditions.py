"""What each device and box said of itself last, as rows; and the list of devices with it.

Neighbours: `processors.intake` notes it with the batch that stores it, `api.console.condition` puts it
into words.  A device that has said nothing has no row: not known is never fine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg.rows import class_row
from psycopg.sql import SQL

from vigil.store.arrays import columns, unnest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from vigil.store.board import Scope
    from vigil.store.pool import Connection

STAYS: Final = ("battery_pct", "worn")
"""What comes in messages of its own, and is not gone because the next one does not name it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a device said of itself; `data` is a message of health without its defaults."""

    device: str
    node: str
    at: datetime
    received_at: datetime
    clock: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device (or a box itself) with what is known of its health.

    Attributes:
        box: It is a box: what others report through.
        online: Of the box; None where it was never heard.
        node_seen_at: When the box came or went.
        born_at: When it said last what it is.
        at: When it said of itself what `data` holds, by its own clock; None where it never did.
    """

    id: str
    kind: str
    node: str
    box: bool
    estate_name: str
    place: str | None
    online: bool | None
    node_seen_at: datetime | None
    born_at: datetime | None
    at: datetime | None
    received_at: datetime | None
    clock: str | None
    data: dict[str, Any] | None

    @property
    def heard_at(self) -> datetime | None:
        """When it was last heard of at all."""
        times = (self.received_at, self.born_at, self.node_seen_at if self.box or self.online else None)
        return max((one for one in times if one is not None), default=None)


_TYPES: Final = {
    "device": "text",
    "node": "text",
    "at": "timestamptz",
    "received_at": "timestamptz",
    "clock": "text",
}
_NOTE: Final = (
    SQL("""
    INSERT INTO device_condition (device, node, at, received_at, clock, data)
    SELECT device, node, at, received_at, clock, data::jsonb FROM {} ORDER BY device
    ON CONFLICT (device) DO UPDATE SET
        node = excluded.node, at = excluded.at, received_at = excluded.received_at, clock = excluded.clock,
        data = jsonb_strip_nulls(jsonb_build_object(
            'battery_pct', device_condition.data->'battery_pct', 'worn', device_condition.data->'worn'
        )) || excluded.data
    WHERE device_condition.at <= excluded.at OR device_condition.at > excluded.received_at
""")
    .format(unnest(_TYPES | {"data": "text"}))
    .as_bytes()
)
"""A message that comes late changes nothing, unless the one before claims to be of the future."""


async def note(connection: Connection, said: Iterable[Said]) -> None:
    """Note what devices say of themselves, in the order in which they say it."""
    last: dict[str, Said] = {}
    for one in said:
        last[one.device] = _after(last.get(one.device), one)
    if not last:
        return
    rows = list(last.values())
    texts = [msgspec.json.encode(one.data).decode() for one in rows]
    await connection.execute(_NOTE, [*columns(rows, _TYPES), texts], binary=True)


def _after(before: Said | None, one: Said) -> Said:
    """Return what stands after a message, with what stays of the one before."""
    stays = {} if before is None else {name: before.data[name] for name in STAYS if name in before.data}
    return replace(one, data=stays | dict(one.data))


_DEVICES: Final = """
    SELECT d.id, d.kind, d.node, false AS box, e.name AS estate_name,
           nullif(concat_ws(' · ', z.building, z.name), '') AS place,
           n.online, n.seen_at AS node_seen_at, d.seen_at AS born_at, c.at, c.received_at, c.clock, c.data
    FROM device d JOIN node n ON n.id = d.node JOIN estate e ON e.id = n.estate
    LEFT JOIN zone z ON z.id = d.zone LEFT JOIN device_condition c ON c.device = d.id
    WHERE d.retired_at IS NULL AND n.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary'
      AND d.id <> n.id AND (%(estates)s::text[] IS NULL OR n.estate = ANY (%(estates)s))
    UNION ALL
    SELECT n.id, 'box', n.id, true, e.name, nullif(concat_ws(' · ', z.building, z.name), ''),
           n.online, n.seen_at, NULL, c.at, c.received_at, c.clock, c.data
    FROM node n JOIN estate e ON e.id = n.estate
    LEFT JOIN zone z ON z.id = n.zone LEFT JOIN device_condition c ON c.device = n.id
    WHERE n.retired_at IS NULL AND n.synthetic IS DISTINCT FROM 'canary'
      AND (%(estates)s::text[] IS NULL OR n.estate = ANY (%(estates)s))
"""


async def devices(connection: Connection, scope: Scope) -> list[DeviceRow]:
    """Return all boxes and devices of a scope that are in use, with what they said last."""
    estates = None if scope.estates is None else sorted(scope.estates)
    async with connection.cursor(row_factory=class_row(DeviceRow)) as cursor:
        await cursor.execute(_DEVICES, {"estates": estates})
        return await cursor.fetchall()
