"""Where the peers keep what comes out: PostgreSQL, so that whatever they read again changes nothing.

Every event with its data, what the model made of it, and the alert if it is one: the rows that
`processors.intake` writes too (which besides accounts for sequence numbers, tells who waits, and
raises an alert's evidence).  psycopg's `executemany`, a batch to a transaction: what its
documentation has for many rows with ON CONFLICT, since COPY knows none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from tests.bench.peers.detector import resident_of
from vigil.events import derived_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.events import Envelope


class Judged(NamedTuple):
    """What the detector made of an event."""

    envelope: Envelope
    score: float
    sentence: dict[str, str]
    verdict: str


_LZ4 = """
    SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
"""
"""As our own pool asks for: a window's samples are compressed in half the time."""
_EVENT = f"INSERT INTO event VALUES ({', '.join(['%s'] * 12)}) ON CONFLICT DO NOTHING"  # noqa: S608 - places alone
_DETECTION = f"INSERT INTO detection VALUES ({', '.join(['%s'] * 15)}) ON CONFLICT DO NOTHING"  # noqa: S608
_ALERT = """
    INSERT INTO alert (id, subject, kind, priority, state, version, estate, resident, event_time, raised_at,
                       changed_at, summary)
    VALUES (%s, %s, 'fall', 'critical', 'raised', 1, 'e-bench', %s, %s, now(), now(), %s)
    ON CONFLICT DO NOTHING
"""


class Keeper:
    """Keeps what a peer has decided, in tables of its own.

    Attributes:
        kept: How many events have been kept.
    """

    def __init__(self, dsn: str, peer: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True, options=f"-c search_path={peer}")
        self._connection.execute(_LZ4)
        self.kept = 0

    def keep(self, judged: Sequence[Judged]) -> None:
        """Keep a batch, all or nothing; say how far it has come."""
        raised = [one for one in judged if one.verdict == "raise"]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(_EVENT, [_event(one.envelope) for one in judged])
            cursor.executemany(_DETECTION, [_detection(one) for one in judged])
            cursor.executemany(_ALERT, [_alert(one) for one in raised])
        self.kept += len(judged)
        print("took", self.kept, flush=True)


def _event(e: Envelope) -> tuple[object, ...]:
    node, data = e.source.rpartition("/")[2], Jsonb(bytes(e.data), bytes)
    return (e.time, e.id, node, e.subject, e.type, e.boot, e.lane, e.seq, e.time, e.clock, e.synthetic, data)


def _detection(one: Judged) -> tuple[object, ...]:
    e, resident = one.envelope, resident_of(one.envelope)
    return (
        _id(e), e.id, e.time, "fall", f"resident:{resident}", resident, None, "e-bench", e.subject, one.score,
        "falls-waist", "1", Jsonb(one.sentence), e.synthetic, e.time,
    )  # fmt: skip


def _alert(one: Judged) -> tuple[object, ...]:
    resident, e = resident_of(one.envelope), one.envelope
    return (derived_id("alert", _id(e)), f"resident:{resident}", resident, e.time, Jsonb(one.sentence))


def _id(envelope: Envelope) -> object:
    return derived_id("detection", "fall", envelope.id)
