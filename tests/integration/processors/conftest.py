"""A registered community in the test's own database, and models that say what a test wants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio

from processors.intake import EventHandler
from processors.scoring import Scorer
from tests.conftest import _temporary
from vigil.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import Stack

COMMUNITY = """
    INSERT INTO community (id, name) VALUES ('c1', 'C');
    INSERT INTO estate (id, community, name) VALUES ('e1', 'c1', 'E');
    INSERT INTO zone (id, estate, name, public, legal_basis) VALUES
        ('home1', 'e1', 'Home', false, NULL), ('yard', 'e1', 'Yard', true, 'notice 7'), ('gate', 'e1', 'Gate', true, NULL);
    INSERT INTO node (id, estate, zone, synthetic) VALUES
        ('n1', 'e1', 'home1', NULL), ('n2', 'e1', NULL, NULL), ('robot', 'e1', NULL, 'canary');
    INSERT INTO device (id, node, zone, kind, placement) VALUES
        ('pendant', 'n1', 'home1', 'pendant', 'waist'), ('cam-yard', 'n1', 'yard', 'camera', NULL),
        ('cam-gate', 'n1', 'gate', 'camera', NULL), ('door', 'n1', 'home1', 'door', NULL),
        ('pendant2', 'n2', NULL, 'pendant', 'wrist'), ('canary', 'robot', NULL, 'pendant', 'waist');
    INSERT INTO resident (id, estate, home, name, flagged) VALUES ('r1', 'e1', 'home1', 'R', true);
    INSERT INTO assignment (device, resident) VALUES ('pendant', 'r1'), ('door', 'r1');
    INSERT INTO consent (resident, purpose, granted, text_version, given_by) VALUES
        ('r1', 'fall_detection', true, '1', 'self'), ('r1', 'routine_monitoring', true, '1', 'self');
"""


class Model:
    """Scores every window alike.

    Attributes:
        score_: What it says; a test sets it.
    """

    def __init__(self) -> None:
        self.manifest = SimpleNamespace(version="7")
        self.score_ = 0.99

    def score(self, windows: Any) -> Any:
        return np.full(len(windows), self.score_)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def handler(model: Model) -> EventHandler:
    models: Any = dict.fromkeys(("waist", "chest", "wrist"), model)
    return EventHandler(Registry(), Scorer(models, None))


@pytest.fixture(scope="module")
def shared_database(stack: Stack, _template: str) -> Iterator[str]:
    """DSN of a database with the community, shared by the module's tests."""
    for dsn in _temporary(stack.postgres.dsn, _template):
        with psycopg.connect(dsn) as connection:
            connection.execute(COMMUNITY)
        yield dsn


@pytest_asyncio.fixture
async def connection(shared_database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection inside a transaction that is rolled back after the test."""
    async with (
        await psycopg.AsyncConnection.connect(shared_database, autocommit=True) as opened,
        opened.transaction(force_rollback=True),
    ):
        yield opened
