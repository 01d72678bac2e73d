"""`python -m ingest replay`: put dead letters back that would be accepted by now.

A device was registered late, or a newer version knows the type: the untouched bytes take the
usual way again, and `processors` note that what was dead has been stored after all.  What would
die again stays where it is, and is counted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.bridge import produce
from ingest.translate import translate
from vigil import events, kafka
from vigil.errors import Rejected
from vigil.registry import Registry
from vigil.store import dead
from vigil.store.pool import ProcessRole, open_pool
from vigil.store.registry import refresh
from vigil.topics import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ingest.translate import Record
    from vigil.clock import Clock
    from vigil.settings import IngestSettings
    from vigil.store.dead import Letter
    from vigil.store.pool import Pool


def parser() -> argparse.ArgumentParser:
    """Describe the command."""
    made = argparse.ArgumentParser(
        prog="python -m ingest replay", description=(__doc__ or "").split("\n", 1)[0]
    )
    made.add_argument("--since", type=_moment, required=True, help="ISO 8601; without a zone it is UTC")
    made.add_argument("--reason", help="only these, such as unregistered")
    made.add_argument("--dry-run", action="store_true", help="say what would be put back")
    return made


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def replay(settings: IngestSettings, arguments: Sequence[str], clock: Clock) -> Counter[str]:
    """Put dead letters back.

    Returns:
        How many were put back (`replayed`), and how many would die again, by reason.
    """
    wanted = parser().parse_args(arguments)
    counts: Counter[str] = Counter()
    async with open_pool(settings.database_dsn, "replay", 1, role=ProcessRole.INGEST) as pool:
        registry, after = Registry(), None
        async with pool.connection() as connection:
            await refresh(connection, registry)
        async with kafka.producer(settings, "ingest-replay") as producer:
            while page := await _page(pool, wanted, after):
                after = page[-1].id
                records = [revived(letter, registry) for letter in page]
                alive = [record for record in records if record.reason is None]
                if alive and not wanted.dry_run:
                    await produce(producer, alive, clock())
                counts.update(record.reason or "replayed" for record in records)
    return counts


async def _page(pool: Pool, wanted: argparse.Namespace, after: UUID | None) -> list[Letter]:
    async with pool.connection() as connection:
        return await dead.letters(connection, wanted.since, wanted.reason, after)


def revived(letter: Letter, registry: Registry) -> Record:
    """Return the record that a dead letter makes now; it may be a dead letter again."""
    return translate(_topic(letter), letter.payload, registry)


def _topic(letter: Letter) -> str:
    """Return the MQTT topic a letter came by, or would have come by."""
    try:
        envelope = events.decode(letter.payload)
        return events.address_of(envelope.source).topic(Kind(envelope.lane), envelope.subject)
    except (Rejected, TypeError):
        return letter.origin
