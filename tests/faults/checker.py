"""Count what became of every accepted event; independent of the product's code and counters.

It reads the edges' spool files with sqlite3 and the database with plain SQL, and nothing else.
Accepted is every sequence number that a spool ever gave out.  Each must end as exactly one of
stored, dead, withheld or shed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
from psycopg.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Number = tuple[str, str, str, int]
"""(node, boot, lane, seq)."""

ENDS: Final[dict[str, LiteralString]] = {
    "stored": """
        SELECT node, boot, lane, seq FROM event UNION ALL SELECT node, boot, lane, seq FROM telemetry
        UNION ALL SELECT node, boot, lane, seq FROM health
        UNION ALL SELECT node, boot, lane, seq FROM implausible
    """,
    "dead": """
        SELECT node, boot, lane, seq FROM dead_letter WHERE seq IS NOT NULL AND replayed_at IS NULL
    """,
    "withheld": "SELECT node, boot, lane, seq FROM withheld",
    "shed": """
        SELECT node, boot, lane, generate_series(lower(r), upper(r) - 1) FROM shed, unnest(seqs) AS r
    """,
}


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everything.

    Attributes:
        accepted: How many sequence numbers the spools gave out.
        ends: How many ended as what.
        lost: Those that ended as nothing.
        twice: Those that ended as more than one thing, or as one thing twice.
        unknown: Rows of numbers that no spool gave out.
        effects_twice: Detections or alerts that one event caused more than once.
    """

    accepted: int
    ends: dict[str, int]
    lost: list[Number] = field(default_factory=list)
    twice: list[Number] = field(default_factory=list)
    unknown: list[Number] = field(default_factory=list)
    effects_twice: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether nothing was lost, nothing was done twice, and the sum is right."""
        clean = not (self.lost or self.twice or self.unknown or self.effects_twice)
        return clean and self.accepted == sum(self.ends.values())


def check(spools: dict[str, Path], dsn: str) -> Account:
    """Count.

    Args:
        spools: Spool file of each node.
        dsn: The database.
    """
    accepted = {number for node, path in spools.items() for number in given_out(node, path)}
    with psycopg.connect(dsn) as connection:
        ended = {end: _rows(connection, query, spools) for end, query in ENDS.items()}
        effects_twice = _effects_twice(connection)
    times = Counter(number for numbers in ended.values() for number in numbers)
    return Account(
        accepted=len(accepted),
        ends={end: len(set(numbers) & accepted) for end, numbers in ended.items()},
        lost=sorted(accepted - times.keys()),
        twice=sorted(number for number, count in times.items() if count > 1),
        unknown=sorted(times.keys() - accepted),
        effects_twice=effects_twice,
    )


def given_out(node: str, spool: Path) -> Iterable[Number]:
    """Yield every sequence number that a spool has given out."""
    with sqlite3.connect(f"file:{spool}?mode=ro", uri=True) as db:
        for boot, lane, last in db.execute("SELECT boot, lane, last FROM accepted"):
            yield from ((node, boot, lane, seq) for seq in range(1, last + 1))


def _rows(connection: psycopg.Connection, query: LiteralString, nodes: Iterable[str]) -> list[Number]:
    limited = SQL("SELECT * FROM ({}) AS t WHERE node = ANY(%s)").format(SQL(query))
    return connection.execute(limited, [list(nodes)]).fetchall()


def _effects_twice(connection: psycopg.Connection) -> int:
    """Count what one event has caused more than once."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM (SELECT event, kind FROM detection GROUP BY 1, 2 HAVING count(*) > 1) AS d)
             + (SELECT count(*) FROM (SELECT detection FROM alert_evidence GROUP BY 1 HAVING count(*) > 1) AS e)
             + (SELECT count(*) FROM (SELECT alert FROM alert_transition WHERE action = 'raise'
                                      GROUP BY 1 HAVING count(*) > 1) AS t)
        """,
    ).fetchone()
    return int(row[0]) if row else 0
