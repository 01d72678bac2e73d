"""The kinds of things of the register: their tables, their columns, whose they are.

Neighbour: `vigil.store.register` reads and writes them all alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from psycopg.sql import SQL, Composed, Identifier, Placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Thing:
    """A kind of row that people change.

    Attributes:
        name: As changes name it, and people in a sentence.
        table: Where it stands.
        columns: What people give; in SQL the row is `t`.
        estate: The estate it belongs to, as SQL.
        visible: Whether it is in the scope `%(estates)s`, as SQL; by its estate, where left out.
        read: Columns that are read by an expression of their own.
        write: Columns that are written so: `%(id)s`, `%(now)s` and the values by name.
        stored: Columns that have another name in the table.
        beside: What is read beside the columns.
        numbered: The database gives the ids.
        personal: It is a resident, whose name and telephone are sealed (`vigil.store.sealed`).
        label: What people call it, as SQL.
        who: The resident whose name follows it, as SQL.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    estate: SQL
    visible: SQL | None = None
    read: Mapping[str, SQL] = field(default_factory=dict)
    write: Mapping[str, SQL | Composed] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, SQL] = field(default_factory=dict)
    numbered: bool = False
    personal: bool = False
    label: SQL = field(default_factory=lambda: SQL("t.name"))
    who: SQL = field(default_factory=lambda: SQL("NULL::text"))

    @property
    def in_scope(self) -> Composed:
        """SQL that lets through what somebody may know of."""
        return SQL("(%(estates)s::text[] IS NULL OR {})").format(
            self.visible or SQL("{} = ANY (%(estates)s)").format(self.estate)
        )

    @property
    def shown(self) -> Composed:
        """SQL of everything that is read."""
        columns = [
            SQL("{} AS {}").format(self.read.get(name, Identifier("t", name)), Identifier(name))
            for name in ("id", *self.columns, "version")
        ]
        beside = [SQL("{} AS {}").format(sql, Identifier(name)) for name, sql in self.beside.items()]
        return SQL(", ").join([*columns, *beside])

    @property
    def written(self) -> dict[str, SQL | Composed | Placeholder]:
        """SQL of what is written, by the table's columns."""
        return {self.stored.get(name, name): self.write.get(name, Placeholder(name)) for name in self.columns}


COMMUNITY: Final = Thing(
    "community",
    "community",
    ("name", "time_zone"),
    estate=SQL("NULL::text"),
    visible=SQL("EXISTS (SELECT FROM estate e WHERE e.community = t.id AND e.id = ANY (%(estates)s))"),
)
ESTATE: Final = Thing("estate", "estate", ("community", "name"), estate=SQL("t.id"))
BUILDING: Final = Thing(
    "building",
    "building",
    ("estate", "name", "access_note"),
    estate=SQL("t.estate"),
    beside={
        "zones": SQL("(SELECT count(*) FROM zone z WHERE z.estate = t.estate AND z.building = t.name)::int"),
        "flagged_residents": SQL(
            "(SELECT count(*) FROM zone z JOIN resident r ON r.home = z.id"
            " WHERE z.estate = t.estate AND z.building = t.name AND r.flagged)::int"
        ),
    },
)
ZONE: Final = Thing(
    "zone",
    "zone",
    ("estate", "name", "building", "floor", "public", "legal_basis", "x_m", "y_m"),
    estate=SQL("t.estate"),
    label=SQL("concat_ws(' · ', t.building, t.name)"),
)


def _retiring(table: str) -> Composed:
    """Write since when it is retired: a repeat keeps the first time."""
    since = SQL("(SELECT o.retired_at FROM {} o WHERE o.id = %(id)s)").format(Identifier(table))
    return SQL("CASE WHEN %(retired)s THEN coalesce({}, %(now)s) END").format(since)


_RETIRED: Final = SQL("(t.retired_at IS NOT NULL)")
NODE: Final = Thing(
    "node",
    "node",
    ("estate", "zone", "retired"),
    estate=SQL("t.estate"),
    stored={"retired": "retired_at"},
    read={"retired": _RETIRED},
    write={"retired": _retiring("node")},
    beside={name: SQL(f"t.{name}") for name in ("synthetic", "online", "seen_at")},
    label=SQL("coalesce((SELECT concat_ws(' · ', z.building, z.name) FROM zone z WHERE z.id = t.zone), '')"),
)
DEVICE: Final = Thing(
    "device",
    "device",
    ("node", "zone", "kind", "placement", "retired"),
    estate=SQL("(SELECT n.estate FROM node n WHERE n.id = t.node)"),
    stored={"retired": "retired_at"},
    read={"retired": _RETIRED},
    write={"retired": _retiring("device")},
    beside={
        "model": SQL("t.birth->>'model'"),
        "firmware": SQL("t.birth->>'firmware'"),
        "seen_at": SQL("t.seen_at"),
    },
    label=SQL(
        "concat_ws(' · ', t.kind, (SELECT concat_ws(' ', z.building, z.name) FROM zone z WHERE z.id = t.zone))"
    ),
)
_KEY: Final = "(SELECT k.wrapped FROM resident_key k WHERE k.resident = t.id)"
RESIDENT: Final = Thing(
    "resident",
    "resident",
    ("estate", "home", "name", "phone", "flagged", "risk", "lives_alone"),
    estate=SQL("t.estate"),
    read={name: SQL(f"personal(t.id, '{name}', {_KEY}, t.{name})") for name in ("name", "phone")},
    personal=True,
    label=SQL("''"),
    who=SQL(f"personal(t.id, 'name', {_KEY}, t.name)"),
)
ASSIGNMENT: Final = Thing(
    "assignment",
    "assignment",
    ("device", "resident", "since", "until"),
    estate=SQL("(SELECT r.estate FROM resident r WHERE r.id = t.resident)"),
    read={"since": SQL("nullif(t.since, '-infinity')"), "until": SQL("nullif(t.until, 'infinity')")},
    write={
        "since": SQL("coalesce(%(since)s, '-infinity'::timestamptz)"),
        "until": SQL("coalesce(%(until)s, 'infinity'::timestamptz)"),
    },
    numbered=True,
    label=SQL("t.device || ' → '"),
    who=SQL(
        "(SELECT personal(r.id, 'name', k.wrapped, r.name)"
        " FROM resident r LEFT JOIN resident_key k ON k.resident = r.id WHERE r.id = t.resident)"
    ),
)
THINGS: Final = (COMMUNITY, ESTATE, BUILDING, ZONE, NODE, DEVICE, RESIDENT, ASSIGNMENT)
