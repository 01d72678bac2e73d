"""Keep a `vigil.registry.Registry` current with the database.

Triggers note every change in `registry_change`; `refresh` asks for the newest number, which
is one cheap query, and re-reads only the devices that were named since.  Everything is read after a
change that names none (a word on a detector, an estate that moved), and by who comes after changes
that `vigil.store.retention` has deleted in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vigil.modes import Modes, Word
from vigil.registry import Assignment, Consent, Device, Node, Registry, Resident

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.store.pool import Connection

_CHANGED: Final = """
    SELECT version, device, node, (SELECT min(version) FROM registry_change) > %(version)s + 1
    FROM registry_change WHERE version > %(version)s ORDER BY version LIMIT %(most)s
"""
_WORDS: Final = "SELECT detector, version, community, estate, mode = 'alert', at FROM detector_mode"
_WHOLE_ABOVE: Final = 5000
"""With more changes than this, reading everything is cheaper than reading each."""

_NODES: Final = """
    SELECT n.id, e.community, n.estate, n.zone, n.synthetic, n.retired_at IS NOT NULL
    FROM node n JOIN estate e ON e.id = n.estate
    WHERE %(all)s OR n.id = ANY(%(ids)s)
"""
_DEVICES: Final = """
    SELECT d.id, d.node, d.zone, coalesce(z.public, false), z.legal_basis, d.kind, d.placement,
           d.retired_at IS NOT NULL
    FROM device d LEFT JOIN zone z ON z.id = d.zone
    WHERE %(all)s OR d.id = ANY(%(ids)s)
"""
_RESIDENTS: Final = """
    SELECT a.device, r.id, r.flagged, r.profile - 'sealed',
           greatest(a.since, '0001-01-01Z'), least(a.until, '9999-12-31Z')
    FROM assignment a JOIN resident r ON r.id = a.resident
    WHERE %(all)s OR a.device = ANY(%(ids)s)
    ORDER BY a.device, r.id
"""
_CONSENTS: Final = """
    SELECT resident, purpose, granted, greatest(since, '0001-01-01Z'), least(until, '9999-12-31Z')
    FROM consent WHERE %(all)s OR resident = ANY(%(ids)s)
"""  # Python's times have no infinity


async def refresh(connection: Connection, registry: Registry) -> bool:
    """Bring a registry up to date.

    Args:
        connection: Any; inside a transaction the answer is that transaction's view.
        registry: Changed in place.

    Returns:
        Whether anything had changed.
    """
    cursor = await connection.execute(_CHANGED, {"version": registry.version, "most": _WHOLE_ABOVE})
    rows = await cursor.fetchall()
    if not rows:
        return False
    everything = any(missed or (device is None and node is None) for _, device, node, missed in rows)
    if everything or len(rows) == _WHOLE_ABOVE or registry.version == 0:
        await _read_whole(connection, registry)
    else:
        await _read_nodes(connection, registry, [node for _, _, node, _ in rows if node])
        await _read_devices(connection, registry, [device for _, device, _, _ in rows if device])
        registry.version = rows[-1][0]
    return True


async def devices_of(connection: Connection, nodes: Sequence[str]) -> list[Device]:
    """Return the devices of some nodes, as they are now."""
    cursor = await connection.execute("SELECT id FROM device WHERE node = ANY (%s)", [list(nodes)])
    few = Registry()
    await _read_devices(connection, few, [id_ for (id_,) in await cursor.fetchall()])
    return list(few.devices.values())


async def _read_whole(connection: Connection, registry: Registry) -> None:
    # The number is read first: what changes meanwhile is read again next time.
    cursor = await connection.execute("SELECT coalesce(max(version), 0) FROM registry_change")
    ((version,),) = await cursor.fetchall()
    await _read_nodes(connection, registry, None)
    await _read_devices(connection, registry, None)
    registry.modes = Modes([Word(*row) for row in await (await connection.execute(_WORDS)).fetchall()])
    registry.version = version


async def _read_nodes(connection: Connection, registry: Registry, ids: list[str] | None) -> None:
    rows = await (await connection.execute(_NODES, _which(ids))).fetchall()
    for gone in list(registry.nodes) if ids is None else ids:
        registry.nodes.pop(gone, None)
    registry.nodes.update((row[0], Node(*row)) for row in rows)


async def _read_devices(connection: Connection, registry: Registry, ids: list[str] | None) -> None:
    devices = await (await connection.execute(_DEVICES, _which(ids))).fetchall()
    assignments = await _assignments(connection, ids)
    for gone in list(registry.devices) if ids is None else ids:
        registry.devices.pop(gone, None)
    for row in devices:
        values: list[Any] = [*row, tuple(assignments.get(row[0], ()))]
        registry.devices[row[0]] = Device(*values)


async def _assignments(connection: Connection, ids: list[str] | None) -> dict[str, list[Assignment]]:
    rows = await (await connection.execute(_RESIDENTS, _which(ids))).fetchall()
    wanted = None if ids is None else sorted({row[1] for row in rows})
    consents: dict[str, list[Consent]] = {}
    for resident, *consent in await (await connection.execute(_CONSENTS, _which(wanted))).fetchall():
        consents.setdefault(resident, []).append(Consent(*consent))
    found: dict[str, list[Assignment]] = {}
    for device, id_, flagged, profile, since, until in rows:
        resident_ = Resident(id_, flagged, profile, tuple(consents.get(id_, ())))
        found.setdefault(device, []).append(Assignment(resident_, since, until))
    return found


def _which(ids: list[str] | None) -> dict[str, Any]:
    return {"all": ids is None, "ids": ids or []}
