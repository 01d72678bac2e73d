from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from fallback import standing
from tests.integration.api.conftest import detection
from tests.integration.fallback.test_roster import NOW, api
from vigil.alerts import Priority
from vigil.events import derived_id
from vigil.store import alerts, heartbeats
from vigil.store.alerts import NewAlert
from vigil.store.detections import insert_detections
from vigil.store.pool import open_pool

if TYPE_CHECKING:
    from vigil.store.pool import Connection

pytestmark = pytest.mark.integration


async def raised(connection: Connection, number: int, minutes_ago: float, synthetic: str | None) -> None:
    raised_at = NOW - timedelta(minutes=minutes_ago)
    found = detection(number, f"zone:z{number}", "fall", "e1", None, synthetic, raised_at)
    await insert_detections(connection, [found])
    alert = NewAlert(
        id=derived_id("alert", found.id),
        subject=found.subject,
        kind="fall",
        priority=Priority.CRITICAL,
        estate="e1",
        zone=None,
        resident=None,
        event_time=raised_at,
        summary={"en": "Fall", "zh": "跌倒"},
        synthetic=synthetic,
        detection=found.id,
    )
    await alerts.raise_alert(connection, alert, raised_at)


@pytest.mark.asyncio
async def test_the_platform_says_who_lives_and_which_alerts_nobody_answers(database: str) -> None:
    async with api(database, Ed25519PrivateKey.generate()) as client:
        async with open_pool(SecretStr(database), "test", 1) as pool, pool.transaction() as connection:
            await heartbeats.beat(connection, "ingest-1", NOW - timedelta(seconds=3), {"carried": 12})
            await heartbeats.beat(connection, "ingest-0", NOW - timedelta(hours=1), {})
            await raised(connection, 1, 9, None)
            await raised(connection, 2, 1, None)
            await raised(connection, 3, 9, "canary")
            await raised(connection, 4, 9, "drill")
        said = await standing.ask(client)
    assert (said.at, said.consoles) == (NOW, 0)
    assert said.heartbeats == [standing.Beat("ingest-1", NOW - timedelta(seconds=3), {"carried": 12})]
    assert said.unanswered == [standing.Unanswered("e1", 1, NOW - timedelta(minutes=9))]


@pytest.mark.asyncio
@pytest.mark.parametrize("role", ["canary", "reader"])
async def test_no_other_robot_is_told(database: str, role: str) -> None:
    async with api(database, Ed25519PrivateKey.generate(), role) as client:
        assert (await client.get("/api/v1/fallback/standing")).status_code == 403
