"""Counts of what models are shown, and what people do about detectors, in a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from processors import commands
from processors.drift import DriftTicker, Watch
from tests.making import NOW
from tests.unit.processors.test_drift import KNOWN, NAME, TODAY, scores, windows
from vigil.errors import Unavailable
from vigil.settings import DatabaseSettings
from vigil.store import drift
from vigil.store.pool import open_pool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


class Clock:
    """A clock that a test sets."""

    now = NOW

    def __call__(self) -> Any:
        return self.now


class Away:
    """A database that is away."""

    def transaction(self) -> Any:
        raise Unavailable("the database", "test")


def note(watch: Watch, device: str, n: int, gain: float = 1.0) -> None:
    watch.note(NAME, windows(n, len(device), gain), scores(n, n), [(device, TODAY)] * n)


async def test_a_device_that_lies_far_from_its_fleet_is_named_and_counted(database: str) -> None:
    watch, clock = Watch({NAME: KNOWN}), Clock()
    async with open_pool(SecretStr(database), "test", 1) as pool:
        ticker = DriftTicker(pool, watch, clock)
        for device in ("good1", "good2", "good3"):
            note(watch, device, 400)
        for _ in range(2):  # twice the same day adds up
            note(watch, "bent", 100, gain=1.15)
            assert not await ticker.step()
        clock.now = NOW + timedelta(minutes=10)
        await ticker.step()
        async with pool.connection() as connection:
            ((detector, version, device, n, _, off, measure), *rest) = await drift.farthest(connection)
            assert (detector, version, device, n, measure) == (*NAME, "bent", 200, "level_g")
            assert off > 0.25
            assert len(rest) == 3
            labels = {"detector": NAME[0], "version": NAME[1], "measure": "level_g"}
            assert (REGISTRY.get_sample_value("vigil_model_drift_psi", labels) or 0) > 0
            assert REGISTRY.get_sample_value("vigil_devices_drifting", {"detector": NAME[0]}) == 1
            await drift.forget(connection, TODAY + timedelta(days=1))
            assert await drift.counted(connection, *NAME, TODAY) == {}


async def test_what_cannot_be_stored_is_counted_again() -> None:
    watch = Watch({NAME: KNOWN})
    note(watch, "good", 5)
    away: Any = Away()
    with pytest.raises(Unavailable):
        await DriftTicker(away, watch, Clock()).step()
    (kept,) = watch.take().values()
    assert int(KNOWN.split(kept)[0].sum()) == 5


async def test_counts_of_a_model_that_was_packaged_anew_are_begun_anew(connection: Any) -> None:
    key = (*NAME, "d", TODAY)
    await drift.add(connection, {key: [1, 2]})
    await drift.add(connection, {key: [1, 2]})
    assert await drift.counted(connection, *NAME, TODAY) == {"d": [2, 4]}
    await drift.add(connection, {key: [1, 1, 1]})
    assert await drift.counted(connection, *NAME, TODAY) == {"d": [1, 1, 1]}


async def test_somebody_at_a_terminal_lets_a_version_alert_and_reports_a_miss(shared_database: str) -> None:
    settings = DatabaseSettings(database_dsn=SecretStr(shared_database))

    async def run(*argv: str) -> str:
        return "\n".join(await commands.run(commands.parse(argv), settings, NOW))

    signed = ("--by", "wang", "--reason", "four weeks in shadow")
    assert await run("allow", "falls-wrist", "8", *signed, "--estate", "e1") == "falls-wrist 8: alert, e1"
    past = (NOW - timedelta(days=1)).isoformat()
    await run("shadow", "falls-wrist", "9", *signed, "--community", "c1", "--review-by", past)
    happened = ("--happened", "2026-03-01T03:00", "--found", "2026-03-01T07:00", "--how", "family")
    said = await run("missed", "--estate", "e1", "--resident", "r1", *happened, "--by", "wang", "--note", "")
    assert "silent" in said
    listed = await run("detectors")
    assert "falls-wrist 8 alert e1: four weeks in shadow (terminal:wang)" in listed
    assert "falls-wrist 9 shadow c1: four weeks in shadow (terminal:wang) (review is due)" in listed
    assert "fall: 0 alerts, 0 true, 0 false, 1 missed; precision -, sensitivity 0.000" in listed
