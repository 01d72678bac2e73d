"""What the platform knows of nodes, devices and whose they are; read by ingest and processors.

`vigil.store.registry` fills it from PostgreSQL and keeps it current.  Everything here is a
look-up in memory: the work for an event does not grow with the number of devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vigil.errors import Rejected
from vigil.modes import Modes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from vigil.topics import Address


@dataclass(frozen=True, slots=True)
class Consent:
    """A resident's word on one purpose, from `since` until `until`."""

    purpose: str
    granted: bool
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Resident:
    """A resident, as far as detection needs to know."""

    id: str
    flagged: bool
    profile: Mapping[str, Any]
    consents: tuple[Consent, ...]

    def consents_to(self, purpose: str, now: datetime) -> bool:
        """Return whether the resident's latest word on a purpose, in force now, is a yes."""
        words = [c for c in self.consents if c.purpose == purpose and c.since <= now < c.until]
        return bool(words) and max(words, key=lambda c: c.since).granted


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose device it is, from `since` until `until`."""

    resident: Resident
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Node:
    """An edge node: where it stands, and which synthetic events it may send."""

    id: str
    community: str
    estate: str
    zone: str | None
    synthetic: str | None
    retired: bool


@dataclass(frozen=True, slots=True)
class Device:
    """A device: its zone, and the residents whom it is assigned to (none in public places)."""

    id: str
    node: str
    zone: str | None
    public: bool
    legal_basis: str | None
    kind: str
    placement: str | None
    retired: bool
    assignments: tuple[Assignment, ...]

    def residents(self, now: datetime) -> tuple[Resident, ...]:
        """Return whose device it is now."""
        return tuple(a.resident for a in self.assignments if a.since <= now < a.until)


@dataclass(slots=True)
class Registry:
    """Nodes and devices by id, and which detectors may alert, as of a version."""

    version: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    modes: Modes = field(default_factory=Modes)

    def node(self, address: Address) -> Node:
        """Return the node that an address names.

        Raises:
            Rejected: `unregistered`, or `wrong_topic`: it stands in another estate.
        """
        node = self.nodes.get(address.node)
        if node is None or node.retired:
            raise Rejected(
                "unregistered", f"node {address.node} is not registered; register it or retire the box"
            )
        if (node.community, node.estate) != (address.community, address.estate):
            stands = f"{node.community}/{node.estate}"
            raise Rejected(
                "wrong_topic", f"node {node.id} belongs to {stands}, not {address.community}/{address.estate}"
            )
        return node

    def device(self, address: Address, device: str) -> Device:
        """Return a node's device.

        Raises:
            Rejected: `unregistered`; the device is unknown, retired, or another node's.
        """
        self.node(address)
        found = self.devices.get(device)
        if found is None or found.retired or found.node != address.node:
            raise Rejected("unregistered", f"device {device} is not registered at node {address.node}")
        return found

    def zones_with(self, kind: str) -> frozenset[str]:
        """Return the zones in which a device of a kind is; reads every device."""
        return frozenset(
            device.zone
            for device in self.devices.values()
            if device.kind == kind and device.zone is not None and not device.retired
        )
