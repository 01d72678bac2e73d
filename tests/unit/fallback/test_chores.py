from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fallback import probes
from fallback.chores import Chores, Maker
from fallback.senses import Noted
from fallback.snapshot import Keeper
from fallback.watchdog import Fact, Watchdog
from tests.unit.fallback.conftest import T0, FakeClock
from vigil.errors import Unavailable
from vigil.settings import FallbackSettings

if TYPE_CHECKING:
    from fallback.store import Store


def chores(store: Store, clock: FakeClock, facts: list[Fact], **settings: object) -> Chores:
    watchdog = Watchdog(store, {"e1": []}, [], lambda: "0" * 8, UTC, T0)
    read = FallbackSettings(fallback_state=Path("state"), **settings)  # type: ignore[arg-type]  # as tests name them
    return Chores(read, store, watchdog, Keeper(store, None), [], UTC, facts, clock)


async def notes(made: Chores, facts: list[Fact], code: str) -> Noted:
    """Let the chores run until one of them has noted something of this code."""
    async with httpx.AsyncClient() as client:
        tasks = [asyncio.create_task(work) for work in made.tasks(client, client, Maker(), lambda _now: None)]
        try:
            async with asyncio.timeout(20):
                while True:
                    for fact in facts:
                        if isinstance(fact, Noted) and fact.code == code:
                            return fact
                    await asyncio.sleep(0.01)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.asyncio
async def test_a_task_that_fails_is_noted_and_the_others_go_on(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> float:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fallback.probes.free_mb", broken)
    facts: list[Fact] = []
    made = chores(store, clock, facts, fallback_peer="http://127.0.0.1:9/")
    found = await notes(made, facts, "disk")
    assert found.wrong is not None
    assert "Input/output error" in found.wrong
    assert (await notes(made, facts, "peer")).code == "peer"


@pytest.mark.asyncio
async def test_a_disk_with_room_is_noted_as_well(store: Store, clock: FakeClock) -> None:
    facts: list[Fact] = []
    assert (await notes(chores(store, clock, facts), facts, "disk")).wrong is None


@pytest.mark.asyncio
async def test_a_disk_that_fills_up_is_noted_by_its_folder_and_what_is_left(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {"packs": probes.LOW_MB - 1}
    monkeypatch.setattr("fallback.probes.free_mb", lambda folder: left.get(folder.name, probes.LOW_MB))
    facts: list[Fact] = []
    made = chores(store, clock, facts, fallback_packs="packs,usb", fallback_passphrase="sesame")
    assert (await notes(made, facts, "disk")).wrong == "packs: 255 MB"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("left", "wrong"),
    [
        (probes.EXPIRES + timedelta(minutes=1), None),
        (probes.EXPIRES - timedelta(minutes=1), "vigil.example:8443 2026-03-16"),
        (timedelta(days=-1), "vigil.example:8443 2026-03-01"),
    ],
)
async def test_a_certificate_that_ends_within_two_weeks_is_noted_with_its_last_day(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, left: timedelta, wrong: str | None
) -> None:
    async def ends(_host: str, _port: int) -> datetime:
        return T0 + left

    monkeypatch.setattr("fallback.probes.expires", ends)
    facts: list[Fact] = []
    made = chores(store, clock, facts, fallback_api="https://vigil.example:8443")
    assert (await notes(made, facts, "tls")).wrong == wrong


@pytest.mark.asyncio
async def test_a_maker_that_was_killed_says_so_and_the_next_paper_has_a_new_one() -> None:
    with Maker() as maker:
        with pytest.raises(Unavailable, match="makes papers"):
            await maker.make(os.kill, await maker.make(os.getpid), signal.SIGKILL)
        assert await maker.make(os.getpid) > 0
