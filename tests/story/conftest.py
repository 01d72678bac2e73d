"""The whole platform for a story: every room a real process, on the stack that was chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest

from deploy.embedded import community as demo
from deploy.embedded.seed import kept_secrets, seed
from deploy.embedded.servers import HOST
from tests.household import Household
from tests.officer import Officer
from tests.smoke import start_rooms
from vigil.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import LiteralString

    from deploy.embedded.community import DemoCommunity
    from tests.conftest import Stack


@dataclass(frozen=True, slots=True)
class Platform:
    """Running rooms, the demonstration's community, and two officers at the console."""

    household: Household
    community: DemoCommunity
    officer: Officer
    colleague: Officer
    dsn: str
    stack: Stack

    def rows(self, query: LiteralString) -> list[tuple[object, ...]]:
        """Look into the database."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def platform(
    stack: Stack, database: str, topics: tuple[str, ...], data_dir: Path, tmp_path: Path
) -> Iterator[Platform]:
    """Rooms that are ready, on topics and a database of their own."""
    assert topics
    made, secrets = demo.community(data_dir), kept_secrets(tmp_path)
    environment = {**os.environ, **stack.addresses.environment(), "VIGIL_DATABASE_DSN": database}
    seed(database, made, (), secrets, utc_now())
    with Household(environment, tmp_path) as household:
        console = f"http://{HOST}:{start_rooms(household)}"
        officer = Officer(console, "officer", secrets.password)
        colleague = Officer(console, "officer2", secrets.password)
        try:
            yield Platform(household, made, officer, colleague, database, stack)
        finally:
            officer.close()
            colleague.close()
