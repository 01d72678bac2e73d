"""What Prometheus is told of the community, from real rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from api.gauges import Looking, look_at_community
from vigil.alerts import Priority

if TYPE_CHECKING:
    from tests.integration.api.conftest import FakeClock, World

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
NODES = """
    INSERT INTO node (id, estate, online) VALUES ('n1', 'e1', true), ('n2', 'e1', false), ('n3', 'e2', NULL);
    INSERT INTO node (id, estate, online, synthetic) VALUES ('c1', 'e1', false, 'canary');
    INSERT INTO node (id, estate, online, retired_at) VALUES ('old', 'e1', false, now());
"""


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_alerts_that_wait_are_counted_by_priority_with_the_age_of_the_oldest(
    world: World, clock: FakeClock
) -> None:
    first = await world.raise_alert()
    clock.move(seconds=40)
    await world.raise_alert(priority=Priority.HIGH)
    for synthetic in ("canary", "drill"):
        await world.raise_alert(synthetic=synthetic, resident=None)
    officer = await world.person("li")
    gauges = Looking(world.pool, clock, 1, look_at_community)
    await gauges.once()
    assert shown("vigil_alerts_waiting", priority="critical") == 1
    assert shown("vigil_alert_waiting_seconds", priority="critical") == 40
    assert shown("vigil_alerts_open", priority="high") == 1
    assert shown("vigil_alerts_open", priority="medium") == 0

    answer = await officer.post(f"/api/v1/alerts/{first}/acknowledge", json={"version": 1})
    assert answer.status_code == 200, answer.text
    await gauges.once()
    assert shown("vigil_alerts_waiting", priority="critical") == 0
    assert shown("vigil_alert_waiting_seconds", priority="critical") == 0
    assert shown("vigil_alerts_open", priority="critical") == 1


async def test_boxes_are_counted_by_their_connection_but_for_canaries_and_retired_ones(world: World) -> None:
    async with world.pool.connection() as connection:
        await connection.execute(NODES)
    await Looking(world.pool, world.clock, 1, look_at_community).once()
    counts = {state: shown("vigil_nodes", state=state) for state in ("online", "offline", "unknown")}
    assert counts == {"online": 1, "offline": 1, "unknown": 1}
    assert shown("vigil_box_configs", state="none") == 3
    assert shown("vigil_box_config_waiting_seconds") == 0
